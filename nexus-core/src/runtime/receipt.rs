use crate::vocabulary::{Appended, Commit, EventId, Position, StreamId, StreamVersion};

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// What became of the command.
    pub outcome: Outcome,
    /// The aggregate's stream.
    pub stream: StreamId,
    /// The version of the last event that the command stored; where nothing had to happen, the version that was
    /// decided on. `None`: the stream does not exist, or was not read, since the decision was over a query.
    pub version: Option<StreamVersion>,
    /// The ids of the command's events, by version.
    pub events: Vec<EventId>,
    /// The position of the commit, to wait for read models with; `None` where nothing was stored, or the store has
    /// no total order.
    pub position: Option<Position>,
    /// How often the command was decided in this call: more than once where others were first.
    pub attempts: u32,
}

/// What became of a command that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its events were stored.
    Stored,
    /// It had been carried out before; this is the receipt it got then, and nothing was stored now.
    Repeated,
    /// Nothing had to happen, and nothing was stored.
    Unchanged,
}

impl Outcome {
    pub(super) fn of(appended: &Appended) -> Self {
        match appended {
            Appended::Stored(_) => Self::Stored,
            Appended::Repeated(_) => Self::Repeated,
        }
    }
}

impl Receipt {
    pub(super) fn after(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    pub(super) fn of_append(stream: &StreamId, version: Option<StreamVersion>, appended: &Appended) -> Self {
        Self::of_commit(stream, version, appended.commit(), Outcome::of(appended))
    }

    /// What `commit` means for `stream`; where it stored nothing there, `version` is what it was decided on.
    pub(super) fn of_commit(
        stream: &StreamId,
        version: Option<StreamVersion>,
        commit: &Commit,
        outcome: Outcome,
    ) -> Self {
        match commit.stream(stream) {
            Some(part) => Self {
                outcome,
                stream: stream.clone(),
                version: Some(part.last()),
                events: part.events.clone(),
                position: commit.position,
                attempts: 1,
            },
            None => Self::unchanged(stream, version),
        }
    }

    pub(super) fn unchanged(stream: &StreamId, version: Option<StreamVersion>) -> Self {
        let (outcome, stream) = (Outcome::Unchanged, stream.clone());
        Self { outcome, stream, version, events: Vec::new(), position: None, attempts: 1 }
    }
}
