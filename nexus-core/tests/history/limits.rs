use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use nexus_core::{
    Actor, AppendBatch, Appended, AsOf, Capabilities, Commit, ContinuationToken, EventId, EventLog,
    EventStore, EventStream, EventsRequest, History, HistoryAccess, HistoryDecision, HistoryError,
    HistoryKey, HistoryLimit, HistoryLimits, HistoryScope, InvalidToken, MemoryStore, Position, Query,
    ReadOptions, Repository, RoleAccess, StateRequest, StoreError, StreamId, StreamVersion,
};

use super::support::{Gauge, House, all, auditor, gauge, generous, hours, start};

fn whole() -> EventsRequest {
    EventsRequest::between(start(), start() + hours(48))
}

#[tokio::test(start_paused = true)]
async fn ten_requests_a_minute_are_answered_to_each_client() {
    let house = House::with_readings(3).await;
    let history = house.history(HistoryLimits::default());
    for _ in 0..10 {
        history.events(&auditor(), whole()).await.expect("answered");
    }
    let refused = history.events(&auditor(), whole()).await.expect_err("one too many");
    assert!(
        matches!(&refused, HistoryError::TooOften { wait, .. } if *wait <= Duration::from_secs(6)),
        "{refused}"
    );
    assert!(refused.to_string().contains("ada has asked 10 times in a minute"), "{refused}");
    let state = StateRequest::<Gauge>::of(&1, AsOf::Version(StreamVersion::FIRST)).expect("valid");
    history.state(&auditor(), state).await.expect_err("whatever is asked");
    let other = Actor::new("grace").role("auditor");
    history.clone().events(&other, whole()).await.expect("another client is counted by itself");
    history.clone().events(&auditor(), whole()).await.expect_err("clones count together");
    tokio::time::advance(Duration::from_secs(6)).await;
    history.events(&auditor(), whole()).await.expect("one is allowed again");
    history.events(&auditor(), whole()).await.expect_err("and no more");
    let one = house.history(HistoryLimits::default().per_minute(NonZeroU32::MIN));
    one.events(&auditor(), whole()).await.expect("answered");
    one.events(&auditor(), whole()).await.expect_err("as it is configured");
}

#[tokio::test]
async fn a_range_has_ninety_days_at_most() {
    let house = House::with_readings(3).await;
    let history = house.history(generous());
    let ask = async |days: i64| {
        history.events(&auditor(), EventsRequest::between(start(), start() + hours(days * 24))).await
    };
    ask(90).await.expect("answered");
    for days in [91, -1] {
        let refused = ask(days).await.expect_err("no range");
        assert!(refused.to_string().contains("up to 90 days"), "{refused}");
    }
    let longer = house.history(generous().range(Duration::from_secs(400 * 24 * 60 * 60)));
    longer
        .events(&auditor(), EventsRequest::between(start(), start() + hours(399 * 24)))
        .await
        .expect("answered");
}

#[tokio::test]
async fn an_answer_is_bounded_in_memory_but_never_without_an_event() {
    let house = House::with_readings(20).await;
    let (found, portions) = all(&house.history(generous().bytes(0)), &whole()).await;
    assert_eq!((found.len(), portions), (20, 20));
    let history = house.history(generous().bytes(30));
    let answer = history.events(&auditor(), whole()).await.expect("answered");
    let bytes: usize = answer.found.iter().map(|event| event.payload().len()).sum();
    assert!(bytes <= 30, "{bytes}");
    assert_eq!(answer.continuation.map(|continuation| continuation.limit), Some(HistoryLimit::Bytes));
    assert_eq!(all(&history, &whole()).await.0, found);
}

/// Takes a second for each event.
#[derive(Debug)]
struct Slow(MemoryStore);

#[async_trait]
impl EventStore for Slow {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.0.append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.0.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        slowly(self.0.read(stream, options))
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

#[async_trait]
impl EventLog for Slow {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        slowly(self.0.read_all(query, options))
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.0.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.0.changed_after(position).await
    }
}

fn slowly(events: EventStream<'static>) -> EventStream<'static> {
    events
        .then(|event| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            event
        })
        .boxed()
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_is_answered_in_part() {
    let house = House::with_readings(100).await;
    let repository = Repository::new(Slow(house.store.clone())).with_clock(Arc::clone(&house.clock));
    let access = RoleAccess::default().everything("auditor");
    let history = History::new(repository, access, HistoryKey::new([7; 32])).with_limits(generous());
    let as_of = AsOf::Version(StreamVersion::new(100).expect("valid"));
    let (mut token, mut portions): (Option<ContinuationToken>, _) = (None, 0);
    let found = loop {
        let started = tokio::time::Instant::now();
        let request = StateRequest::<Gauge>::of(&1, as_of).expect("valid");
        let request = match token.take() {
            Some(token) => request.go_on(token),
            None => request,
        };
        let answer = history.state(&auditor(), request).await.expect("answered");
        assert!(started.elapsed() <= Duration::from_secs(30), "{:?}", started.elapsed());
        portions += 1;
        match answer.continuation {
            Some(continuation) => {
                assert_eq!(continuation.limit, HistoryLimit::Time);
                token = Some(continuation.token);
            }
            None => break answer.found,
        }
    };
    assert_eq!((found.state.count, portions), (100, 4));

    let answer = history.events(&auditor(), whole()).await.expect("answered");
    assert_eq!(answer.continuation.map(|continuation| continuation.limit), Some(HistoryLimit::Time));
    // Not even the place in the log was found in this time.
    let hasty = history.with_limits(generous().time(Duration::from_millis(10)));
    let answer = hasty.events(&auditor(), whole()).await.expect("answered");
    assert_eq!((answer.found.len(), answer.continuation.is_some()), (0, true));
}

#[tokio::test]
async fn a_token_continues_nothing_but_its_request() {
    let house = House::with_readings(20).await;
    let history = house.history(generous().events(5));
    let token =
        history.events(&auditor(), whole()).await.expect("answered").continuation.expect("partial").token;
    let grace = Actor::new("grace").role("auditor");
    let is_foreign = |answer: Result<_, HistoryError>| {
        let error = answer.map(drop).expect_err("it is refused");
        assert!(matches!(error, HistoryError::Token(InvalidToken::Foreign)), "{error}");
    };
    is_foreign(history.events(&grace, whole().go_on(token.clone())).await.map(|_| ()));
    let shifted = EventsRequest::between(start() + hours(1), start() + hours(48));
    for other in
        [shifted, whole().stream(gauge(1)), whole().types([nexus_core::EventType::new("A").expect("valid")])]
    {
        is_foreign(history.events(&auditor(), other.go_on(token.clone())).await.map(|_| ()));
    }
    let state = |number| {
        StateRequest::<Gauge>::of(&1, AsOf::Version(StreamVersion::new(number).expect("valid")))
            .expect("valid")
    };
    is_foreign(history.state(&auditor(), state(20).go_on(token.clone())).await.map(|_| ()));
    let of_state =
        history.state(&auditor(), state(20)).await.expect("answered").continuation.expect("partial").token;
    is_foreign(history.state(&auditor(), state(19).go_on(of_state.clone())).await.map(|_| ()));
    let other =
        StateRequest::<Gauge>::of(&2, AsOf::Version(StreamVersion::new(20).expect("valid"))).expect("valid");
    is_foreign(history.state(&auditor(), other.go_on(of_state.clone())).await.map(|_| ()));
    history.state(&auditor(), state(20).go_on(of_state)).await.expect("it is of use where it belongs");
    // A token that has been of use is of use again, and expires.
    for _ in 0..2 {
        history.events(&auditor(), whole().go_on(token.clone())).await.expect("answered");
    }
    house.clock.advance(hours(2));
    let late = history.events(&auditor(), whole().go_on(token)).await.expect_err("too late");
    assert!(matches!(late, HistoryError::Token(InvalidToken::Expired)), "{late}");
}

#[tokio::test]
async fn who_may_ask_is_decided_by_roles() {
    let house = House::with_readings(3).await;
    let history = house.history(generous());
    let clerk = Actor::new("grace").role("clerk");
    let gauges = || whole().category(nexus_core::Category::new("gauge").expect("valid"));
    history.events(&clerk, gauges()).await.expect("granted");
    history.events(&clerk, whole().stream(gauge(1))).await.expect("granted");
    let nobody = Actor::new("eve").role("intern");
    for (client, request) in [
        (&clerk, whole()),
        (&clerk, whole().stream("valve-1".parse().expect("valid"))),
        (&nobody, gauges()),
        (&nobody, whole().stream(gauge(1))),
    ] {
        let denied = history.events(client, request).await.expect_err("not granted");
        assert!(matches!(denied, HistoryError::Denied { .. }), "{denied}");
    }
    let state = StateRequest::<Gauge>::of(&1, AsOf::Version(StreamVersion::FIRST)).expect("valid");
    let denied = history.state(&nobody, state).await.expect_err("not granted").to_string();
    assert!(
        denied.contains("eve may not read stream gauge-1") && denied.contains("auditor or clerk"),
        "{denied}"
    );
}

#[derive(Debug)]
struct Broken;

#[async_trait]
impl HistoryAccess for Broken {
    async fn decide(&self, _: &Actor, _: &HistoryScope) -> Result<HistoryDecision, StoreError> {
        Err(StoreError::unavailable("ask who may read", "asked to fail"))
    }
}

#[tokio::test]
async fn where_nobody_can_decide_nobody_may() {
    let house = House::with_readings(3).await;
    let history = History::new(house.repository(), Broken, HistoryKey::new([1; 32]));
    let error = history.events(&auditor(), whole()).await.expect_err("not decided");
    assert!(matches!(error, HistoryError::Failed(_)), "{error}");
}
