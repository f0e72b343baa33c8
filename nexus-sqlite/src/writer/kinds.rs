use std::collections::HashMap;

use nexus_core::EventType;
use rusqlite::{Connection, OptionalExtension};

/// The numbers of the kinds of events that were met: pairs of category and type.
#[derive(Default)]
pub(super) struct Kinds {
    known: HashMap<String, HashMap<EventType, i64>>,
}

impl Kinds {
    /// The number of this kind, which is added where it is new.
    pub(super) fn number(
        &mut self,
        connection: &Connection,
        category: &str,
        event_type: &EventType,
    ) -> rusqlite::Result<i64> {
        if let Some(number) = self.known.get(category).and_then(|types| types.get(event_type)) {
            return Ok(*number);
        }
        let names = (category, event_type.as_str());
        let stored: Option<i64> = connection
            .prepare_cached("SELECT kind FROM kinds WHERE category = ?1 AND type = ?2")?
            .query_row(names, |row| row.get(0))
            .optional()?;
        let number = match stored {
            Some(number) => number,
            None => connection
                .prepare_cached("INSERT INTO kinds (category, type) VALUES (?1, ?2)")?
                .insert(names)?,
        };
        self.known.entry(category.to_owned()).or_default().insert(event_type.clone(), number);
        Ok(number)
    }
}
