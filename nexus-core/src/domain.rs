//! What a user of Nexus implements: pure and synchronous, without clock, I/O or chance.

mod aggregate;
mod command;
mod decision_model;
mod event;
mod handler;
mod lock;
mod projection;
mod routes;
mod saga;
mod shape;
mod snapshot;
pub(crate) mod upcast;
pub(crate) mod variant;

pub use aggregate::{Aggregate, CommandContext, CommandHandler, UnknownEvents};
pub use command::Command;
pub use decision_model::DecisionModel;
pub use event::{DecodeError, DomainEvent, EncodeError, EventKind};
pub use handler::{EventHandler, HandlerError};
pub use lock::{InvalidLock, LockedEvent, ShapeChange, ShapeLock, StoredThing, WayOfReading};
/// Derives [`Command`](trait@Command): see there.
pub use nexus_macros::Command;
/// Derives [`DomainEvent`](trait@DomainEvent): see there.
pub use nexus_macros::DomainEvent;
pub use projection::{Projection, ProjectionError};
pub use routes::{BoundlessRule, RouteRule, Routes};
pub(crate) use saga::{Act, Action, Due, StepAction};
pub use saga::{
    Correlation, Happened, LinearSaga, Saga, SagaAction, SagaCommands, SagaError, SagaInput, SagaOutline,
    StepAnswer, StepFailure, StepFault, StepList,
};
pub use shape::Shape;
pub use snapshot::{BothDue, EitherDue, Every, SinceSnapshot, SnapshotPolicy, SnapshotState};
pub use upcast::{Decoded, FormerKind, Upcast, UpcastTo};
