use std::path::Path;

use nexus_core::Comparison;
use rusqlite::{Connection, OpenFlags};

/// Compares two files: documents by their keys, and all other tables row by row.
pub(super) fn compare(old: &Path, new: &Path) -> rusqlite::Result<Comparison> {
    // Even a reader writes to the shared memory beside the file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(old, flags)?;
    connection.execute("ATTACH DATABASE ?1 AS new", [new.to_string_lossy()])?;
    let view = connection.unchecked_transaction()?;
    let mut comparison = Comparison::default();
    documents(&view, &mut comparison)?;
    for table in tables(&view)? {
        rows(&view, &table, &mut comparison)?;
    }
    Ok(comparison)
}

/// Each side looked up in the other by its key: a join of both at once would go through one for each row of the other.
const DOCUMENTS: &str = "
    SELECT o.collection, o.key, o.content, n.content FROM main.nexus_documents o
    LEFT JOIN new.nexus_documents n ON n.collection = o.collection AND n.key = o.key
    WHERE o.collection NOT GLOB '$*'
    UNION ALL
    SELECT n.collection, n.key, NULL, n.content FROM new.nexus_documents n
    LEFT JOIN main.nexus_documents o ON o.collection = n.collection AND o.key = n.key
    WHERE n.collection NOT GLOB '$*' AND o.key IS NULL";

fn documents(connection: &Connection, comparison: &mut Comparison) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(DOCUMENTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (collection, key): (String, String) = (row.get(0)?, row.get(1)?);
        match (row.get::<_, Option<String>>(2)?, row.get::<_, Option<String>>(3)?) {
            (Some(old), Some(new)) if old == new => comparison.same += 1,
            (Some(old), Some(new)) => {
                comparison.changed += 1;
                comparison.show(|| format!("{collection}/{key}: {old} became {new}"));
            }
            (Some(old), None) => {
                comparison.only_old += 1;
                comparison.show(|| format!("{collection}/{key}: {old} is gone"));
            }
            (None, new) => {
                comparison.only_new += 1;
                comparison.show(|| format!("{collection}/{key}: {} is new", new.unwrap_or_default()));
            }
        }
    }
    Ok(())
}

/// The tables of the read model in either file; what a virtual table keeps in others is its own affair.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT DISTINCT name FROM pragma_table_list WHERE schema IN ('main', 'new') AND type IN ('table', 'virtual') \
         AND name NOT GLOB 'sqlite_*' AND name <> 'nexus_documents' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    names.collect()
}

fn rows(connection: &Connection, table: &str, comparison: &mut Comparison) -> rusqlite::Result<()> {
    let (old, new) = (columns(connection, "main", table)?, columns(connection, "new", table)?);
    let quoted = quoted(table);
    if old != new {
        let count = |schema: &str, columns: &[String]| -> rusqlite::Result<u64> {
            if columns.is_empty() {
                return Ok(0);
            }
            number(connection, &format!("SELECT count(*) FROM {schema}.{quoted}"))
        };
        comparison.only_old += count("main", &old)?;
        comparison.only_new += count("new", &new)?;
        comparison.show(|| format!("table {table} had columns {old:?}, and has {new:?}"));
        return Ok(());
    }
    // Compared byte by byte, whatever the column's collation, and by type: 1 is not 1.0.
    let exact = |column: &String| {
        let column = self::quoted(column);
        (
            format!("{column} COLLATE BINARY AS {column}"),
            format!("typeof({column})"),
            format!("{column} COLLATE BINARY"),
        )
    };
    let all: Vec<_> = old.iter().map(exact).collect();
    let join = |part: fn(&(String, String, String)) -> &String| {
        all.iter().map(part).cloned().collect::<Vec<_>>().join(", ")
    };
    let (values, types, keys) = (join(|all| &all.0), join(|all| &all.1), join(|all| &all.2));
    // Rows that are there several times count as often.
    let grouped = |schema: &str| {
        format!(
            "SELECT {values}, {types}, count(*) AS nexus_count FROM {schema}.{quoted} GROUP BY {keys}, {types}"
        )
    };
    let (old, new) = (grouped("main"), grouped("new"));
    let count = |sql: &str| number(connection, &format!("SELECT coalesce(sum(nexus_count), 0) FROM ({sql})"));
    let only_old = count(&format!("{old} EXCEPT {new}"))?;
    let only_new = count(&format!("{new} EXCEPT {old}"))?;
    comparison.same += count(&new)?.saturating_sub(only_new);
    comparison.only_old += only_old;
    comparison.only_new += only_new;
    for (sql, became) in
        [(format!("{old} EXCEPT {new}"), "is gone"), (format!("{new} EXCEPT {old}"), "is new")]
    {
        let mut statement = connection.prepare(&format!("{sql} LIMIT {}", Comparison::EXAMPLES))?;
        let width = (statement.column_count().saturating_sub(1)) / 2;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let values =
                (0..width).map(|column| Ok(format!("{:?}", row.get::<_, rusqlite::types::Value>(column)?)));
            let values = values.collect::<rusqlite::Result<Vec<_>>>()?.join(", ");
            comparison.show(|| format!("{table}: ({values}) {became}"));
        }
    }
    Ok(())
}

fn number(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let number: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    Ok(number.unsigned_abs())
}

fn columns(connection: &Connection, schema: &str, table: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?1, ?2) ORDER BY cid")?;
    let names = statement.query_map([table, schema], |row| row.get::<_, String>(0))?;
    names.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_looked_up_by_their_keys() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("ATTACH DATABASE ':memory:' AS new").unwrap();
        for schema in ["main", "new"] {
            let table =
                "(collection TEXT, key TEXT, content TEXT, PRIMARY KEY (collection, key)) WITHOUT ROWID";
            connection.execute_batch(&format!("CREATE TABLE {schema}.nexus_documents {table}")).unwrap();
        }
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {DOCUMENTS}")).unwrap();
        let steps: Vec<String> = plan.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let searches = steps.iter().filter(|step| step.contains("(collection=? AND key=?)")).count();
        let scans = steps.iter().filter(|step| step.contains("SCAN")).count();
        assert_eq!((searches, scans), (2, 2), "{steps:?}");
    }
}
