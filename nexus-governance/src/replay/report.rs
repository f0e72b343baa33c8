use std::collections::HashMap;
use std::fmt;

use nexus_core::{Position, RecordedEvent, StreamId, StreamVersion};
use serde::Serialize;

use super::kind::Kind;

/// What a [`Replay`](super::Replay) has found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ReplayReport {
    /// How many events it has gone over.
    pub events: u64,
    /// How many of them would break, in one way or several.
    pub broken: u64,
    /// How often an event was read by your program's types.
    pub read: u64,
    /// How many appends policies have judged.
    pub appends: u64,
    /// Where the last event is.
    pub position: Option<Position>,
    /// What would break, each kind of it once, in the order in which it was met.
    pub breaks: Vec<ReplayBreak>,
    /// How often something would break in still other ways than those that are listed: of each rule, event type and version, twenty.
    pub more: u64,
    /// About which of `append` and `publish` the policies decide nothing. A [`Governed`](crate::Governed) store that has these policies would refuse
    /// all.
    pub undecided: Vec<&'static str>,
    /// Why not all could be gone over: what is stored is damaged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
    /// Where in the list each kind is, and how many there are of each rule, event type and version.
    #[serde(skip)]
    known: HashMap<(&'static str, String, u32, Kind), usize>,
    #[serde(skip)]
    listed: HashMap<(&'static str, String, u32), usize>,
    /// Whether the event at hand is counted.
    #[serde(skip)]
    is_counted: bool,
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
}

/// What is told where policies decide nothing about appends; about publishing, many have no need to.
pub(crate) const NO_APPEND: &str =
    "the policies have no package nexus.append: nothing was asked about appends";

/// So many kinds of each rule, event type and version are listed.
const LISTED: usize = 20;

impl ReplayReport {
    /// Whether nothing would break, as far as all could be gone over.
    pub fn is_fine(&self) -> bool {
        self.broken == 0 && self.stopped.is_none()
    }

    pub(super) fn begin_event(&mut self) {
        self.is_counted = false;
    }

    pub(super) fn add(&mut self, rule: &'static str, event: &RecordedEvent, kind: Kind, message: String) {
        if !self.is_counted {
            self.is_counted = true;
            self.broken += 1;
        }
        let (event_type, schema_version) =
            (event.event_type().as_str().to_owned(), event.schema_version().get());
        let key = (rule, event_type.clone(), schema_version, kind);
        if let Some(known) = self.known.get(&key).and_then(|index| self.breaks.get_mut(*index)) {
            known.count += 1;
            return;
        }
        let listed = self.listed.entry((rule, event_type.clone(), schema_version)).or_default();
        if *listed >= LISTED {
            self.more += 1;
            return;
        }
        *listed += 1;
        self.known.insert(key, self.breaks.len());
        self.breaks.push(ReplayBreak {
            rule,
            event_type,
            schema_version,
            message,
            count: 1,
            stream: event.stream().clone(),
            version: event.version(),
            position: event.position(),
        });
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
        if self.undecided.contains(&"append") {
            writeln!(f, "{NO_APPEND}")?;
        }
        if let Some(reason) = &self.stopped {
            writeln!(f, "not all could be gone over: {reason}")?;
        }
        match self.broken {
            0 => writeln!(f, "{} events: nothing would break", self.events),
            broken => writeln!(f, "{} events: {broken} would break", self.events),
        }
    }
}
