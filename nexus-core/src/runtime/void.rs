use serde::Serialize;

use super::{Outcome, Receipt, Repository, RepositoryError};
use crate::domain::{Aggregate, EncodeError};
use crate::port::EventStore;
use crate::vocabulary::{
    AppendBatch, CommandId, Commit, EventId, EventType, ExpectedVersion, InvalidAppend, Metadata, NewEvent,
    Payload, StoreError, StreamId,
};

/// What became of a command that was to be made void.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the command may have been carried out before"]
pub enum Voided {
    /// It had no effect, and will have none.
    Void,
    /// It had been carried out before; this is its receipt.
    CarriedOut(Receipt),
}

impl<S: EventStore> Repository<S> {
    /// Makes sure that a command has no effect from now on: one that was sent, but whose answer nobody has, may be late on
    /// its way. Whoever carries it out later gets [`RepositoryError::Voided`].
    ///
    /// Two events of type `$CommandVoided` take the ids in the aggregate's stream that the command's own events would have
    /// had: of the two appends the store takes one. They mean nothing to the aggregate and are read as
    /// [no event](crate::DomainEvent::from_recorded); its version goes on by two. An aggregate without events has a stream
    /// from then on.
    ///
    /// # Errors
    /// The store fails: then nothing is known, and it can be tried again.
    pub async fn void<A: Aggregate>(
        &self,
        id: &A::Id,
        command: CommandId,
    ) -> Result<Voided, RepositoryError> {
        self.void_in(&A::stream(id)?, command, Metadata::default()).await
    }

    pub(super) async fn void_in(
        &self,
        stream: &StreamId,
        command: CommandId,
        metadata: Metadata,
    ) -> Result<Voided, RepositoryError> {
        let events = marks(command, stream, &metadata.with_command(command))?;
        let batch = AppendBatch::new(stream.clone(), ExpectedVersion::Any, events)?;
        match self.append(batch).await {
            Ok(_) => Ok(Voided::Void),
            Err(StoreError::Invalid(error @ InvalidAppend::StoredId { .. })) => {
                let commit = self.store.find_commit(stream, EventId::derived(command, stream, 0)).await?;
                let Some(commit) = commit else { return Err(error.into()) };
                Ok(Voided::CarriedOut(Receipt::of_commit(stream, None, &commit, Outcome::Repeated)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether `commit` is not what the command stored in the stream, but what made it void there.
pub(super) fn is_void(command: CommandId, stream: &StreamId, commit: &Commit) -> bool {
    commit.stream(stream).is_some_and(|part| part.events == ids(command, stream))
}

/// The first is that of the command's first event; no command has so many that it has the second, so that this is never
/// taken for a repetition of what it stored.
fn ids(command: CommandId, stream: &StreamId) -> [EventId; 2] {
    [0, u32::MAX].map(|index| EventId::derived(command, stream, index))
}

fn marks(
    command: CommandId,
    stream: &StreamId,
    metadata: &Metadata,
) -> Result<Vec<NewEvent>, RepositoryError> {
    let failed = |source| EncodeError::new(EventType::VOIDED, source);
    let event_type = EventType::new(EventType::VOIDED).map_err(|error| failed(error.into()))?;
    let payload = Payload::of(&Mark { command }).map_err(|error| failed(error.into()))?;
    let mark = |id| NewEvent::new(id, event_type.clone(), payload.clone()).with_metadata(metadata.clone());
    Ok(ids(command, stream).map(mark).into())
}

/// What makes a command void.
#[derive(Serialize)]
struct Mark {
    command: CommandId,
}
