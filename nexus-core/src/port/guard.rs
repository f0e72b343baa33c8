use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use crate::vocabulary::{Actor, BoxError, CommandId, Metadata, Payload, StreamId};

/// Looks at every command before it is decided, and may refuse it: a schema, a policy.
///
/// A [`Repository`](crate::Repository) that was given one with [`with_guard`](crate::Repository::with_guard) asks it once for
/// each call, not once for each attempt. A command that stored events before is answered with its first receipt, also where it
/// would be refused now.
#[async_trait]
pub trait CommandGuard: Debug + Send + Sync + 'static {
    /// Whether the command may be decided, and what its events are to carry of that.
    async fn check(&self, command: &OfferedCommand<'_>) -> Result<Approval, CommandRefusal>;
}

/// That a command may be decided.
///
/// ```
/// use nexus_core::Approval;
///
/// let approval = Approval::default().noting("policy", "sha256:1f0c");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Approval {
    notes: BTreeMap<String, Value>,
}

impl Approval {
    /// The same, where the events of the command carry this extra in their metadata, in place of one of that name: by what it was
    /// approved.
    #[must_use]
    pub fn noting(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.notes.insert(name.into(), value.into());
        self
    }

    /// What the events are to carry, by name.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.notes.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// A command that somebody wants carried out, as it would be stored or sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OfferedCommand<'a> {
    /// Its stored name.
    pub name: &'a str,
    /// Its version.
    pub version: u32,
    /// What it says.
    pub payload: &'a Payload,
    /// The stream of the aggregate that is to carry it out.
    pub stream: &'a StreamId,
    /// Its id, given by the sender or made for it.
    pub id: CommandId,
    /// What its events will carry: who sends it, what it belongs to.
    pub metadata: &'a Metadata,
    /// Who sends it, with roles and claims.
    pub actor: Option<&'a Actor>,
}

impl<'a> OfferedCommand<'a> {
    /// A command. The repository makes them; make your own to test a guard.
    pub fn new(
        name: &'a str,
        version: u32,
        payload: &'a Payload,
        stream: &'a StreamId,
        id: CommandId,
        metadata: &'a Metadata,
    ) -> Self {
        Self { name, version, payload, stream, id, metadata, actor: None }
    }

    /// The same, sent by this actor.
    #[must_use]
    pub fn by(self, actor: &'a Actor) -> Self {
        Self { actor: Some(actor), ..self }
    }
}

/// Why a command was not let through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandRefusal {
    /// It may not be carried out: the same command will be refused again.
    #[error("the command was refused by {by}")]
    Refused {
        /// Who refused: "its schema", the name of a policy.
        by: String,
        /// Why, and what would be accepted.
        #[source]
        source: BoxError,
    },
    /// It is not known whether it may: trying again later may help.
    #[error("{by} cannot answer now")]
    Unavailable {
        /// Who was asked.
        by: String,
        /// What is wrong there.
        #[source]
        source: BoxError,
    },
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<G: CommandGuard + ?Sized> CommandGuard for Arc<G> {
    async fn check(&self, command: &OfferedCommand<'_>) -> Result<Approval, CommandRefusal> {
        (**self).check(command).await
    }
}
