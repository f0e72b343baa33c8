use std::fmt;
use std::sync::Arc;

use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// The schema that holds a store's tables, as it is written in PostgreSQL: one to 40 of `a–z 0–9 _`, a letter or `_` first,
/// not starting with `pg_`.
///
/// ```
/// use nexus_postgres::SchemaName;
///
/// assert_eq!(SchemaName::new("shop_events")?.as_str(), "shop_events");
/// assert!(SchemaName::new("Shop; DROP TABLE").is_err());
/// # Ok::<(), nexus_postgres::InvalidSchemaName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SchemaName(Arc<str>);

/// A text that is no [`SchemaName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} cannot name a store's schema: a name takes 1 to 40 of the characters a-z, 0-9 and '_', a letter or '_' \
     first, and does not start with \"pg_\""
)]
pub struct InvalidSchemaName {
    found: String,
}

impl SchemaName {
    /// The name with this text.
    pub fn new(text: &str) -> Result<Self, InvalidSchemaName> {
        let is_valid = (1..=40).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
            && !text.starts_with("pg_");
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidSchemaName { found: text.to_owned() }) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SchemaName {
    /// `nexus`.
    fn default() -> Self {
        Self("nexus".into())
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the statements of one store have in common: where its tables are, and by which numbers its processes know each
/// other.
#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) name: SchemaName,
}

impl Schema {
    pub(crate) fn new(name: SchemaName) -> Self {
        Self { name }
    }

    /// A statement of ours: `nexus.` stands for the schema, and a name after a colon for a class of advisory locks.
    pub(crate) fn sql(&self, template: &str) -> Sql {
        Sql(self.text(template).into())
    }

    /// Its text.
    pub(crate) fn text(&self, template: &str) -> String {
        let mut text = template.replace("nexus.", &format!("\"{}\".", self.name));
        for purpose in Purpose::ALL {
            text = text.replace(purpose.placeholder(), &self.class(purpose).to_string());
        }
        text
    }

    /// Where news are announced.
    pub(crate) fn channel(&self) -> String {
        format!("nexus_{}", self.name)
    }

    /// The first number of advisory locks for one purpose: the same in every process, and rarely anybody else's.
    pub(crate) fn class(&self, purpose: Purpose) -> i32 {
        hash(&format!("nexus {} {}", purpose.placeholder(), self.name))
    }
}

/// What a transaction says in which projections run: their own tables are in this schema, and may be gone through whole.
pub(crate) fn local_to_projections(schema: &str) -> String {
    format!(
        "SET LOCAL search_path = \"{schema}\"; SET LOCAL enable_seqscan = on; SET LOCAL enable_bitmapscan = on"
    )
}

/// What advisory locks are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// "I may draw positions above this one": shared by writers, looked at by readers.
    InFlight,
    /// One append with a condition at a time.
    Conditions,
    /// One append with inline projections at a time.
    Inline,
    /// One process at a time adds kinds.
    Kinds,
    /// One process at a time changes tables.
    Migration,
    /// One transaction of a read model at a time.
    Space,
}

impl Purpose {
    const ALL: [Self; 6] =
        [Self::InFlight, Self::Conditions, Self::Inline, Self::Kinds, Self::Migration, Self::Space];

    fn placeholder(self) -> &'static str {
        match self {
            Self::InFlight => ":in_flight",
            Self::Conditions => ":conditions",
            Self::Inline => ":inline",
            Self::Kinds => ":kinds",
            Self::Migration => ":migration",
            Self::Space => ":space",
        }
    }
}

/// FNV-1a of 32 bits: stored nowhere, but the same in all versions.
pub(crate) fn hash(text: &str) -> i32 {
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash.cast_signed()
}

/// A statement of ours, whose values are parameters.
#[derive(Clone, Debug)]
pub(crate) struct Sql(Arc<str>);

impl Sql {
    /// To be bound and run; prepared once on each connection.
    pub(crate) fn query<'q>(&self) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(AssertSqlSafe(Arc::clone(&self.0)).into_sql_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_a_plain_name() {
        for refused in ["", "Nexus", "a-b", "1a", "pg_nexus", "a\"b", &"x".repeat(41)] {
            assert!(SchemaName::new(refused).unwrap_err().to_string().contains("1 to 40"), "{refused}");
        }
    }

    #[test]
    fn processes_of_all_versions_know_each_other() {
        let schema = Schema::new(SchemaName::default());
        let classes = Purpose::ALL.map(|purpose| schema.class(purpose));
        let expected = [189_091_479, 168_325_239, 1_735_516_044, 1_412_283_866, -47_037_939, 478_527_719];
        assert_eq!(classes, expected);
        let sql = schema.sql("SELECT pg_advisory_xact_lock(:kinds, 0) FROM nexus.kinds");
        assert!(sql.0.ends_with(", 0) FROM \"nexus\".kinds"), "{sql:?}");
    }
}
