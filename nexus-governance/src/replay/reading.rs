use std::fmt;

use nexus_core::{DomainEvent, Payload, RecordedEvent};

use crate::cause::with_cause;

/// Reads events as a program does that knows their type.
pub(super) struct Reader {
    read: fn(&RecordedEvent) -> Option<Read>,
}

/// What an event is read as, by name and version; or why it cannot be read.
pub(super) type Read = Result<Vec<(&'static str, u32, Payload)>, String>;

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    pub(super) fn of<E: DomainEvent>() -> Self {
        Self { read: read::<E> }
    }

    /// What an event is read as; none where its type is none of this reader's.
    pub(super) fn read(&self, event: &RecordedEvent) -> Option<Read> {
        (self.read)(event)
    }
}

fn read<E: DomainEvent>(event: &RecordedEvent) -> Option<Read> {
    let name = event.event_type().as_str();
    let mut known = E::KINDS.iter().chain(E::FORMER.iter().map(nexus_core::FormerKind::kind));
    if !known.any(|kind| kind.name() == name) {
        return None;
    }
    let read = E::from_recorded(event).map_err(|error| with_cause(&error));
    Some(read.and_then(|became| {
        let encoded = became.into_iter().map(|became| {
            let kind = became.kind();
            let payload = became.encode().map_err(|error| error.to_string())?;
            Ok((kind.name(), kind.version().get(), payload))
        });
        encoded.collect()
    }))
}
