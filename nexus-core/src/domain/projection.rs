use std::error::Error;
use std::fmt;

use async_trait::async_trait;

use crate::vocabulary::{BoxError, Query, RecordedEvent};

/// Makes a read model out of events.
///
/// `Tx` is what the read model is written through: [`DocumentTx`](crate::DocumentTx), which every backend has, a database connection
/// in a transaction, or `()` for effects elsewhere.
///
/// ```
/// # use nexus_core::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum OrderEvent { Paid { cents: u64 } }
/// struct Revenue;
///
/// #[async_trait]
/// impl Projection<DocumentTx> for Revenue {
///     fn name(&self) -> &str { "revenue" }
///     fn version(&self) -> u32 { 1 }
///     fn query(&self) -> Query { Query::types(OrderEvent::types().unwrap_or_default()) }
///
///     async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
///         let totals = Collection::new("totals")?;
///         for OrderEvent::Paid { cents } in OrderEvent::from_recorded(event)? {
///             let before: u64 = tx.read(&totals, "revenue").await?.unwrap_or(0);
///             tx.write(&totals, "revenue", &(before + cents)).await?;
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// # How events come
///
/// Those of one stream come in the order of their versions. What is written through `tx` takes effect exactly once,
/// together with the checkpoint, whatever dies when; for `()` an event may come again, with the same id.
///
/// What the projection keeps in itself is not taken back with a transaction that failed: keep what counts in the
/// read model.
#[async_trait]
pub trait Projection<Tx: ?Sized + Send>: Send + 'static {
    /// Names it for good: see [`ProjectionName`](crate::ProjectionName).
    fn name(&self) -> &str;

    /// The version of the read model, from 1; raised when the same events should make another one, which is then
    /// built beside the old.
    fn version(&self) -> u32;

    /// The events it is made of. Another query makes another read model: raise the version.
    fn query(&self) -> Query;

    /// Makes the read model ready for the first event, such as by creating tables; in a transaction of its own.
    async fn prepare(&mut self, tx: &mut Tx) -> Result<(), ProjectionError> {
        let _ = tx;
        Ok(())
    }

    /// Takes an event into the read model.
    async fn handle(&mut self, event: &RecordedEvent, tx: &mut Tx) -> Result<(), ProjectionError>;

    /// What happens elsewhere because of an event: a mail, a call. It comes after [`handle`](Self::handle) and before
    /// the commit, at least once for each event, and never while a read model is built anew from events
    /// whose effects have happened.
    async fn effect(&mut self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        let _ = event;
        Ok(())
    }
}

/// Why a projection could not take an event in. Any error becomes one by `?`.
///
/// It is no `std::error::Error` itself, so that every other can become one; its [`source`](Self::source) is.
pub struct ProjectionError(BoxError);

impl ProjectionError {
    /// An error that is said in words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into().into())
    }

    /// What went wrong.
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.0
    }

    /// What went wrong.
    pub fn into_source(self) -> BoxError {
        self.0
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for ProjectionError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for ProjectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ProjectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
