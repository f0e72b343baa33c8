use futures::TryStreamExt;
use nexus_core::Comparison;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row, SqlSafeStr};

use crate::schema::Schema;

/// Compares documents by their keys; those of Nexus itself are passed over.
pub(super) async fn documents(
    connection: &mut PgConnection,
    schema: &Schema,
    old: &str,
    new: &str,
    comparison: &mut Comparison,
) -> Result<(), sqlx::Error> {
    let sql = schema.sql(
        "SELECT coalesce(o.collection, n.collection), coalesce(o.key, n.key), o.content, n.content \
         FROM (SELECT * FROM nexus.documents WHERE space = $1 AND collection NOT LIKE '$%') AS o \
         FULL JOIN (SELECT * FROM nexus.documents WHERE space = $2 AND collection NOT LIKE '$%') AS n \
         ON n.collection = o.collection AND n.key = o.key ORDER BY 1, 2",
    );
    let mut rows = sql.query().bind(old).bind(new).fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let (collection, key): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        match (row.try_get::<Option<String>, _>(2)?, row.try_get::<Option<String>, _>(3)?) {
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

/// Compares all tables of two schemas row by row.
pub(super) async fn tables(
    connection: &mut PgConnection,
    old: &str,
    new: &str,
    comparison: &mut Comparison,
) -> Result<(), sqlx::Error> {
    let tables = sqlx::query(
        "SELECT DISTINCT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1",
    );
    let rows = tables.bind([old, new]).fetch_all(&mut *connection).await?;
    for row in rows {
        rows_of(connection, old, new, row.try_get(0)?, comparison).await?;
    }
    Ok(())
}

async fn rows_of(
    connection: &mut PgConnection,
    old: &str,
    new: &str,
    table: &str,
    comparison: &mut Comparison,
) -> Result<(), sqlx::Error> {
    let (before, after) = (columns(connection, old, table).await?, columns(connection, new, table).await?);
    let name = |schema: &str| format!("\"{schema}\".{}", quoted(table));
    if before != after {
        for (schema, columns, count) in
            [(old, &before, &mut comparison.only_old), (new, &after, &mut comparison.only_new)]
        {
            if !columns.is_empty() {
                *count += number(connection, &format!("SELECT count(*) FROM {}", name(schema))).await?;
            }
        }
        comparison.show(|| format!("table {table} had columns {before:?}, and has {after:?}"));
        return Ok(());
    }
    // Rows as text, which tells all values apart that their types do. Rows that are there several times count as often.
    let columns: Vec<String> = before.iter().map(|(column, _)| format!("t.{}", quoted(column))).collect();
    let grouped = |schema: &str| {
        format!(
            "SELECT ROW({})::text AS r, count(*) AS n FROM {} t GROUP BY 1",
            columns.join(", "),
            name(schema)
        )
    };
    let both = format!("({}) AS o FULL JOIN ({}) AS n USING (r)", grouped(old), grouped(new));
    let count = |what: &str| format!("SELECT coalesce(sum({what}), 0)::int8 FROM {both}");
    comparison.same += number(connection, &count("least(o.n, n.n)")).await?;
    // `least` passes over what is not there.
    let alone =
        number(connection, &count("CASE WHEN o.n IS NULL OR n.n IS NULL THEN coalesce(o.n, n.n) END"))
            .await?;
    comparison.same = comparison.same.saturating_sub(alone);
    for (here, there, gone) in [("o.n", "n.n", true), ("n.n", "o.n", false)] {
        let more = format!("greatest({here} - coalesce({there}, 0), 0)");
        let only = number(connection, &count(&more)).await?;
        *(if gone { &mut comparison.only_old } else { &mut comparison.only_new }) += only;
        let examples =
            format!("SELECT r FROM {both} WHERE {more} > 0 ORDER BY 1 LIMIT {}", Comparison::EXAMPLES);
        let rows = sqlx::query(AssertSqlSafe(examples).into_sql_str()).persistent(false);
        for row in rows.fetch_all(&mut *connection).await? {
            let values: String = row.try_get(0)?;
            comparison.show(|| format!("{table}: {values} {}", if gone { "is gone" } else { "is new" }));
        }
    }
    Ok(())
}

async fn number(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let sql = sqlx::query(AssertSqlSafe(sql.to_owned()).into_sql_str()).persistent(false);
    let number: i64 = sql.fetch_one(connection).await?.try_get(0)?;
    Ok(number.unsigned_abs())
}

/// Names and types.
async fn columns(
    connection: &mut PgConnection,
    schema: &str,
    table: &str,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let columns = sqlx::query(
        "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    );
    let rows = columns.bind(schema).bind(table).fetch_all(connection).await?;
    let column = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(column).collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
