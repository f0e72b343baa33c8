use std::collections::HashSet;

use super::{EventId, ExpectedVersion, InvalidAppend, NewEvent, Position, Query, StreamId};

/// What one call of [`EventStore::append`](crate::EventStore::append) stores, whole or not at all: events for one
/// or several streams, what is expected of each, and an optional condition on the rest of the store.
///
/// A batch that exists has at least one event, no event id twice and no stream twice.
///
/// ```
/// # use nexus_core::*;
/// # fn events(id: u8) -> Vec<NewEvent> {
/// #     let payload = Payload::from_json("{}").unwrap();
/// #     vec![NewEvent::new(EventId::from_bytes([id; 16]), EventType::new("Moved").unwrap(), payload)]
/// # }
/// # let (withdrawn, deposited) = (events(1), events(2));
/// let (from, to, rates) =
///     (StreamId::new("account", 1)?, StreamId::new("account", 2)?, StreamId::new("rates", "eur")?);
/// let batch = AppendBatch::new(from, ExpectedVersion::Exact(StreamVersion::new(7)?), withdrawn)?
///     .and(to, ExpectedVersion::StreamExists, deposited)?
///     .expecting(rates, ExpectedVersion::Exact(StreamVersion::new(3)?))?; // read, not written
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct AppendBatch {
    parts: Vec<StreamAppend>,
    condition: Option<AppendCondition>,
}

/// The part of an [`AppendBatch`] that concerns one stream. Without events it only asserts the expected version.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamAppend {
    stream: StreamId,
    expected: ExpectedVersion,
    events: Vec<NewEvent>,
}

/// Fails an append if any event that matches `query` was stored after `after`: a dynamic consistency boundary, as
/// <https://dcb.events/specification/> has it.
#[derive(Clone, Debug, PartialEq)]
pub struct AppendCondition {
    /// The events that must not exist.
    pub query: Query,
    /// Events up to and at this position are known to the writer and do not count; `None`: every event counts.
    pub after: Option<Position>,
}

impl StreamAppend {
    /// The stream.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// What is expected of it.
    pub fn expected(&self) -> ExpectedVersion {
        self.expected
    }

    /// What is appended to it.
    pub fn events(&self) -> &[NewEvent] {
        &self.events
    }
}

impl AppendBatch {
    /// Events for one stream.
    ///
    /// # Errors
    /// There is no event, two have the same id, or metadata is nested deeper than 100 levels.
    pub fn new(
        stream: StreamId,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<Self, InvalidAppend> {
        Self { parts: Vec::with_capacity(1), condition: None }.and(stream, expected, events)
    }

    /// Events for another stream, stored together with the others.
    ///
    /// # Errors
    /// There is no event, an id is already in the batch, or the stream is.
    pub fn and(
        self,
        stream: StreamId,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<Self, InvalidAppend> {
        if events.is_empty() {
            return Err(InvalidAppend::NoEvents { stream });
        }
        if let Some((id, depth)) = too_deep(&events) {
            return Err(InvalidAppend::DeepMetadata { id, depth });
        }
        let batch = self.with_part(StreamAppend { stream, expected, events })?;
        match repeated_id(batch.events()) {
            Some(id) => Err(InvalidAppend::RepeatedId { id }),
            None => Ok(batch),
        }
    }

    /// Expects something of a stream that nothing is appended to.
    ///
    /// # Errors
    /// The stream is already in the batch.
    pub fn expecting(self, stream: StreamId, expected: ExpectedVersion) -> Result<Self, InvalidAppend> {
        self.with_part(StreamAppend { stream, expected, events: Vec::new() })
    }

    /// Stores nothing if the condition does not hold. A condition that is there is replaced.
    #[must_use]
    pub fn when(self, condition: AppendCondition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    fn with_part(mut self, part: StreamAppend) -> Result<Self, InvalidAppend> {
        if self.parts.iter().any(|other| other.stream == part.stream) {
            return Err(InvalidAppend::RepeatedStream { stream: part.stream });
        }
        self.parts.push(part);
        Ok(self)
    }

    /// The parts, in the order they were given.
    pub fn parts(&self) -> &[StreamAppend] {
        &self.parts
    }

    /// The condition, where there is one.
    pub fn condition(&self) -> Option<&AppendCondition> {
        self.condition.as_ref()
    }

    /// All events, part by part: the order they are stored in.
    pub fn events(&self) -> impl Iterator<Item = &NewEvent> {
        self.parts.iter().flat_map(|part| &part.events)
    }

    /// How many events there are.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.events.len()).sum()
    }

    /// Never: a batch has at least one event.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parsers stop at 128 levels.
fn too_deep(events: &[NewEvent]) -> Option<(EventId, usize)> {
    events.iter().map(|event| (event.id(), event.metadata().depth())).find(|(_, depth)| *depth > 100)
}

fn repeated_id<'a>(events: impl Iterator<Item = &'a NewEvent>) -> Option<EventId> {
    let mut seen = HashSet::with_capacity(events.size_hint().0);
    events.map(NewEvent::id).find(|id| !seen.insert(*id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{EventType, Payload};

    fn event(id: u8) -> NewEvent {
        let payload = Payload::from_json("{}").unwrap();
        NewEvent::new(EventId::from_bytes([id; 16]), EventType::new("A").unwrap(), payload)
    }

    fn stream(id: u8) -> StreamId {
        StreamId::new("a", id).unwrap()
    }

    #[test]
    fn a_batch_has_events_and_nothing_twice() {
        let any = ExpectedVersion::Any;
        assert!(matches!(AppendBatch::new(stream(1), any, vec![]), Err(InvalidAppend::NoEvents { .. })));
        assert!(matches!(
            AppendBatch::new(stream(1), any, vec![event(1), event(1)]),
            Err(InvalidAppend::RepeatedId { .. })
        ));
        let batch = AppendBatch::new(stream(1), any, vec![event(1)]).unwrap();
        assert!(matches!(
            batch.clone().and(stream(2), any, vec![event(1)]),
            Err(InvalidAppend::RepeatedId { .. })
        ));
        assert!(matches!(
            batch.clone().and(stream(1), any, vec![event(2)]),
            Err(InvalidAppend::RepeatedStream { .. })
        ));
        assert!(matches!(batch.clone().expecting(stream(1), any), Err(InvalidAppend::RepeatedStream { .. })));
        assert_eq!(batch.expecting(stream(2), any).unwrap().len(), 1);
    }

    #[test]
    fn metadata_that_could_not_be_read_back_is_refused() {
        let nested = |levels| (1..levels).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        let with = |levels| {
            event(1).with_metadata(crate::vocabulary::Metadata::default().with_extra("a", nested(levels)))
        };
        let refused = AppendBatch::new(stream(1), ExpectedVersion::Any, vec![with(101)]);
        assert!(matches!(refused, Err(InvalidAppend::DeepMetadata { depth: 101, .. })));
        let taken = with(100);
        let text = serde_json::to_string(taken.metadata()).unwrap();
        assert!(serde_json::from_str::<crate::vocabulary::Metadata>(&text).is_ok());
        assert!(AppendBatch::new(stream(1), ExpectedVersion::Any, vec![taken]).is_ok());
    }
}
