use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_core::{
    AppendBatch, DocumentError, DocumentTx, DocumentsExt, EventId, EventStore, EventType, ExpectedVersion,
    NewEvent, Payload, Projection, ProjectionError, ProjectionFailure, ProjectionName, ProjectionRunner,
    ProjectionState, ProjectionsError, Query, RecordedEvent, Repository, RetrySchedule, StoreError,
    async_trait,
};

use super::support::{Counts, Door, House, Open, counts, eventually, name, stream};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_projection_rests_and_goes_on_where_it_was() {
    let house = House::new();
    house.append(5).await;
    let running = house.runner(Counts::version(1)).start().await.expect("started");
    house.until_total(5).await;
    running.pause().await.expect("paused");
    eventually("it rests", async || running.status().state == ProjectionState::Paused).await;
    house.append(5).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(house.total().await, 5);
    running.stop().await.expect("stopped");
    // It stays paused, whoever starts it.
    let running = house.runner(Counts::version(1)).start().await.expect("started");
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(house.total().await, 5);
    running.resume().await.expect("resumed");
    house.until_total(10).await;
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_handle_everything_once() {
    let house = House::new();
    for _ in 0..20 {
        house.append(50).await;
    }
    let running = house
        .runner(Counts::version(1))
        .workers(NonZeroUsize::new(4).expect("4"))
        .batch(NonZeroUsize::new(7).expect("7"))
        .start()
        .await
        .expect("started");
    house.until_total(1_000).await;
    house.append(50).await;
    house.until_total(1_050).await;
    eventually("it knows that it is up to date", async || running.status().lag_events == 0).await;
    assert_eq!(running.status().workers, 4);
    running.stop().await.expect("stopped");
    assert_eq!(house.total().await, 1_050);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_is_waited_for_by_receipt() {
    let house = House::new();
    let running = house.runner(Counts::version(1)).start().await.expect("started");
    let doors = Repository::new(house.log.clone());
    for number in 1..=30 {
        let receipt = doors.execute::<Door, _>(&(number % 4), Open).await.expect("done");
        running.wait_for(&receipt, Duration::from_secs(5)).await.expect("it comes that far");
        assert_eq!(house.total().await, u64::from(number));
        house
            .projections()
            .wait_for(&name(), &receipt, Duration::from_secs(5))
            .await
            .expect("also from outside");
    }
    let receipt = doors.execute::<Door, _>(&1, Open).await.expect("done");
    running.wait_for(&receipt, Duration::from_secs(5)).await.expect("it comes that far");
    running.stop().await.expect("stopped");
    let late = doors.execute::<Door, _>(&1, Open).await.expect("done");
    let not_yet =
        house.projections().wait_for(&name(), &late, Duration::from_millis(30)).await.expect_err("stopped");
    let message = not_yet.to_string();
    assert!(message.contains("handled position 31 of 32") && message.contains("Stopped"), "{message}");
    let mut nothing = late;
    nothing.position = None;
    let refused = house.projections().wait_for(&name(), &nothing, Duration::from_millis(30)).await;
    assert!(matches!(refused, Err(ProjectionsError::NoPosition { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_that_fails_at_everything_stops() {
    let house = House::new();
    house.append(30).await;
    let broken = Counts::version(1);
    broken.fails.store(true, Ordering::SeqCst);
    let runner = house.runner(broken.clone()).stop_at_parked_streams(NonZeroUsize::new(10).expect("10"));
    let mut running = runner.start().await.expect("started");
    let failure = running.ended().await.expect_err("it stops");
    assert!(matches!(failure, ProjectionFailure::TooManyFailures { parked: 10, .. }), "{failure:?}");
    assert!(
        failure.to_string().ends_with("waiting behind failed events, and stops at 10: broken"),
        "{failure}"
    );
    let status = &house.projections().status(&name()).await.expect("known")[0];
    assert_eq!((status.state, status.parked_streams), (ProjectionState::Failed, 10), "{status:?}");
    assert!(
        status.last_error.as_ref().is_some_and(|error| error.contains("10 streams waiting")),
        "{status:?}"
    );

    // Mended, it goes on: nothing is lost, and nothing happens twice.
    broken.fails.store(false, Ordering::SeqCst);
    let running = house.runner(broken).start().await.expect("started");
    house.clock.advance(jiff::SignedDuration::from_secs(10));
    house.until_total(30).await;
    assert_eq!(house.projections().status(&name()).await.expect("known")[0].last_error, None);
    running.stop().await.expect("stopped");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let house = House::new();
    let (projections, unknown) = (house.projections(), ProjectionName::new("nobody").expect("valid"));
    let message = projections.status(&unknown).await.expect_err("unknown").to_string();
    assert_eq!(message, "there is no projection nobody: none was started yet");
    house.runner(Counts::version(3)).start().await.expect("started").stop().await.expect("stopped");
    let message = projections.retry(&unknown, &stream(1)).await.expect_err("unknown").to_string();
    assert_eq!(message, "there is no projection nobody: known are counts");
    let message = house.runner(Counts::version(2)).start().await.expect_err("outdated").to_string();
    assert_eq!(message, "version 2 of projection counts is outdated: version 3 serves already");
    let message = projections.retry(&name(), &stream(1)).await.expect_err("no letter").to_string();
    assert_eq!(message, "stream thing-1 has no dead letter in projection counts");
    assert_eq!(projections.names().await.expect("listed"), [name()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_due_is_tried_though_the_store_was_gone_meanwhile() {
    let house = House::new();
    let broken = Counts::version(1);
    broken.fails.store(true, Ordering::SeqCst);
    house.append(1).await;
    let running =
        house.runner(broken.clone()).retry(RetrySchedule::default().tries(9)).start().await.expect("started");
    eventually("it has failed", async || running.status().parked_streams == 1).await;
    broken.fails.store(false, Ordering::SeqCst);
    running.stop().await.expect("stopped");
    let running = house.runner(broken).start().await.expect("started");
    house.clock.advance(jiff::SignedDuration::from_secs(2));
    house.until_total(1).await;
    assert!(house.log.capabilities().conditions());
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_takes_long_is_committed_in_parts() {
    let house = House::new();
    house.append(60).await;
    let slow = Counts { pause: Duration::from_millis(3), ..Counts::version(1) };
    let running = house.runner(slow.clone()).start().await.expect("started");
    let mut seen = std::collections::BTreeSet::new();
    eventually("all are handled", async || {
        let total = house.total().await;
        seen.insert(total);
        total == 60
    })
    .await;
    assert!(seen.len() > 3, "one transaction took longer than the lease: {seen:?}");
    assert_eq!(slow.handled.load(Ordering::SeqCst), 60, "nothing was handled again for that");
    running.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_to_do_a_projection_is_live_and_never_stalled() {
    let house = House::new();
    let running = house.runner(Counts::version(1)).start().await.expect("started");
    eventually("it is live on an empty log", async || running.status().state == ProjectionState::Live).await;
    house.clock.advance(jiff::SignedDuration::from_hours(5));
    eventually("it shows a sign of life", async || {
        house.projections().status(&name()).await.expect("known")[0].workers == 1
    })
    .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    house.append(3).await;
    let first = running.health();
    assert!(first.is_healthy(), "after hours of rest it is {first:?}");
    house.until_total(3).await;
    running.stop().await.expect("stopped");
}

#[derive(Debug, thiserror::Error)]
#[error("prices are not known")]
struct Wrapped(#[source] StoreError);

/// Does not get its documents at first: their store does not answer.
#[derive(Clone, Default)]
struct Unlucky {
    tries: Arc<AtomicU32>,
}

#[async_trait]
impl Projection<DocumentTx> for Unlucky {
    fn name(&self) -> &str {
        "unlucky"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let unavailable = || StoreError::unavailable("read a document", "the line is cut");
        match self.tries.fetch_add(1, Ordering::SeqCst) {
            // As documents say it, and as somebody who wraps it does.
            0 => Err(DocumentError::Store(unavailable()).into()),
            2 => Err(Wrapped(unavailable()).into()),
            _ => Ok(tx.write(&counts(), event.stream().as_str(), &1).await?),
        }
    }

    async fn finish(&mut self, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        match self.tries.fetch_add(1, Ordering::SeqCst) {
            5 => {
                Err(DocumentError::Store(StoreError::unavailable("read a document", "the line is cut"))
                    .into())
            }
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_while_an_event_is_handled_is_no_fault_of_the_event() {
    let house = House::new();
    house.append(1).await;
    let projection = Unlucky::default();
    let runner = ProjectionRunner::new(projection.clone(), house.log.clone(), house.store.clone());
    // The first failure of an event would put it aside.
    let running = runner.retry(RetrySchedule::default().tries(1)).start().await.expect("started");
    let (projections, name) = (house.projections(), ProjectionName::new("unlucky").expect("valid"));
    eventually("it is handled", async || {
        let found = projections.document(&name, &counts(), "thing-0").await.expect("read");
        found == Some(1_u64)
    })
    .await;
    assert_eq!(projection.tries.load(Ordering::SeqCst), 8, "twice as it is handled, once as it is finished");
    assert_eq!(projections.dead_letters(&name, None, 10).await.expect("listed").len(), 0);
    running.stop().await.expect("stopped");
}

/// What storage has damaged is put aside like any event that cannot be handled, and its stream waits behind it.
#[tokio::test]
async fn an_event_whose_payload_is_damaged_is_a_dead_letter() {
    let house = House::new();
    for payload in [&b"{\"half"[..], b"\xff"] {
        let id = EventId::from_bytes([payload[0]; 16]);
        let kind = EventType::new("DoorOpened").expect("valid");
        let event = NewEvent::new(id, kind, Payload::from_checked(payload.to_vec()));
        let batch = AppendBatch::new(stream(1), ExpectedVersion::Any, vec![event]).expect("valid");
        house.log.append(batch).await.map(drop).expect("stored");
    }
    let runner = ProjectionRunner::new(Decoding, house.log.clone(), house.store.clone());
    let running = runner.retry(RetrySchedule::default().tries(1)).start().await.expect("started");
    let (projections, name) = (house.projections(), ProjectionName::new("decoding").expect("valid"));
    eventually("both wait", async || {
        let letters = projections.dead_letters(&name, None, 10).await.expect("they can be read");
        letters.len() == 2 && letters[1].event.payload().as_bytes() == b"\xff"
    })
    .await;
    running.stop().await.expect("stopped");
}

struct Decoding;

#[async_trait]
impl Projection<DocumentTx> for Decoding {
    fn name(&self) -> &str {
        "decoding"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        event.payload().decode::<()>()?;
        Ok(())
    }
}

/// Asks another store about stream 3, which does not answer at first.
#[derive(Clone, Default)]
struct Halfway {
    asked: Arc<AtomicU32>,
    effects: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Projection<DocumentTx> for Halfway {
    fn name(&self) -> &str {
        "halfway"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        if event.stream().id() == "3" && self.asked.fetch_add(1, Ordering::SeqCst) < 4 {
            return Err(Wrapped(StoreError::unavailable("ask for a price", "the line is cut")).into());
        }
        Ok(())
    }

    async fn effect(&mut self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        self.effects.lock().expect("not poisoned").push(event.stream().to_string());
        Ok(())
    }
}

#[tokio::test]
async fn what_comes_before_a_store_that_does_not_answer_has_its_effects_once() {
    let house = House::new();
    house.append(6).await;
    let projection = Halfway::default();
    let runner = ProjectionRunner::new(projection.clone(), house.log.clone(), house.store.clone());
    let running = runner.start().await.expect("started");
    eventually("all have had their effects", async || {
        projection.effects.lock().expect("not poisoned").len() >= 6
    })
    .await;
    running.stop().await.expect("stopped");
    let effects = projection.effects.lock().expect("not poisoned").clone();
    assert_eq!(effects, (0..6).map(|number| format!("thing-{number}")).collect::<Vec<_>>());
}

/// Fails, and then asks another store, which does not answer for a while.
#[derive(Clone, Default)]
struct Belated {
    tries: Arc<AtomicU32>,
}

#[async_trait]
impl Projection<DocumentTx> for Belated {
    fn name(&self) -> &str {
        "belated"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, _: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        match self.tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(ProjectionError::new("not today")),
            1..=6 => Err(Wrapped(StoreError::unavailable("ask for a price", "the line is cut")).into()),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_letter_whose_try_a_store_does_not_answer_has_as_many_tries_left() {
    let house = House::new();
    house.append(1).await;
    let projection = Belated::default();
    let runner = ProjectionRunner::new(projection.clone(), house.log.clone(), house.store.clone());
    let brisk = RetrySchedule::default().tries(2).pauses(Duration::from_millis(1), Duration::from_millis(2));
    let running = runner.retry(brisk).start().await.expect("started");
    let (projections, name) = (house.projections(), ProjectionName::new("belated").expect("valid"));
    eventually("it is handled", async || {
        let left = projections.dead_letters(&name, None, 10).await.expect("listed");
        projection.tries.load(Ordering::SeqCst) == 8 && left.is_empty()
    })
    .await;
    running.stop().await.expect("stopped");
}
