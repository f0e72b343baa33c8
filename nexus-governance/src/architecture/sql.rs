//! SQL statements that change what is stored, as far as their words tell.

/// A statement, and the table it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Such as `DELETE`.
    pub(super) verb: &'static str,
    /// In small letters, without quotes; with its schema where that is written. A name that is not known is as it is written, such as
    /// `{table}`.
    pub(super) table: String,
    /// Where it starts, in bytes.
    pub(super) byte: usize,
}

/// A word, a name in quotes, or a sign.
struct Token {
    text: String,
    is_name: bool,
    byte: usize,
}

/// All statements of a text that change rows or tables.
pub(super) fn statements(text: &str) -> Vec<Statement> {
    let tokens = tokens(text);
    let word = |index: usize| tokens.get(index).map_or("", |token: &Token| token.text.as_str());
    let is = |index: usize, expected: &str| word(index).eq_ignore_ascii_case(expected);
    let skip = |mut index: usize, words: &[&str]| {
        while words.iter().any(|word| is(index, word)) {
            index += 1;
        }
        index
    };
    let mut found = Vec::new();
    // Where the statement ends that a token is part of.
    let mut ends = vec![tokens.len(); tokens.len() + 1];
    for index in (0..tokens.len()).rev() {
        ends[index] = if word(index) == ";" || is(index, "insert") { index } else { ends[index + 1] };
    }
    for index in 0..tokens.len() {
        // A statement begins a text, or stands behind a sign; in prose these words stand elsewhere.
        let is_first =
            index == 0 || !tokens[index - 1].is_name || is(index - 1, "as") || is(index - 1, "begin");
        let mut is_list = false;
        let candidate = if is(index, "update") && !is(index + 1, "set") && !is(index + 1, "of") {
            let table = skip(index + 1, &["or", "rollback", "abort", "replace", "fail", "ignore", "only"]);
            // Behind the table there may be another name for it.
            name(&tokens, table).filter(|(_, behind)| sets(&tokens, *behind)).map(|_| ("UPDATE", table))
        } else if is(index, "delete") && is(index + 1, "from") {
            Some(("DELETE", skip(index + 2, &["only"])))
        } else if is(index, "insert") || (is(index, "replace") && !(index > 0 && is(index - 1, "or"))) {
            let table = skip(index + 1, &["or", "rollback", "abort", "replace", "fail", "ignore"]);
            is(table, "into").then(|| (inserting(&tokens, index, table, ends[table]), table + 1))
        } else if is(index, "merge") && is(index + 1, "into") {
            Some(("MERGE", index + 2))
        } else if is(index, "truncate") && (is_first || is(index + 1, "table")) {
            is_list = true;
            Some(("TRUNCATE", skip(index + 1, &["table", "only"])))
        } else if is(index, "drop")
            && ["table", "schema", "trigger", "rule", "function"].iter().any(|kind| is(index + 1, kind))
        {
            is_list = true;
            Some(("DROP", skip(index + 2, &["if", "exists"])))
        } else if is(index, "alter") && is(index + 1, "table") {
            Some(("ALTER", skip(index + 2, &["if", "exists", "only"])))
        } else {
            None
        };
        let Some((verb, mut at)) = candidate else { continue };
        while let Some((table, behind)) = name(&tokens, at) {
            found.push(Statement { verb, table, byte: tokens[index].byte });
            if !is_list || word(behind) != "," {
                break;
            }
            at = skip(behind + 1, &["only"]);
        }
    }
    found
}

/// Whether `SET` follows, behind another name for the table and an index, and before a sign that ends it.
fn sets(tokens: &[Token], behind: usize) -> bool {
    let words = tokens[behind.min(tokens.len())..].iter().take(6).take_while(|token| token.is_name);
    words.into_iter().any(|token| token.text.eq_ignore_ascii_case("set"))
}

/// What an insert does with a row that is there already.
fn inserting(tokens: &[Token], index: usize, table: usize, end: usize) -> &'static str {
    let is = |token: &Token, word: &str| token.text.eq_ignore_ascii_case(word);
    let replaces = tokens[index..table].iter().any(|token| is(token, "replace"));
    let updates = || tokens[table..end].windows(2).any(|two| is(&two[0], "do") && is(&two[1], "update"));
    if replaces {
        "REPLACE"
    } else if updates() {
        "UPSERT"
    } else {
        "INSERT"
    }
}

/// The name that starts at a token, with the schema before it, and the token behind it.
fn name(tokens: &[Token], at: usize) -> Option<(String, usize)> {
    let first = tokens.get(at).filter(|token| token.is_name)?;
    let mut name = first.text.to_lowercase();
    let mut next = at + 1;
    while let (Some(dot), Some(part)) = (tokens.get(next), tokens.get(next + 1)) {
        if dot.text != "." || !part.is_name {
            break;
        }
        name = format!("{name}.{}", part.text.to_lowercase());
        next += 2;
    }
    Some((name, next))
}

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = text;
    let take = |rest: &mut &str, bytes: usize| {
        let (taken, left) = rest.split_at(bytes);
        *rest = left;
        taken.to_owned()
    };
    while let Some(character) = rest.chars().next() {
        let byte = text.len() - rest.len();
        let until =
            |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
        if rest.starts_with("--") {
            rest = &rest[until("\n", 0)..];
        } else if rest.starts_with("/*") {
            rest = &rest[until("*/", 2)..];
        } else if character == '\'' {
            rest = &rest[until("'", 1)..];
            tokens.push(Token { text: "''".to_owned(), is_name: false, byte });
        } else if let Some(end) = match character {
            '"' => Some("\""),
            '`' => Some("`"),
            '[' => Some("]"),
            _ => None,
        } {
            let quoted = until(end, 1);
            let quoted = take(&mut rest, quoted);
            let name = quoted[1..].strip_suffix(end).unwrap_or(&quoted[1..]);
            tokens.push(Token { text: name.to_owned(), is_name: true, byte });
        } else if character == '{' {
            // A part of a format, and what stands beside it without a space.
            let end = until("}", 0);
            let more = rest[end..].find(|next| !is_of_word(next) && next != '{' && next != '}');
            let written = take(&mut rest, end + more.unwrap_or(text.len() - byte - end));
            tokens.push(Token { text: written, is_name: true, byte });
        } else if is_of_word(character) {
            let end = rest.find(|next| !is_of_word(next) && next != '{' && next != '}').unwrap_or(rest.len());
            let word = take(&mut rest, end);
            tokens.push(Token { text: word, is_name: true, byte });
        } else {
            rest = &rest[character.len_utf8()..];
            if !character.is_whitespace() {
                tokens.push(Token { text: character.to_string(), is_name: false, byte });
            }
        }
    }
    tokens
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '@' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&'static str, String)> {
        statements(text).into_iter().map(|found| (found.verb, found.table)).collect()
    }

    #[test]
    fn what_changes_something_is_found() {
        for (text, verb, table) in [
            ("UPDATE events SET payload = ?", "UPDATE", "events"),
            ("UPDATE shop.nexus.events AS e SET a = 1", "UPDATE", "shop.nexus.events"),
            ("UPDATE OR REPLACE main.events INDEXED BY i SET a = 1", "UPDATE", "main.events"),
            ("DROP FUNCTION never_changed() CASCADE", "DROP", "never_changed"),
            ("update or ignore \"Events\" as e\n set a = 1", "UPDATE", "events"),
            ("DELETE FROM nexus.events WHERE 1 = 1", "DELETE", "nexus.events"),
            ("delete /* all */ from -- of them\n [events]", "DELETE", "events"),
            ("WITH gone AS (DELETE FROM events RETURNING *) SELECT 1", "DELETE", "events"),
            ("truncate events", "TRUNCATE", "events"),
            ("SELECT ';'; TRUNCATE TABLE ONLY events", "TRUNCATE", "events"),
            ("DROP TABLE IF EXISTS `events`", "DROP", "events"),
            ("drop trigger events_are_never_deleted", "DROP", "events_are_never_deleted"),
            ("ALTER TABLE events ADD x int", "ALTER", "events"),
            ("INSERT OR REPLACE INTO events VALUES (1)", "REPLACE", "events"),
            ("REPLACE INTO events VALUES (1)", "REPLACE", "events"),
            ("INSERT INTO events VALUES (1) ON CONFLICT (id) DO UPDATE SET a = 1", "UPSERT", "events"),
            ("INSERT INTO events VALUES (1) ON CONFLICT DO NOTHING", "INSERT", "events"),
            ("MERGE INTO events USING x", "MERGE", "events"),
            ("DELETE FROM {table} WHERE a", "DELETE", "{table}"),
            ("DELETE FROM {schema}.events", "DELETE", "{schema}.events"),
            ("DELETE FROM {prefix}_events", "DELETE", "{prefix}_events"),
        ] {
            assert_eq!(found(text), [(verb, table.to_owned())], "{text}");
        }
    }

    #[test]
    fn each_table_of_a_list_is_named() {
        let named = |verb, tables: [&str; 2]| tables.map(|table| (verb, table.to_owned()));
        assert_eq!(found("TRUNCATE carts, ONLY events;"), named("TRUNCATE", ["carts", "events"]));
        assert_eq!(found("DROP TABLE a.carts , \"events\" CASCADE"), named("DROP", ["a.carts", "events"]));
    }

    #[test]
    fn a_long_text_takes_no_longer_than_it_is() {
        let started = std::time::Instant::now();
        assert_eq!(statements(&"insert into x values (1)\n".repeat(20_000)).len(), 20_000);
        assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    }

    #[test]
    fn what_changes_nothing_is_none() {
        for text in [
            "could not update events",
            "failed to update events: set the limit",
            "SELECT 1 FROM events FOR UPDATE",
            "it will truncate events at night",
            "CREATE TABLE a (b int REFERENCES c ON DELETE CASCADE ON UPDATE SET NULL)",
            "CREATE TRIGGER x BEFORE UPDATE ON events",
            "BEFORE UPDATE OF a ON events",
            "SELECT 'DELETE FROM events'",
            "-- DELETE FROM events",
            "insert coin",
            "DELETE FROM",
            "\"",
            "'",
            "[",
            "{",
            "/*",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
