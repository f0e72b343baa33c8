use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use super::reading::{Reading, TooLate};
use super::{
    Asked, ContinuationToken, History, HistoryAnswer, HistoryContinuation, HistoryError, HistoryLimit,
    HistoryScope,
};
use crate::port::{EventLog, EventStream};
use crate::vocabulary::{
    Actor, Category, EventType, Position, Query, QueryItem, ReadOptions, RecordedEvent, StoreError, StreamId,
    StreamVersion,
};

/// Asks for the events of a range of time, both ends included, as they were stored.
///
/// ```
/// use nexus_core::{Category, EventsRequest, Timestamp};
///
/// let (from, to): (Timestamp, Timestamp) = ("2026-03-01T00:00:00Z".parse()?, "2026-03-31T23:59:59.999999Z".parse()?);
/// let request = EventsRequest::between(from, to).category(Category::new("order")?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventsRequest {
    from: Timestamp,
    to: Timestamp,
    scope: HistoryScope,
    types: Vec<EventType>,
    token: Option<ContinuationToken>,
}

impl EventsRequest {
    /// All events that were recorded from one time to another.
    pub fn between(from: Timestamp, to: Timestamp) -> Self {
        Self { from, to, scope: HistoryScope::Everything, types: Vec::new(), token: None }
    }

    /// Those of one stream.
    #[must_use]
    pub fn stream(self, stream: StreamId) -> Self {
        Self { scope: HistoryScope::Stream(stream), ..self }
    }

    /// Those of the streams of one category.
    #[must_use]
    pub fn category(self, category: Category) -> Self {
        Self { scope: HistoryScope::Category(category), ..self }
    }

    /// Those of these types.
    #[must_use]
    pub fn types(self, types: impl IntoIterator<Item = EventType>) -> Self {
        let mut types: Vec<EventType> = types.into_iter().collect();
        types.sort_unstable();
        types.dedup();
        Self { types, ..self }
    }

    /// Goes on after a partial answer to the same request.
    #[must_use]
    pub fn go_on(self, token: ContinuationToken) -> Self {
        Self { token: Some(token), ..self }
    }

    fn query(&self) -> Query {
        let item = QueryItem::default().types(self.types.iter().cloned());
        match &self.scope {
            HistoryScope::Category(category) => Query::item(item.categories([category.clone()])),
            _ => Query::item(item),
        }
    }
}

/// Up to where events were looked at: a version of the stream, or a position of the log.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Seen(u64);

/// The part of a log in which a range of time lies.
struct Span {
    after: Option<Position>,
    to: Option<Position>,
}

impl<S: EventLog> History<S> {
    /// The events of a range of time, in their order.
    ///
    /// A range over several streams is looked for in the log by halving, and filtered by time: see
    /// [`HistoryLimits::clock_difference`](super::HistoryLimits::clock_difference).
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub async fn events(
        &self,
        client: &Actor,
        request: EventsRequest,
    ) -> Result<HistoryAnswer<Vec<RecordedEvent>>, HistoryError> {
        let range = format!("from {} to {}", request.from, request.to);
        let asked = Asked { kind: "events", scope: &request.scope, range: &range };
        self.answered(client, asked, self.find(client, &request, &range)).await
    }

    async fn find(
        &self,
        client: &Actor,
        request: &EventsRequest,
        range: &str,
    ) -> Result<HistoryAnswer<Vec<RecordedEvent>>, HistoryError> {
        let deadline = self.deadline();
        let EventsRequest { from, to, scope, types, .. } = request;
        let length = to.duration_since(*from);
        let longest = SignedDuration::try_from(self.limits.range).unwrap_or(SignedDuration::MAX);
        if length.is_negative() || length > longest {
            let most_days = self.limits.range.as_secs() / (24 * 60 * 60);
            return Err(HistoryError::Range { from: *from, to: *to, most_days });
        }
        let signed = format!("events {scope} {types:?} {range}");
        let seen = match &request.token {
            Some(token) => {
                let now = self.repository.clock.now();
                self.key.read::<Seen>(client.id(), &signed, now, token)?
            }
            None => Seen(0),
        };
        let answer = self.scan(request, seen, deadline).await?;
        let continuation = match answer.ended {
            None => None,
            Some(limit) => {
                let token = self.key.sign(client.id(), &signed, self.expiry(), answer.seen);
                let token = token.map_err(|error| StoreError::corrupt("a continuation token", error))?;
                Some(HistoryContinuation { limit, token })
            }
        };
        Ok(HistoryAnswer { found: answer.found, scanned: answer.scanned, continuation })
    }

    async fn scan(
        &self,
        request: &EventsRequest,
        mut seen: Seen,
        deadline: Instant,
    ) -> Result<Scanned, HistoryError> {
        let (mut found, mut scanned, mut bytes) = (Vec::new(), 0, 0);
        let place = |event: &RecordedEvent| match request.scope {
            HistoryScope::Stream(_) => event.version().get(),
            _ => event.position().map_or(0, Position::get),
        };
        let ended = 'scan: {
            let Ok(events) = timeout_at(deadline, self.events_after(request, seen)).await else {
                break 'scan Some(HistoryLimit::Time);
            };
            let mut events = Reading::until(deadline, events?);
            loop {
                let event = match events.next().await {
                    Ok(event) => event?,
                    Err(TooLate) => break Some(HistoryLimit::Time),
                };
                let Some(event) = event else { break None };
                if scanned >= self.limits.events {
                    break Some(HistoryLimit::Events);
                }
                let is_meant = (request.from..=request.to).contains(&event.recorded_at())
                    && (request.types.is_empty() || request.types.contains(event.event_type()));
                if is_meant {
                    bytes += event.payload().len() as u64;
                    if bytes > self.limits.bytes && !found.is_empty() {
                        break Some(HistoryLimit::Bytes);
                    }
                }
                scanned += 1;
                seen = Seen(place(&event));
                if is_meant {
                    found.push(event);
                }
            }
        };
        Ok(Scanned { found, scanned, seen, ended })
    }

    /// What may be meant, beyond what was looked at.
    async fn events_after(
        &self,
        request: &EventsRequest,
        Seen(seen): Seen,
    ) -> Result<EventStream<'static>, HistoryError> {
        let store = &self.repository.store;
        let page = self.limits.page();
        if let HistoryScope::Stream(stream) = &request.scope {
            let after = StreamVersion::new(seen).ok();
            let options = ReadOptions::forwards().after(after).since(request.from).until(request.to);
            return Ok(store.read(stream, options.page_size_at_most(page)));
        }
        let span = self.span(request.from, request.to).await?;
        let options = ReadOptions::forwards().after(span.after).after(Position::new(seen).ok());
        let options = match span.to {
            Some(to) => options.to(to),
            None => options.limit(0),
        };
        Ok(store.read_all(request.query(), options.page_size_at_most(page)))
    }

    /// Where the range of time lies in the log, with what clocks may differ by.
    async fn span(&self, from: Timestamp, to: Timestamp) -> Result<Span, StoreError> {
        let slack = SignedDuration::try_from(self.limits.clock_difference).unwrap_or(SignedDuration::MAX);
        let (from, to) = (from.saturating_sub(slack), to.saturating_add(slack));
        let (from, to) = (from.unwrap_or(Timestamp::MIN), to.unwrap_or(Timestamp::MAX));
        let Some(head) = self.repository.store.head().await? else {
            return Ok(Span { after: None, to: None });
        };
        let after = self.last_before(head, |time| time < from).await?;
        let to = self.last_before(head, |time| time <= to).await?;
        Ok(Span { after, to })
    }

    /// The last position up to which events are early, by halving the log: what is early comes before what is not, but for
    /// what clocks differ by.
    async fn last_before(
        &self,
        head: Position,
        is_early: impl Fn(Timestamp) -> bool,
    ) -> Result<Option<Position>, StoreError> {
        let (mut early, mut late) = (0, head.get() + 1);
        while late - early > 1 {
            let middle = early + (late - early) / 2;
            let Ok(from) = Position::new(middle) else { break };
            let options = ReadOptions::forwards().from(from).to(head).limit(1);
            let mut events = self.repository.store.read_all(Query::all(), options);
            match events.try_next().await? {
                Some(event) if is_early(event.recorded_at()) => {
                    early = event.position().map_or(middle, Position::get).max(middle);
                }
                _ => late = middle,
            }
        }
        Ok(Position::new(early).ok())
    }
}

/// What was looked at, and why no more.
struct Scanned {
    found: Vec<RecordedEvent>,
    scanned: u64,
    seen: Seen,
    ended: Option<HistoryLimit>,
}
