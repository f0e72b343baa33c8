use std::collections::HashMap;

use nexus_core::{EventType, NewEvent, SchemaVersion};
use rusqlite::{Connection, OptionalExtension};

/// The numbers of the kinds of events that were met: category, type and schema version.
#[derive(Default)]
pub(super) struct Kinds {
    known: HashMap<String, HashMap<(EventType, SchemaVersion), i64>>,
}

impl Kinds {
    /// The number of this event's kind, which is added where it is new.
    pub(super) fn number(
        &mut self,
        connection: &Connection,
        category: &str,
        event: &NewEvent,
    ) -> rusqlite::Result<i64> {
        let kind = (event.event_type().clone(), event.schema_version());
        if let Some(number) = self.known.get(category).and_then(|kinds| kinds.get(&kind)) {
            return Ok(*number);
        }
        let columns = (category, kind.0.as_str(), kind.1.get());
        let stored: Option<i64> = connection
            .prepare_cached(
                "SELECT kind FROM kinds WHERE category = ?1 AND type = ?2 AND schema_version = ?3",
            )?
            .query_row(columns, |row| row.get(0))
            .optional()?;
        let number = match stored {
            Some(number) => number,
            None => connection
                .prepare_cached("INSERT INTO kinds (category, type, schema_version) VALUES (?1, ?2, ?3)")?
                .insert(columns)?,
        };
        self.known.entry(category.to_owned()).or_default().insert(kind, number);
        Ok(number)
    }
}
