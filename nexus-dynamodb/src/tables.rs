//! The tables of a store: what they are called, what they have to be, and how they are made.

mod check;
mod create;

use aws_sdk_dynamodb::types::ScalarAttributeType;

pub(crate) use check::check;
pub use create::{TableOptions, create_tables};

use crate::error::OpenError;
use crate::{documents, items, snapshots};

/// What the tables of a store are called.
///
/// ```
/// use nexus_dynamodb::TableNames;
///
/// let names = TableNames::of("shop")?.snapshots("shop-states")?;
/// assert_eq!((names.events_table(), names.projections_table()), ("shop", "shop-projections"));
/// # Ok::<(), nexus_dynamodb::OpenError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableNames {
    events: String,
    projections: String,
    snapshots: String,
}

impl TableNames {
    /// Events in the table of this name, read models and what is noted with them in `<name>-projections`, snapshots in
    /// `<name>-snapshots`.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn of(name: &str) -> Result<Self, OpenError> {
        Ok(Self {
            events: checked(name)?,
            projections: checked(&format!("{name}-projections"))?,
            snapshots: checked(&format!("{name}-snapshots"))?,
        })
    }

    /// The same with read models, leases, dead letters and timers in the table of this name.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn projections(self, name: &str) -> Result<Self, OpenError> {
        Ok(Self { projections: checked(name)?, ..self })
    }

    /// The same with snapshots in the table of this name.
    ///
    /// # Errors
    /// [`OpenError::InvalidName`].
    pub fn snapshots(self, name: &str) -> Result<Self, OpenError> {
        Ok(Self { snapshots: checked(name)?, ..self })
    }

    /// The table with the events.
    pub fn events_table(&self) -> &str {
        &self.events
    }

    /// The table with read models, leases, dead letters and timers.
    pub fn projections_table(&self) -> &str {
        &self.projections
    }

    /// The table with snapshots.
    pub fn snapshots_table(&self) -> &str {
        &self.snapshots
    }
}

fn checked(name: &str) -> Result<String, OpenError> {
    let is_valid = (3..=255).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if is_valid { Ok(name.to_owned()) } else { Err(OpenError::InvalidName { found: name.to_owned() }) }
}

/// What a table has to be.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    partition_key: (&'static str, ScalarAttributeType),
    sort_key: (&'static str, ScalarAttributeType),
    /// Whether a stream hands on what is written.
    streams: bool,
    /// After which attribute's time items are removed.
    expires: Option<&'static str>,
    /// Another order that some items have.
    index: Option<Index>,
}

/// Some items of a table in another order.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) name: &'static str,
    partition_key: (&'static str, ScalarAttributeType),
    sort_key: (&'static str, ScalarAttributeType),
    /// What it holds besides keys.
    includes: &'static str,
}

/// Of the table with snapshots.
pub(crate) fn of_snapshots() -> Layout {
    Layout {
        partition_key: (snapshots::STREAM, ScalarAttributeType::S),
        sort_key: (snapshots::SHAPE, ScalarAttributeType::S),
        streams: false,
        expires: Some(snapshots::EXPIRES),
        index: Some(Index {
            name: snapshots::BY_AGE,
            partition_key: (snapshots::ALL, ScalarAttributeType::S),
            sort_key: (snapshots::TAKEN_AT, ScalarAttributeType::N),
            includes: snapshots::BYTES,
        }),
    }
}

/// Of the table with read models, and what is noted with them.
pub(crate) fn of_projections() -> Layout {
    Layout {
        partition_key: (documents::PLACE, ScalarAttributeType::S),
        sort_key: (documents::KEY, ScalarAttributeType::S),
        streams: false,
        expires: None,
        index: None,
    }
}

/// Of the table with the events.
pub(crate) fn of_events() -> Layout {
    Layout {
        partition_key: (items::STREAM, ScalarAttributeType::S),
        sort_key: (items::FIRST, ScalarAttributeType::N),
        streams: true,
        expires: None,
        index: None,
    }
}
