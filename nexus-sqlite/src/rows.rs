use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use nexus_core::{
    BoxError, EventId, EventParts, EventType, Metadata, NewEvent, Payload, Position, RecordedEvent,
    SchemaVersion, Slice, StoreError, StreamId, StreamVersion, Tag, Timestamp,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::error::store_error;

/// The columns that [`Decoder::event`] reads, in its order.
pub(crate) const COLUMNS: &str = "position, stream, version, slice, kind, schema_version, id, recorded_at, \
                                  metadata, tags, payload";

/// Makes events of rows. It remembers what many rows have in common: kinds, the last stream, the last metadata.
#[derive(Default)]
pub(crate) struct Decoder {
    kinds: HashMap<i64, EventType>,
    stream: Option<StreamId>,
    metadata: Option<(Vec<u8>, Arc<Metadata>)>,
}

impl Decoder {
    /// The event in this row of [`COLUMNS`]; `connection` is asked for a kind that was not met before.
    pub(crate) fn event(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
    ) -> Result<RecordedEvent, StoreError> {
        self.decode(connection, row).map_err(|error| match error.downcast::<rusqlite::Error>() {
            Ok(error) => store_error("read an event", *error),
            Err(error) => {
                let position = row.get::<_, i64>(0).unwrap_or_default();
                StoreError::corrupt(format!("the event at position {position}"), error)
            }
        })
    }

    fn decode(&mut self, connection: &Connection, row: &Row<'_>) -> Result<RecordedEvent, BoxError> {
        let position = Position::try_from(integer(row, 0)?)?;
        let stream = self.stream(bytes(row, 1)?)?;
        let version = StreamVersion::try_from(integer(row, 2)?)?;
        let slice =
            u16::try_from(integer(row, 3)?).ok().and_then(Slice::new).ok_or("its slice is out of range")?;
        let event_type = self.event_type(connection, integer(row, 4)?)?;
        let schema_version = u32::try_from(integer(row, 5)?).ok().and_then(SchemaVersion::new);
        let id = EventId::from_bytes(bytes(row, 6)?.try_into().map_err(|_| "its id is no UUID")?);
        let recorded_at = Timestamp::from_microsecond(integer(row, 7)?)?;
        let payload = Payload::from_checked(Bytes::copy_from_slice(bytes(row, 10)?));

        let mut event = NewEvent::new(id, event_type, payload)
            .with_schema_version(schema_version.ok_or("its schema version is out of range")?);
        if let Some(metadata) = optional(row, 8)? {
            event = event.with_metadata(self.metadata(metadata)?);
        }
        if let Some(tags) = optional(row, 9)? {
            event = event.with_tags(serde_json::from_slice::<Vec<Tag>>(tags)?);
        }
        let position = Some(position);
        Ok(EventParts { event, stream, version, slice, position, recorded_at }.into())
    }

    fn stream(&mut self, text: &[u8]) -> Result<StreamId, BoxError> {
        match &self.stream {
            Some(stream) if stream.as_str().as_bytes() == text => Ok(stream.clone()),
            _ => {
                let stream: StreamId = std::str::from_utf8(text)?.parse()?;
                self.stream = Some(stream.clone());
                Ok(stream)
            }
        }
    }

    fn metadata(&mut self, text: &[u8]) -> Result<Arc<Metadata>, BoxError> {
        match &self.metadata {
            Some((known, metadata)) if known == text => Ok(Arc::clone(metadata)),
            _ => {
                let metadata: Arc<Metadata> = Arc::new(serde_json::from_slice(text)?);
                self.metadata = Some((text.to_vec(), Arc::clone(&metadata)));
                Ok(metadata)
            }
        }
    }

    fn event_type(&mut self, connection: &Connection, kind: i64) -> Result<EventType, BoxError> {
        if let Some(event_type) = self.kinds.get(&kind) {
            return Ok(event_type.clone());
        }
        let name: Option<String> = connection
            .prepare_cached("SELECT type FROM kinds WHERE kind = ?1")?
            .query_row([kind], |row| row.get(0))
            .optional()?;
        let event_type = EventType::new(name.ok_or("its kind is not in the table of kinds")?)?;
        self.kinds.insert(kind, event_type.clone());
        Ok(event_type)
    }
}

fn integer(row: &Row<'_>, column: usize) -> Result<i64, BoxError> {
    match row.get_ref(column)? {
        ValueRef::Integer(number) => Ok(number),
        _ => Err(format!("column {column} is no integer").into()),
    }
}

fn optional<'row>(row: &'row Row<'_>, column: usize) -> Result<Option<&'row [u8]>, BoxError> {
    match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
        ValueRef::Null => Ok(None),
        _ => Err(format!("column {column} is no text").into()),
    }
}

fn bytes<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row [u8], BoxError> {
    optional(row, column)?.ok_or_else(|| format!("column {column} is empty").into())
}
