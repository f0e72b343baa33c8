use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::vocabulary::{BoxError, CommandId, Metadata, Payload, StreamId};

/// Looks at every command before it is decided, and may refuse it: a schema, a policy.
///
/// A [`Repository`](crate::Repository) that was given one with [`with_guard`](crate::Repository::with_guard) asks it once for
/// each call, not once for each attempt. A command that stored events before is answered with its first receipt, also where it
/// would be refused now.
#[async_trait]
pub trait CommandGuard: Debug + Send + Sync + 'static {
    /// Whether the command may be decided.
    async fn check(&self, command: &OfferedCommand<'_>) -> Result<(), CommandRefusal>;
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
        Self { name, version, payload, stream, id, metadata }
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
    async fn check(&self, command: &OfferedCommand<'_>) -> Result<(), CommandRefusal> {
        (**self).check(command).await
    }
}
