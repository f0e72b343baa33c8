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

    /// A transaction begins. What [`handle`](Self::handle) has kept back since the last [`finish`](Self::finish) was for one
    /// that was taken back: forget it.
    fn begin(&mut self) {}

    /// Takes an event into the read model.
    async fn handle(&mut self, event: &RecordedEvent, tx: &mut Tx) -> Result<(), ProjectionError>;

    /// The events of a transaction have all been handled: what was kept back is written now, once for all of them. Nothing is
    /// committed before this has returned.
    ///
    /// ```
    /// # use nexus_core::*;
    /// # use std::collections::BTreeMap;
    /// /// Counts events by type, with one write a transaction and type, not one an event.
    /// #[derive(Default)]
    /// struct Counts { since_begin: BTreeMap<String, u64> }
    ///
    /// # #[async_trait]
    /// impl Projection<DocumentTx> for Counts {
    ///     # fn name(&self) -> &str { "counts" }
    ///     # fn version(&self) -> u32 { 1 }
    ///     # fn query(&self) -> Query { Query::all() }
    ///     fn begin(&mut self) {
    ///         self.since_begin.clear();
    ///     }
    ///     async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
    ///         *self.since_begin.entry(event.event_type().to_string()).or_default() += 1;
    ///         Ok(())
    ///     }
    ///     async fn finish(&mut self, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
    ///         let counts = Collection::new("counts")?;
    ///         for (kind, more) in std::mem::take(&mut self.since_begin) {
    ///             let before: u64 = tx.read(&counts, &kind).await?.unwrap_or(0);
    ///             tx.write(&counts, &kind, &(before + more)).await?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    async fn finish(&mut self, tx: &mut Tx) -> Result<(), ProjectionError> {
        let _ = tx;
        Ok(())
    }

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
