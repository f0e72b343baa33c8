use bytes::{Bytes, BytesMut};
use nexus_core::{
    BoxError, CommandId, EventId, EventParts, EventType, Metadata, Payload, Position, RecordedEvent,
    SchemaVersion, Slice, StoreError, StreamId, StreamVersion, Tag, Timestamp,
};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use crate::error::store_error;

/// The columns that [`Decoder::event`] reads, in its order. The stream comes last, so that it can be left out where it
/// is known.
pub(crate) const COLUMNS: &str =
    "position, version, slice, kind, id, recorded_at, command, metadata, tags, payload, stream";

/// The same without the stream.
pub(crate) const COLUMNS_OF_STREAM: &str =
    "position, version, slice, kind, id, recorded_at, command, metadata, tags, payload";

/// Payloads of a page share buffers of this size, larger ones have their own: fewer allocations, and an event that is
/// kept keeps no more than this.
const BUFFER: usize = 16 << 10;

/// So many kinds are remembered; there are rarely more than hundreds.
const KINDS: usize = 1 << 16;

/// JSON text that is bound as it is, without a copy.
pub(crate) struct Json<'a>(pub(crate) &'a [u8]);

impl ToSql for Json<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Makes events of rows. It remembers what many rows have in common.
#[derive(Default)]
pub(crate) struct Decoder {
    /// By their numbers, which are small.
    kinds: Vec<Option<(EventType, SchemaVersion)>>,
    stream: Option<StreamId>,
    buffer: BytesMut,
}

impl Decoder {
    /// The events of one page share buffers with each other, not with those of the next, which another thread may
    /// handle at the same time.
    pub(crate) fn start_page(&mut self) {
        self.buffer = BytesMut::new();
    }

    /// The event in this row of [`COLUMNS`], or of [`COLUMNS_OF_STREAM`] where `stream` is given; `connection` is asked
    /// for a kind that was not met before.
    pub(crate) fn event(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
        stream: Option<&StreamId>,
    ) -> Result<RecordedEvent, StoreError> {
        self.decode(connection, row, stream).map_err(|error| match error.downcast::<rusqlite::Error>() {
            Ok(error) => store_error("read an event", *error),
            Err(error) => {
                let position = row.get::<_, i64>(0).unwrap_or_default();
                StoreError::corrupt(format!("the event at position {position}"), error)
            }
        })
    }

    fn decode(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
        stream: Option<&StreamId>,
    ) -> Result<RecordedEvent, BoxError> {
        let slice = u16::try_from(integer(row, 2)?).ok().and_then(Slice::new);
        let (event_type, schema_version) = self.kind(connection, integer(row, 3)?)?;
        Ok(RecordedEvent::from(EventParts {
            id: EventId::from_bytes(uuid(bytes(row, 4)?)?),
            event_type,
            schema_version,
            payload: self.payload(bytes(row, 9)?),
            metadata: metadata(row)?,
            tags: optional(row, 8)?.map(serde_json::from_slice::<Vec<Tag>>).transpose()?.unwrap_or_default(),
            stream: match stream {
                Some(known) => known.clone(),
                None => self.stream(bytes(row, 10)?)?,
            },
            version: StreamVersion::try_from(integer(row, 1)?)?,
            slice: slice.ok_or("its slice is out of range")?,
            position: Some(Position::try_from(integer(row, 0)?)?),
            recorded_at: Timestamp::from_microsecond(integer(row, 5)?)?,
        }))
    }

    fn payload(&mut self, text: &[u8]) -> Payload {
        if text.len() > BUFFER / 4 {
            return Payload::from_checked(Bytes::copy_from_slice(text));
        }
        if self.buffer.capacity() < text.len() {
            self.buffer = BytesMut::with_capacity(BUFFER);
        }
        self.buffer.extend_from_slice(text);
        Payload::from_checked(self.buffer.split().freeze())
    }

    /// Streams come in runs.
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

    fn kind(&mut self, connection: &Connection, number: i64) -> Result<(EventType, SchemaVersion), BoxError> {
        let index = usize::try_from(number).map_err(|_| "its kind is out of range")?;
        if let Some(Some(kind)) = self.kinds.get(index) {
            return Ok(kind.clone());
        }
        let names: Option<(String, i64)> = connection
            .prepare_cached("SELECT type, schema_version FROM kinds WHERE kind = ?1")?
            .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (name, version) = names.ok_or("its kind is not in the table of kinds")?;
        let version = u32::try_from(version).ok().and_then(SchemaVersion::new);
        let kind = (EventType::new(name)?, version.ok_or("its schema version is out of range")?);
        if index < KINDS {
            if self.kinds.len() <= index {
                self.kinds.resize(index + 1, None);
            }
            self.kinds[index] = Some(kind.clone());
        }
        Ok(kind)
    }
}

fn metadata(row: &Row<'_>) -> Result<Metadata, BoxError> {
    let metadata = match optional(row, 7)? {
        Some(text) => serde_json::from_slice(text)?,
        None => Metadata::default(),
    };
    Ok(match optional(row, 6)? {
        Some(command) => metadata.with_command(CommandId::from_bytes(uuid(command)?)),
        None => metadata,
    })
}

fn uuid(bytes: &[u8]) -> Result<[u8; 16], BoxError> {
    bytes.try_into().map_err(|_| "one of its ids is no UUID".into())
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
