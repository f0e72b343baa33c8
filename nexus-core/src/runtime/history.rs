//! The past, for those who may ask, in portions that do no harm.

mod access;
mod events;
mod limits;
mod reading;
mod state;
mod token;

pub use access::{HistoryAccess, HistoryDecision, HistoryScope, RoleAccess};
pub use events::EventsRequest;
pub use limits::HistoryLimits;
pub use state::StateRequest;
pub use token::{ContinuationToken, HistoryKey, InvalidToken};

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use self::limits::Rates;
use super::{Repository, RepositoryError, telemetry};
use crate::port::EventStore;
use crate::vocabulary::{Actor, StoreError};

/// Answers questions about the past: the state of an aggregate as of a version or time, and the events of a range of time.
///
/// Who may ask is decided by [`HistoryAccess`]; how much is bounded by [`HistoryLimits`]; each request is logged, at level
/// `info`, with client, scope, range, duration, and what became of it. What does not fit into the limits is answered in part,
/// with a [`ContinuationToken`] to go on from, which is of no use for anything else.
///
/// ```
/// # use nexus_core::*;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, DomainEvent)]
/// # enum TillEvent { Sold { cents: u64 } }
/// # #[derive(Default, PartialEq, Serialize, Deserialize, JsonSchema)]
/// # struct Till { cents: u64 }
/// # impl Aggregate for Till {
/// #     const CATEGORY: &'static str = "till";
/// #     type Id = u32;
/// #     type Event = TillEvent;
/// #     fn apply(&mut self, TillEvent::Sold { cents }: &TillEvent) { self.cents += cents; }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let tills = Repository::new(MemoryStore::new());
/// let access = RoleAccess::default().category("clerk", Category::new("till")?);
/// let history = History::new(tills, access, HistoryKey::random()?);
///
/// let clerk = Actor::new("ada").role("clerk");
/// let march = AsOf::Time("2026-03-01T00:00:00Z".parse()?);
/// let answer = history.state(&clerk, StateRequest::<Till>::of(&1, march)?).await?;
/// assert_eq!(answer.found.version, None); // nothing had happened by then
/// assert!(answer.continuation.is_none()); // and this is all of it
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct History<S> {
    repository: Repository<S>,
    access: Arc<dyn HistoryAccess>,
    key: HistoryKey,
    limits: HistoryLimits,
    rates: Arc<Rates>,
}

/// An answer about the past.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HistoryAnswer<T> {
    /// What was found: all of it, or as much as the limits allow.
    pub found: T,
    /// How many events were read for it.
    pub scanned: u64,
    /// Which limit ended a partial answer, and how to go on; `None` where it is whole.
    pub continuation: Option<HistoryContinuation>,
}

/// How to go on after a partial answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryContinuation {
    /// What ended the answer.
    pub limit: HistoryLimit,
    /// Give it with the same request.
    pub token: ContinuationToken,
}

/// What ends an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HistoryLimit {
    /// So many events were read.
    Events,
    /// It took so long.
    Time,
    /// The answer is so large.
    Bytes,
}

/// Why a question about the past is not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The client may not ask this.
    #[error("{client} may not read {scope}: {reason}")]
    Denied {
        /// The client's id.
        client: String,
        /// What it asked about.
        scope: HistoryScope,
        /// Why not.
        reason: String,
    },
    /// The client asks too often.
    #[error("{client} has asked {per_minute} times in a minute: ask again in {wait:.1?}")]
    TooOften {
        /// The client's id.
        client: String,
        /// How often it may.
        per_minute: u32,
        /// When it may again.
        wait: Duration,
    },
    /// The range of time is longer than it may be, or ends before it begins.
    #[error(
        "the range from {from} to {to} is no range to ask about: it takes one of up to {most_days} days, begun before it ends"
    )]
    Range {
        /// Where it begins.
        from: Timestamp,
        /// Where it ends.
        to: Timestamp,
        /// How many days it may have.
        most_days: u64,
    },
    /// The continuation token is none.
    #[error(transparent)]
    Token(#[from] InvalidToken),
    /// The events cannot be read, or are not understood.
    #[error(transparent)]
    Failed(#[from] RepositoryError),
}

impl From<StoreError> for HistoryError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl<S: EventStore> History<S> {
    /// The history of a repository, with the default [`HistoryLimits`].
    pub fn new(repository: Repository<S>, access: impl HistoryAccess, key: HistoryKey) -> Self {
        let limits = HistoryLimits::default();
        let rates = Arc::new(Rates::new(limits.per_minute));
        Self { repository, access: Arc::new(access), key, limits, rates }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: HistoryLimits) -> Self {
        Self { limits, rates: Arc::new(Rates::new(limits.per_minute)), ..self }
    }

    /// Answers a request, if the client may ask, and logs it.
    async fn answered<T>(
        &self,
        client: &Actor,
        request: Asked<'_>,
        answer: impl Future<Output = Result<HistoryAnswer<T>, HistoryError>>,
    ) -> Result<HistoryAnswer<T>, HistoryError> {
        let started = Instant::now();
        let answer = match self.admitted(client, request.scope).await {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        };
        let took = started.elapsed();
        let scanned = answer.as_ref().map_or(0, |answer| answer.scanned);
        let (outcome, error) = match &answer {
            Ok(HistoryAnswer { continuation: None, .. }) => ("whole", None),
            Ok(_) => ("partial", None),
            Err(HistoryError::Failed(error)) => ("failed", Some(telemetry::chain(error))),
            Err(error) => ("refused", Some(error.to_string())),
        };
        tracing::info!(
            client = client.id(), kind = request.kind, scope = %request.scope, range = request.range,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX), scanned, outcome, error,
            "history was asked for"
        );
        telemetry::history(request.kind, outcome, scanned, took);
        answer
    }

    async fn admitted(&self, client: &Actor, scope: &HistoryScope) -> Result<(), HistoryError> {
        let id = || client.id().to_owned();
        let per_minute = self.limits.per_minute.get();
        let admitted = self.rates.admit(client.id());
        admitted.map_err(|wait| HistoryError::TooOften { client: id(), per_minute, wait })?;
        match self.access.decide(client, scope).await? {
            HistoryDecision::Allowed => Ok(()),
            HistoryDecision::Denied(reason) => {
                Err(HistoryError::Denied { client: id(), scope: scope.clone(), reason })
            }
        }
    }

    /// When a token that is given now expires.
    fn expiry(&self) -> Timestamp {
        let life = SignedDuration::try_from(self.limits.token_life).unwrap_or(SignedDuration::MAX);
        self.repository.clock.now().checked_add(life).unwrap_or(Timestamp::MAX)
    }

    fn deadline(&self) -> Instant {
        let now = Instant::now();
        // A limit that long is none.
        now.checked_add(self.limits.time).unwrap_or_else(|| now + Duration::from_secs(u32::MAX.into()))
    }
}

/// What was asked, as it is logged.
struct Asked<'a> {
    kind: &'static str,
    scope: &'a HistoryScope,
    range: &'a str,
}
