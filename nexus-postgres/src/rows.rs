//! Rows of events, as values.

mod fields;
mod tuples;

use bytes::{Bytes, BytesMut};
use nexus_core::{
    BoxError, CommandId, EventId, EventParts, Metadata, Payload, Position, RecordedEvent, Slice, StoreError,
    StreamId, StreamVersion, Tag,
};
use sqlx::Row;
use sqlx::postgres::PgRow;

pub(crate) use self::fields::Fields;
pub(crate) use self::tuples::Tuples;
use crate::kinds::Known;
use crate::values::time;

/// The columns that [`Decoder::event`] reads, in its order. The stream comes last, so that it can be left out where it
/// is known.
pub(crate) const COLUMNS: &str =
    "position, version, recorded_at, kind, slice, id, command, metadata, tags, payload, stream";

/// The same without the stream.
pub(crate) const COLUMNS_OF_STREAM: &str =
    "position, version, recorded_at, kind, slice, id, command, metadata, tags, payload";

/// Payloads of a page share buffers of this size, larger ones have their own: fewer allocations, and an event that is
/// kept keeps no more than this.
const BUFFER: usize = 16 << 10;

/// Makes events of the rows of one page. It remembers what many rows have in common.
#[derive(Default)]
pub(crate) struct Decoder {
    stream: Option<StreamId>,
    buffer: BytesMut,
}

/// The number in the first column, which comes before those of an event.
pub(crate) fn number(row: &PgRow) -> Result<i64, sqlx::Error> {
    row.try_get(0)
}

impl Fields<'_> {
    /// The kind of the event; it may not be known yet.
    pub(crate) fn kind(&self) -> Option<i32> {
        self.optional(3).and_then(|bytes| bytes.try_into().ok()).map(i32::from_be_bytes)
    }
}

impl Decoder {
    /// The event with these fields, of [`COLUMNS`], or of [`COLUMNS_OF_STREAM`] where `stream` is given.
    pub(crate) fn event(
        &mut self,
        fields: &Fields<'_>,
        kinds: &Known,
        stream: Option<&StreamId>,
    ) -> Result<RecordedEvent, StoreError> {
        self.decode(fields, kinds, stream).map_err(|error| {
            let position = fields.bytes(0).and_then(integer).unwrap_or_default();
            StoreError::corrupt(format!("the event at position {position}"), error)
        })
    }

    fn decode(
        &mut self,
        fields: &Fields<'_>,
        kinds: &Known,
        stream: Option<&StreamId>,
    ) -> Result<RecordedEvent, BoxError> {
        let kind = fields.kind().and_then(|number| kinds.kind(number));
        let (event_type, schema_version) = kind.ok_or("its kind is not in the table of kinds")?;
        let slice = i16::from_be_bytes(fields.bytes(4)?.try_into()?);
        let slice = u16::try_from(slice).ok().and_then(Slice::new);
        Ok(RecordedEvent::from(EventParts {
            id: EventId::from_bytes(fields.bytes(5)?.try_into()?),
            event_type,
            schema_version,
            payload: self.payload(fields.bytes(9)?),
            metadata: metadata(fields)?,
            tags: match fields.optional(8) {
                Some(text) => serde_json::from_slice::<Vec<Tag>>(text)?,
                None => Vec::new(),
            },
            stream: match stream {
                Some(known) => known.clone(),
                None => self.stream(fields.bytes(10)?)?,
            },
            version: StreamVersion::try_from(integer(fields.bytes(1)?)?)?,
            slice: slice.ok_or("its slice is out of range")?,
            position: Some(Position::try_from(integer(fields.bytes(0)?)?)?),
            recorded_at: time(integer(fields.bytes(2)?)?)?,
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
}

fn metadata(fields: &Fields<'_>) -> Result<Metadata, BoxError> {
    let metadata = match fields.optional(7) {
        Some(text) => serde_json::from_slice(text)?,
        None => Metadata::default(),
    };
    Ok(match fields.optional(6) {
        Some(command) => metadata.with_command(CommandId::from_bytes(command.try_into()?)),
        None => metadata,
    })
}

fn integer(bytes: &[u8]) -> Result<i64, BoxError> {
    Ok(i64::from_be_bytes(bytes.try_into()?))
}
