use std::marker::PhantomData;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::reading::{Reading, TooLate};
use super::{
    Asked, ContinuationToken, History, HistoryAnswer, HistoryContinuation, HistoryError, HistoryLimit,
    HistoryScope, InvalidToken,
};
use crate::domain::SnapshotState;
use crate::port::EventStore;
use crate::runtime::folding::Folding;
use crate::runtime::{AsOf, Loaded};
use crate::vocabulary::{Actor, EventId, InvalidStreamId, ReadOptions, StoreError, StreamId, StreamVersion};

/// Asks for the state of an aggregate as of a version or time.
#[derive(Clone, Debug)]
pub struct StateRequest<A> {
    stream: StreamId,
    as_of: AsOf,
    token: Option<ContinuationToken>,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: SnapshotState> StateRequest<A> {
    /// The state of the aggregate with this id, as it was then.
    ///
    /// # Errors
    /// The id makes no stream id.
    pub fn of(id: &A::Id, as_of: AsOf) -> Result<Self, InvalidStreamId> {
        Ok(Self { stream: A::stream(id)?, as_of, token: None, aggregate: PhantomData })
    }

    /// Goes on after a partial answer to the same request.
    #[must_use]
    pub fn go_on(self, token: ContinuationToken) -> Self {
        Self { token: Some(token), ..self }
    }
}

/// How far a state was folded.
#[derive(Serialize, Deserialize)]
struct Point<A> {
    version: StreamVersion,
    event: EventId,
    recorded_at: Timestamp,
    state: A,
}

impl<S: EventStore> History<S> {
    /// The state of an aggregate as of a version or time. A partial answer is the state as of an earlier version: the one it
    /// names.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub async fn state<A: SnapshotState>(
        &self,
        client: &Actor,
        request: StateRequest<A>,
    ) -> Result<HistoryAnswer<Loaded<A>>, HistoryError> {
        let scope = HistoryScope::Stream(request.stream.clone());
        let range = match request.as_of {
            AsOf::Version(version) => format!("as of version {version}"),
            AsOf::Time(time) => format!("as of {time}"),
        };
        let asked = Asked { kind: "state", scope: &scope, range: &range };
        self.answered(client, asked, self.fold(client, &request, &range)).await
    }

    async fn fold<A: SnapshotState>(
        &self,
        client: &Actor,
        request: &StateRequest<A>,
        range: &str,
    ) -> Result<HistoryAnswer<Loaded<A>>, HistoryError> {
        let deadline = self.deadline();
        let StateRequest { stream, as_of, .. } = request;
        let shape = A::state_shape().map_err(|error| StoreError::corrupt("the shape of a state", error))?;
        let signed = format!("state {stream} {range} {shape}");
        let mut folding = match &request.token {
            Some(token) => {
                let now = self.repository.clock.now();
                let Point { version, event, recorded_at, state } =
                    self.key.read::<Point<A>>(client.id(), &signed, now, token)?;
                let mut folding =
                    Folding { loaded: Loaded { state, version: Some(version) }, ..Folding::default() };
                folding.trail.last = Some((event, recorded_at));
                folding
            }
            None => self.repository.kept::<A>(stream, *as_of).await,
        };
        let mut begins_with = folding.version().zip(folding.trail.last);
        let options = match folding.version() {
            Some(version) => as_of.options().from(version),
            None => as_of.options(),
        };
        let page = self.limits.page();
        let read = |options: ReadOptions<StreamVersion>| {
            Reading::until(deadline, self.repository.store.read(stream, options.page_size_at_most(page)))
        };
        let mut events = read(options);
        let mut scanned = 0;
        let limit = loop {
            let event = match events.next().await {
                Ok(event) => event?,
                Err(TooLate) => break Some(HistoryLimit::Time),
            };
            if let Some((version, (id, _))) = begins_with.take() {
                let is_it =
                    event.as_ref().is_some_and(|event| event.version() == version && event.id() == id);
                if is_it {
                    continue;
                }
                if request.token.is_some() {
                    return Err(InvalidToken::Foreign.into());
                }
                // A snapshot of another history: all events are read.
                folding = Folding::default();
                events = read(as_of.options());
                continue;
            }
            let Some(event) = event else { break None };
            if scanned >= self.limits.events {
                break Some(HistoryLimit::Events);
            }
            folding.apply(&event)?;
            scanned += 1;
        };
        let continuation = match limit {
            None => None,
            Some(limit) => Some(self.go_on_from(client, &signed, request, &folding, limit)?),
        };
        Ok(HistoryAnswer { found: folding.loaded, scanned, continuation })
    }

    fn go_on_from<A: SnapshotState>(
        &self,
        client: &Actor,
        signed: &str,
        request: &StateRequest<A>,
        folding: &Folding<A>,
        limit: HistoryLimit,
    ) -> Result<HistoryContinuation, HistoryError> {
        let token = match (folding.version(), folding.trail.last) {
            (Some(version), Some((event, recorded_at))) => {
                let point = Point { version, event, recorded_at, state: &folding.loaded.state };
                let token = self.key.sign(client.id(), signed, self.expiry(), point);
                token
                    .map_err(|error| StoreError::corrupt(format!("the state of {}", request.stream), error))?
            }
            // Nothing was read in time: the same is asked again.
            _ => {
                let error = StoreError::unavailable("read the past in time", "nothing was read by then");
                return Err(error.into());
            }
        };
        Ok(HistoryContinuation { limit, token })
    }
}
