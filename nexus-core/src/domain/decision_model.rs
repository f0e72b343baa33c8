use std::error::Error;

use super::{CommandContext, DomainEvent};
use crate::vocabulary::{InvalidStreamId, Query, StreamId};

/// A decision over whatever events it needs, instead of those of one stream: a dynamic consistency boundary.
///
/// Use it for rules that no single aggregate can keep, such as a name that may be taken once. The query is both
/// what the decision is based on and what must not change until its events are stored: of two decisions that
/// could invalidate each other exactly one wins, the other is made again. The pattern is that of
/// <https://dcb.events>.
///
/// See [`Repository::decide`](crate::Repository::decide) for an example.
pub trait DecisionModel: Send + Sync {
    /// What is known from the events; `Default` is what is known before the first.
    type State: Default + Send + Sync;

    /// The events that are read and decided.
    type Event: DomainEvent;

    /// Why the decision is refused; use [`std::convert::Infallible`] where it never is.
    type Rejection: Error + Send + Sync + 'static;

    /// The events that matter. All it finds must be of [`Event`](Self::Event): name the types.
    fn query(&self) -> Query;

    /// Takes one of them into account.
    fn apply(&self, state: &mut Self::State, event: &Self::Event);

    /// The stream that the decided events go to.
    fn stream(&self) -> Result<StreamId, InvalidStreamId>;

    /// What happens: no event means that nothing has to happen.
    ///
    /// The context's version is `None`: no stream's version was read.
    fn decide(
        &self,
        state: &Self::State,
        context: &CommandContext,
    ) -> Result<Vec<Self::Event>, Self::Rejection>;
}
