use crate::vocabulary::{AppendBatch, InvalidAppend, NewEvent, StoreError};

/// What a store can do beyond the least that [`EventStore`](crate::EventStore) asks for, and its limits.
///
/// What is declared works; what is not declared is refused with
/// [`StoreError::Unsupported`](crate::StoreError::Unsupported).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    conditions: bool,
    several_streams: bool,
    ids_across_streams: bool,
    max_streams: Option<u64>,
    max_batch_events: Option<u64>,
    max_batch_bytes: Option<u64>,
    max_stream_bytes: Option<u64>,
}

impl Capabilities {
    /// One stream a batch, no conditions, ids known within a stream, no limits.
    pub const fn least() -> Self {
        Self {
            conditions: false,
            several_streams: false,
            ids_across_streams: false,
            max_streams: None,
            max_batch_events: None,
            max_batch_bytes: None,
            max_stream_bytes: None,
        }
    }

    /// The store takes append conditions.
    #[must_use]
    pub const fn with_conditions(self) -> Self {
        Self { conditions: true, ..self }
    }

    /// The store takes batches over several streams.
    #[must_use]
    pub const fn with_several_streams(self) -> Self {
        Self { several_streams: true, ..self }
    }

    /// The store knows an event id again whatever stream it is stored in. One that does not declare it knows those of the same stream,
    /// and may store the event of another once more.
    #[must_use]
    pub const fn with_ids_across_streams(self) -> Self {
        Self { ids_across_streams: true, ..self }
    }

    /// The store takes batches over so many streams at most.
    #[must_use]
    pub const fn with_max_streams(self, streams: u64) -> Self {
        Self { max_streams: Some(streams), ..self }
    }

    /// The store takes at most so many events a batch.
    #[must_use]
    pub const fn with_max_batch_events(self, events: u64) -> Self {
        Self { max_batch_events: Some(events), ..self }
    }

    /// The store takes at most so many bytes of payloads a batch.
    #[must_use]
    pub const fn with_max_batch_bytes(self, bytes: u64) -> Self {
        Self { max_batch_bytes: Some(bytes), ..self }
    }

    /// The store takes at most so many bytes of payloads for each stream of a batch.
    #[must_use]
    pub const fn with_max_stream_bytes(self, bytes: u64) -> Self {
        Self { max_stream_bytes: Some(bytes), ..self }
    }

    /// Whether a batch may carry an [`AppendCondition`](crate::AppendCondition).
    pub const fn conditions(&self) -> bool {
        self.conditions
    }

    /// Whether a batch may name several streams.
    pub const fn several_streams(&self) -> bool {
        self.several_streams
    }

    /// Whether an event id is known again in another stream than the one it was stored in.
    pub const fn ids_across_streams(&self) -> bool {
        self.ids_across_streams
    }

    /// How many streams a batch may name, where it may name several; `None`: as many as one likes.
    pub const fn max_streams(&self) -> Option<u64> {
        self.max_streams
    }

    /// How many events a batch may have; `None`: as many as fit into memory.
    pub const fn max_batch_events(&self) -> Option<u64> {
        self.max_batch_events
    }

    /// How many bytes the payloads of a batch may have together; `None`: as many as fit into memory.
    pub const fn max_batch_bytes(&self) -> Option<u64> {
        self.max_batch_bytes
    }

    /// How many bytes the payloads for one stream of a batch may have together; `None`: as many as the batch.
    pub const fn max_stream_bytes(&self) -> Option<u64> {
        self.max_stream_bytes
    }

    /// Refuses a batch that the store does not take; every backend asks this before it does anything.
    pub fn check(&self, batch: &AppendBatch) -> Result<(), StoreError> {
        if !self.conditions && batch.condition().is_some() {
            return Err(StoreError::Unsupported { what: "append conditions" });
        }
        if !self.several_streams && batch.parts().len() > 1 {
            return Err(StoreError::Unsupported { what: "appends to several streams" });
        }
        let too_large = |unit, found, limit| Err(InvalidAppend::TooLarge { unit, found, limit }.into());
        if let Some(limit) = self.max_streams
            && batch.parts().len() as u64 > limit
        {
            return too_large("streams", batch.parts().len() as u64, limit);
        }
        if let Some(limit) = self.max_batch_events
            && batch.len() as u64 > limit
        {
            return too_large("events", batch.len() as u64, limit);
        }
        if let Some(limit) = self.max_batch_bytes {
            let bytes = payloads(batch.events());
            if bytes > limit {
                return too_large("bytes of payload", bytes, limit);
            }
        }
        if let Some(limit) = self.max_stream_bytes {
            let largest = batch.parts().iter().map(|part| payloads(part.events())).max().unwrap_or(0);
            if largest > limit {
                return too_large("bytes of payload for one stream", largest, limit);
            }
        }
        Ok(())
    }
}

fn payloads<'a>(events: impl IntoIterator<Item = &'a NewEvent>) -> u64 {
    events.into_iter().map(|event| event.payload().len() as u64).sum()
}
