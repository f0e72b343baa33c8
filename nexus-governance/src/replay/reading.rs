use std::fmt;

use nexus_core::{Aggregate, DecodeError, Decoded, DomainEvent, FormerKind, Payload, RecordedEvent};

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
    pub(super) fn of_aggregate<A: Aggregate>() -> Self {
        Self { read: read_of_aggregate::<A> }
    }

    pub(super) fn of_events<E: DomainEvent>() -> Self {
        Self { read: read_of_events::<E> }
    }

    /// What an event is read as; none where it is none of this reader's.
    pub(super) fn read(&self, event: &RecordedEvent) -> Option<Read> {
        (self.read)(event)
    }
}

fn read_of_aggregate<A: Aggregate>(event: &RecordedEvent) -> Option<Read> {
    (event.stream().category() == A::CATEGORY).then(|| encoded(A::read(event)))
}

fn read_of_events<E: DomainEvent>(event: &RecordedEvent) -> Option<Read> {
    let name = event.event_type().as_str();
    let mut known = E::KINDS.iter().chain(E::FORMER.iter().map(FormerKind::kind));
    known.any(|kind| kind.name() == name).then(|| encoded(E::from_recorded(event)))
}

fn encoded<E: DomainEvent>(read: Result<Decoded<E>, DecodeError>) -> Read {
    let became = read.map_err(|error| with_cause(&error))?;
    let encoded = became.into_iter().map(|became| {
        let kind = became.kind();
        let payload = became.encode().map_err(|error| error.to_string())?;
        Ok((kind.name(), kind.version().get(), payload))
    });
    encoded.collect()
}
