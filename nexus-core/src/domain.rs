//! What a user of Nexus implements: pure and synchronous, without clock, I/O or chance.

mod aggregate;
mod command;
mod decision_model;
mod event;
mod projection;
pub(crate) mod variant;

pub use aggregate::{Aggregate, CommandContext, CommandHandler};
pub use command::Command;
pub use decision_model::DecisionModel;
pub use event::{DecodeError, DomainEvent, EncodeError, EventKind};
/// Derives [`Command`](trait@Command): see there.
pub use nexus_macros::Command;
/// Derives [`DomainEvent`](trait@DomainEvent): see there.
pub use nexus_macros::DomainEvent;
pub use projection::{Projection, ProjectionError};
