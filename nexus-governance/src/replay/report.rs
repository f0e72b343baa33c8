use std::fmt;

use nexus_core::{Position, RecordedEvent, StreamId, StreamVersion};
use serde::Serialize;

/// What a [`Replay`](super::Replay) has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplayReport {
    /// How many events it has gone over.
    pub events: u64,
    /// How often an event was read by your program's types.
    pub read: u64,
    /// How many appends policies have judged.
    pub appends: u64,
    /// Where the last event is.
    pub position: Option<Position>,
    /// What would break, each kind of it once, in the order in which it was met.
    pub breaks: Vec<ReplayBreak>,
    /// How many events would break in still other ways than those that are listed.
    pub more: u64,
}

/// Something that would break.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReplayBreak {
    /// A name that does not change, for programs: `unregistered-event`, `unfit-event`, `unreadable-event`, `unfit-as-read`,
    /// `denied-append` or `denied-publish`.
    pub rule: &'static str,
    /// Of which type the event is; of an append, the first.
    pub event_type: String,
    /// In which version it was stored.
    pub schema_version: u32,
    /// What is wrong with the first of them.
    pub message: String,
    /// How many there are.
    pub count: u64,
    /// The stream of the first.
    pub stream: StreamId,
    /// Its version.
    pub version: StreamVersion,
    /// Its position.
    pub position: Option<Position>,
    #[serde(skip)]
    key: String,
}

/// So many kinds of it are listed.
const LISTED: usize = 1_000;

impl ReplayReport {
    /// How many times something would break.
    pub fn broken(&self) -> u64 {
        self.breaks.iter().map(|found| found.count).sum::<u64>() + self.more
    }

    pub(super) fn add(&mut self, rule: &'static str, event: &RecordedEvent, message: String) {
        let (event_type, schema_version) = (event.event_type().as_str(), event.schema_version().get());
        // Messages that tell amounts or ids are of one kind.
        let key: String = message.chars().filter(|character| !character.is_ascii_digit()).collect();
        let known = self.breaks.iter_mut().find(|known| {
            known.rule == rule
                && known.event_type == event_type
                && known.schema_version == schema_version
                && known.key == key
        });
        if let Some(known) = known {
            known.count += 1;
        } else if self.breaks.len() >= LISTED {
            self.more += 1;
        } else {
            self.breaks.push(ReplayBreak {
                rule,
                event_type: event_type.to_owned(),
                schema_version,
                message,
                count: 1,
                stream: event.stream().clone(),
                version: event.version(),
                position: event.position(),
                key,
            });
        }
    }
}

impl fmt::Display for ReplayBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, event_type, schema_version, message, count, stream, version, .. } = self;
        writeln!(f, "{rule}: {event_type} version {schema_version}, {count} times: {message}")?;
        write!(f, "  first in {stream}, version {version}")?;
        match self.position {
            Some(position) => writeln!(f, ", position {position}"),
            None => writeln!(f),
        }
    }
}

impl fmt::Display for ReplayReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.breaks.iter().try_for_each(|found| found.fmt(f))?;
        if self.more > 0 {
            writeln!(f, "and {} more, in other ways", self.more)?;
        }
        match self.broken() {
            0 => writeln!(f, "{} events: nothing would break", self.events),
            broken => writeln!(f, "{} events: {broken} would break", self.events),
        }
    }
}
