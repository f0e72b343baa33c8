use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use crate::vocabulary::{BoxError, CommandId, Payload, SagaId, SagaName};

/// What sagas do outside of our stores: a payment provider, a mail, another system.
///
/// Each effect is performed at least once, and whenever it comes again it comes with the same
/// [key](SagaEffect::key): hand that on, where the other side tells repetitions by one, or note it.
///
/// A saga that gives an effect up, because its time is up, drops the future; whatever it was waiting for may still happen.
#[async_trait]
pub trait SagaEffects: Debug + Send + Sync + 'static {
    /// Performs it, and hands back what the other side answered.
    async fn perform(&self, effect: &SagaEffect) -> Result<Payload, SagaEffectError>;
}

/// Something to do outside of our stores.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SagaEffect {
    /// The saga's kind.
    pub saga: SagaName,
    /// Which one it is.
    pub id: SagaId,
    /// The step.
    pub step: String,
    /// What is to be done.
    pub name: String,
    /// With what.
    pub content: Payload,
    /// The same whenever it is this effect of this saga, and never that of another.
    pub key: CommandId,
}

impl SagaEffect {
    /// An effect of a step of a saga. The runner makes them; make your own to test what performs them.
    pub fn new(saga: SagaName, id: SagaId, step: &str, name: &str, content: Payload, key: CommandId) -> Self {
        Self { saga, id, step: step.to_owned(), name: name.to_owned(), content, key }
    }
}

/// Why an effect was not performed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SagaEffectError {
    /// The other side does not answer, or not now: it is tried again.
    #[error("the effect could not be performed now")]
    Unavailable(#[source] BoxError),
    /// The other side refuses: the step has failed, and nothing has happened.
    #[error("the effect was refused")]
    Refused(#[source] BoxError),
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<E: SagaEffects + ?Sized> SagaEffects for Arc<E> {
    async fn perform(&self, effect: &SagaEffect) -> Result<Payload, SagaEffectError> {
        (**self).perform(effect).await
    }
}
