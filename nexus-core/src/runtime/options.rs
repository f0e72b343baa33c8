use crate::vocabulary::{
    Actor, CommandId, CorrelationId, EventId, ExpectedVersion, Metadata, StreamVersion, TraceContext,
};

/// What a sender says about a command besides its content.
///
/// ```
/// use nexus_core::{CommandId, CommandOptions};
///
/// # let id = CommandId::from_bytes([1; 16]);
/// let options = CommandOptions::default().id(id).actor("alice");
/// ```
#[derive(Clone, Debug, Default)]
pub struct CommandOptions {
    pub(super) id: Option<CommandId>,
    pub(super) expected: Option<ExpectedVersion>,
    pub(super) metadata: Metadata,
    pub(super) actor: Option<Actor>,
}

impl CommandOptions {
    /// Identifies the command, so that sending it again has no second effect: a command that stored events is
    /// answered with its first receipt, whatever has happened since.
    ///
    /// One that was refused, or decided that nothing has to happen, leaves no trace: sent again, it is decided
    /// anew. Without an id each call is a command of its own.
    ///
    /// Ids that carry the time they were made (UUID version 7) are found fastest; see [`CommandId::named`] for ids
    /// made from a client's key.
    #[must_use]
    pub fn id(self, id: CommandId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// Decides the command only if `version` is the aggregate's last, as the sender has seen it; otherwise it is a
    /// conflict, which is not tried again.
    #[must_use]
    pub fn at_version(self, version: StreamVersion) -> Self {
        Self { expected: Some(ExpectedVersion::Exact(version)), ..self }
    }

    /// Decides the command only if the aggregate has no event yet; otherwise it is a conflict, which is not tried
    /// again. Nothing is loaded then, which saves a round trip: for ids that are made for the occasion.
    #[must_use]
    pub fn on_new(self) -> Self {
        Self { expected: Some(ExpectedVersion::NoStream), ..self }
    }

    /// Who sends it: a name, or an [`Actor`] whose roles and claims guards look at. Events carry its id.
    #[must_use]
    pub fn actor(self, actor: impl Into<Actor>) -> Self {
        let actor = actor.into();
        Self { metadata: self.metadata.with_actor(actor.id()), actor: Some(actor), ..self }
    }

    /// On whose behalf it is sent.
    #[must_use]
    pub fn tenant(self, tenant: impl Into<String>) -> Self {
        Self { metadata: self.metadata.with_tenant(tenant), ..self }
    }

    /// What it belongs to; without it, it starts a correlation of its own.
    #[must_use]
    pub fn correlation(self, correlation: CorrelationId) -> Self {
        Self { metadata: self.metadata.with_correlation(correlation), ..self }
    }

    /// The event it reacts to.
    #[must_use]
    pub fn causation(self, event: EventId) -> Self {
        Self { metadata: self.metadata.with_causation(event), ..self }
    }

    /// The trace it is part of.
    #[must_use]
    pub fn trace(self, trace: TraceContext) -> Self {
        Self { metadata: self.metadata.with_trace(trace), ..self }
    }

    /// All metadata at once, in place of what was said so far. Its command id is replaced by that of the command, and its actor has
    /// no roles.
    #[must_use]
    pub fn metadata(self, metadata: Metadata) -> Self {
        let actor = metadata.actor().map(Actor::from);
        Self { metadata, actor, ..self }
    }
}
