use jiff::Timestamp;

use super::void::is_void;
use super::{CommandOptions, RepositoryError, telemetry};
use crate::domain::{CommandContext, DomainEvent};
use crate::port::Approval;
use crate::vocabulary::{
    Actor, Clock, CommandId, Commit, EventId, ExpectedVersion, IdSource, Metadata, NewEvent, StreamId,
    StreamVersion,
};

/// One command on its way: what stays the same in all its attempts.
pub(super) struct Request {
    command: CommandId,
    given: bool,
    now: Timestamp,
    expected: Option<ExpectedVersion>,
    metadata: Metadata,
    actor: Option<Actor>,
}

impl Request {
    pub(super) fn new(options: CommandOptions, clock: &dyn Clock, ids: &dyn IdSource) -> Self {
        let now = clock.now();
        let command = options.id.unwrap_or_else(|| ids.command_id(now));
        let metadata = options.metadata.with_command(command);
        // The span that carries the command out, so that its events belong to that.
        let metadata = match telemetry::current_trace() {
            Some(trace) => metadata.with_trace(trace),
            None => metadata,
        };
        let (given, expected, actor) = (options.id.is_some(), options.expected, options.actor);
        Self { command, given, now, expected, metadata, actor }
    }

    /// What its events carry of its approval, too.
    pub(super) fn note(&mut self, approval: &Approval) {
        for (name, value) in approval.notes() {
            self.metadata = std::mem::take(&mut self.metadata).with_extra(name, value.clone());
        }
    }

    /// Who sends it.
    pub(super) fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// The time of the command.
    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// The id of the first event this command stores, or had stored, in `stream`.
    pub(super) fn first_event(&self, stream: &StreamId) -> EventId {
        EventId::derived(self.command, stream, 0)
    }

    pub(super) fn command(&self) -> CommandId {
        self.command
    }

    /// What its events carry.
    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Whether the sender gave the command its id.
    pub(super) fn is_named(&self) -> bool {
        self.given
    }

    /// The same, where the command may have been sent before: an id that we just made is new.
    pub(super) fn sought(&self, stream: &StreamId) -> Option<EventId> {
        self.given.then(|| self.first_event(stream))
    }

    /// Refuses what the sender did not expect.
    pub(super) fn check(
        &self,
        stream: &StreamId,
        version: Option<StreamVersion>,
    ) -> Result<(), RepositoryError> {
        let expected = self.expected.unwrap_or(ExpectedVersion::Any);
        expected.check(stream, version).map_err(|conflict| RepositoryError::Store(conflict.into()))
    }

    /// Refuses to take what made the command void for what it stored.
    pub(super) fn check_not_void(&self, stream: &StreamId, commit: &Commit) -> Result<(), RepositoryError> {
        if is_void(self.command, stream, commit) {
            return Err(RepositoryError::Voided { stream: stream.clone(), command: self.command });
        }
        Ok(())
    }

    /// Whether the sender knows the aggregate to be new.
    pub(super) fn expects_nothing(&self) -> bool {
        self.expected == Some(ExpectedVersion::NoStream)
    }

    pub(super) fn context(&self, stream: &StreamId, version: Option<StreamVersion>) -> CommandContext {
        CommandContext::new(stream.clone(), version, self.command, self.now, self.metadata.clone())
    }

    pub(super) fn events<E: DomainEvent>(
        &self,
        stream: &StreamId,
        decided: &[E],
    ) -> Result<Vec<NewEvent>, RepositoryError> {
        let numbered = (0_u32..).zip(decided);
        numbered
            .map(|(index, event)| {
                let id = EventId::derived(self.command, stream, index);
                Ok(event.to_new(id, &self.metadata)?)
            })
            .collect()
    }
}
