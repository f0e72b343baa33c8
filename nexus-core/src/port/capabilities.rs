use crate::vocabulary::{AppendBatch, InvalidAppend, StoreError};

/// What a store can do beyond the least that [`EventStore`](crate::EventStore) asks for, and its limits.
///
/// What is declared works; what is not declared is refused with
/// [`StoreError::Unsupported`](crate::StoreError::Unsupported).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    conditions: bool,
    several_streams: bool,
    max_batch_events: Option<u64>,
    max_batch_bytes: Option<u64>,
}

impl Capabilities {
    /// One stream a batch, no conditions, no limits.
    pub const fn least() -> Self {
        Self { conditions: false, several_streams: false, max_batch_events: None, max_batch_bytes: None }
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

    /// Whether a batch may carry an [`AppendCondition`](crate::AppendCondition).
    pub const fn conditions(&self) -> bool {
        self.conditions
    }

    /// Whether a batch may name several streams.
    pub const fn several_streams(&self) -> bool {
        self.several_streams
    }

    /// How many events a batch may have; `None`: as many as fit into memory.
    pub const fn max_batch_events(&self) -> Option<u64> {
        self.max_batch_events
    }

    /// How many bytes the payloads of a batch may have together; `None`: as many as fit into memory.
    pub const fn max_batch_bytes(&self) -> Option<u64> {
        self.max_batch_bytes
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
        if let Some(limit) = self.max_batch_events
            && batch.len() as u64 > limit
        {
            return too_large("events", batch.len() as u64, limit);
        }
        if let Some(limit) = self.max_batch_bytes {
            let bytes = batch.events().map(|event| event.payload().len() as u64).sum();
            if bytes > limit {
                return too_large("bytes of payload", bytes, limit);
            }
        }
        Ok(())
    }
}
