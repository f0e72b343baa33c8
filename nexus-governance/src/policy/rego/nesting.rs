use crate::policy::PolicyFault;

/// How deep brackets may be nested: with each level of lists and objects the parser takes twice as long.
const DEEPEST: usize = 12;

/// How many operators may follow each other: the parser goes as deep.
const LONGEST: usize = 50;

/// How large a policy may be, in bytes.
const LARGEST: usize = 256 << 10;

/// Refuses a text that the parser could not take.
pub(crate) fn check_nesting(path: &str, text: &str) -> Result<(), PolicyFault> {
    if text.len() > LARGEST {
        let message = format!("it has {} bytes, and may have {LARGEST}", text.len());
        return Err(PolicyFault::new(path, (1, 1), message));
    }
    let (mut line, mut column, mut depth) = (1, 0, 0_usize);
    let (mut operators, mut last) = (0_usize, ' ');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        column += 1;
        match character {
            '\n' => {
                (line, column) = (line + 1, 0);
                // An expression goes on behind an operator.
                if !is_operator(last) {
                    operators = 0;
                }
            }
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            '"' | '`' => {
                while let Some(next) = characters.next_if(|next| *next != character) {
                    column += 1;
                    match next {
                        '\n' => (line, column) = (line + 1, 0),
                        '\\' if character == '"' => column += usize::from(characters.next().is_some()),
                        _ => {}
                    }
                }
                characters.next();
                column += 1;
            }
            '(' | '[' | '{' => {
                depth += 1;
                if depth > DEEPEST {
                    let message = format!(
                        "it is nested more than {DEEPEST} levels deep: name its parts, or make data of it"
                    );
                    return Err(PolicyFault::new(path, (line, column), message));
                }
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if is_operator(character) => {
                operators += 1;
                if operators > LONGEST {
                    let message = format!("an expression has more than {LONGEST} operators: name its parts");
                    return Err(PolicyFault::new(path, (line, column), message));
                }
            }
            _ => {}
        }
        if matches!(character, '{' | '}' | ';' | ',') {
            operators = 0;
        }
        if !character.is_whitespace() {
            last = character;
        }
    }
    Ok(())
}

fn is_operator(character: char) -> bool {
    matches!(character, '+' | '-' | '*' | '/' | '%' | '|' | '&' | '=' | '<' | '>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_count_where_they_are_brackets() {
        let within = format!("x := \"{0}\\\"{0}\" # {0}\ny := `{0}\n{0}`\nz := [1]", "[".repeat(60));
        assert_eq!(check_nesting("a.rego", &within), Ok(()));
        let deep = format!("x := 1\ny := {}", "[".repeat(13));
        let error = check_nesting("a.rego", &deep).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a.rego:2:18: it is nested more than 12 levels deep: name its parts, or make data of it"
        );
        assert!(check_nesting("a.rego", &" ".repeat(LARGEST + 1)).is_err());
        let sum = |count: usize| format!("x := {}", vec!["1"; count].join(" +\n"));
        assert_eq!(check_nesting("a.rego", &sum(49)), Ok(()));
        assert!(check_nesting("a.rego", &sum(60)).unwrap_err().message.contains("more than 50 operators"));
        assert_eq!(check_nesting("a.rego", &"x := 1 - 2\n".repeat(1_000)), Ok(()));
    }
}
