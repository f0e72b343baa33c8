//! A server whose disk fails: syncs that do not happen, no room, and what a crash takes of what was not synced.

use std::collections::HashMap;
use std::time::Duration;

use nexus_core::{
    Appended, Collection, DocumentTx, DocumentsExt, EventStore, FeedOrdering, HandedFeed, HandedRecord,
    Projection, ProjectionError, ProjectionName, ProjectionRunner, Projections, Query, RecordedEvent, Remedy,
    TimerName, Timers, Timestamp, async_trait,
};
use nexus_postgres::{PostgresProjections, PostgresStore};
use nexus_services::{BadDisk, Postgres};
use tokio::task::block_in_place;

use crate::load::{Load, check};
use crate::outages::server_with;
use crate::support::{House, append, batch, event, read_all, stream};

/// Starts it once more, with this disk.
fn again(server: &Postgres, disk: &BadDisk) {
    block_in_place(|| {
        // It may have stopped by itself.
        let _ = server.crash();
        server.go_with(disk.environment()).expect("started again");
    });
}

async fn open(house: &House) -> PostgresStore {
    let config = house.config().retry_for(Duration::from_secs(20));
    PostgresStore::open_with(config).await.expect("the store opens")
}

/// The server panics, as it has to: what it had in hand is unknown, and what it has acknowledged is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_syncs_fail_loses_nothing_that_was_acknowledged() {
    let (server, disk) = (server_with(&[]), BadDisk::new().expect("made"));
    again(&server, &disk);
    let house = House::at(server.url());
    let store = open(&house).await;
    let load = Load::on(&store);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        let panics = || server.log().expect("it has a log").matches("PANIC:  could not").count();
        let before = panics();
        disk.fail_to_sync(3).expect("said");
        while panics() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        disk.be_sound().expect("said");
        again(&server, &disk);
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    let acknowledged = load.end().await;
    assert!(acknowledged.len() > 50, "only {} appends: this shows little", acknowledged.len());
    check(&store, &acknowledged).await;
}

/// Counts events, and takes in each stream in order.
struct Counts;

fn counts() -> Collection {
    Collection::new("counts").expect("valid")
}

#[async_trait]
impl Projection<DocumentTx> for Counts {
    fn name(&self) -> &str {
        "counts"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let count: u64 = tx.read(&counts(), event.stream().as_str()).await?.unwrap_or(0);
        // Large, so that it needs room, too.
        tx.write(&counts(), &event.id().to_string(), &"x".repeat(3_000)).await?;
        Ok(tx.write(&counts(), event.stream().as_str(), &(count + 1)).await?)
    }
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "it never came to pass that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_holds_no_event_to_blame() {
    let (server, disk) = (server_with(&[]), BadDisk::new().expect("made"));
    again(&server, &disk);
    let house = House::at(server.url());
    let store = PostgresStore::open_with(house.config().retry_for(Duration::from_millis(500))).await;
    let store = store.expect("the store opens");
    let read_models = PostgresProjections::beside(&store);
    let running = ProjectionRunner::new(Counts, store.clone(), read_models.clone());
    let running = running.start().await.expect("started");
    append(&store, 1, 5).await;
    disk.be_full(1).expect("said");
    // Until no page has room for more.
    let (mut stored, refused) = (
        5,
        loop {
            let sent = batch(&stream(1), (0..20).map(|_| event(1_500)).collect());
            match store.append(sent.clone()).await {
                Ok(_) => continue,
                Err(error) => {
                    assert_eq!(error.remedy(), Remedy::Retry, "{error:?}");
                    let causes =
                        std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    assert!(causes.contains("No space left"), "{causes}");
                    break sent;
                }
            }
        },
    );
    stored = stored.max(read_all(&store).await.expect("reads go on").len());
    assert_eq!(read_all(&store).await.expect("reads go on").len(), stored);
    disk.be_sound().expect("said");
    let answer = store.append(refused).await.expect("there is room again");
    assert!(matches!(answer, Appended::Stored(_)), "nothing of it was stored: {answer:?}");
    stored += 20;
    assert_eq!(read_all(&store).await.expect("read").len(), stored);
    let (projections, name) =
        (Projections::new(store, read_models), ProjectionName::new("counts").expect("valid"));
    eventually("all is counted", async || {
        projections.document(&name, &counts(), "sample-1").await.ok().flatten() == Some(stored)
    })
    .await;
    let letters = projections.dead_letters(&name, None, 10).await.expect("listed");
    assert_eq!(letters.len(), 0, "no event is to blame: {letters:?}");
    running.stop().await.expect("stopped");
}

/// Commits of a projection need not have come to the disk when the server crashes: read model and checkpoint go back together.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_under_a_projection_counts_each_event_once() {
    let server = server_with(&[("wal_writer_delay", "10s")]);
    let house = House::at(server.url());
    let store = open(&house).await;
    let read_models = PostgresProjections::beside(&store);
    let running = ProjectionRunner::new(Counts, store.clone(), read_models.clone());
    let running = running.start().await.expect("started");
    let load = Load::on(&store);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        block_in_place(|| {
            server.crash().expect("crashed");
            server.go().expect("started again");
        });
    }
    let acknowledged = load.end().await;
    check(&store, &acknowledged).await;
    let mut versions: HashMap<String, u64> = HashMap::new();
    for event in read_all(&store).await.expect("read") {
        versions.insert(event.stream().to_string(), event.version().get());
    }
    let (projections, name) =
        (Projections::new(store, read_models), ProjectionName::new("counts").expect("valid"));
    eventually("each event is counted once", async || {
        for (stream, version) in &versions {
            let counted: Option<u64> =
                projections.document(&name, &counts(), stream).await.unwrap_or_default();
            assert!(counted <= Some(*version), "{stream} has {version} events, and {counted:?} were counted");
            if counted != Some(*version) {
                return false;
            }
        }
        true
    })
    .await;
    running.stop().await.expect("stopped");
}

/// A timer, and what nobody hands over again, are on the disk when they are answered; what is made of a log need not be.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_made_again_is_there_after_a_crash_of_the_server() {
    let server = server_with(&[("wal_writer_delay", "10s")]);
    let house = House::at(server.url());
    let store = open(&house).await;
    let read_models = PostgresProjections::beside(&store);
    let timers = Timers::named("reminders", read_models.clone()).expect("a name");
    let feed = HandedFeed::new(FeedOrdering::None);
    let running = ProjectionRunner::receiving(Counts, feed.clone(), read_models.clone());
    let running = running.start().await.expect("started");
    append(&store, 1, 40).await;
    let events = read_all(&store).await.expect("read");
    for (number, event) in events.into_iter().enumerate() {
        let name = TimerName::new(format!("timer-{number}")).expect("valid");
        timers.schedule(&name, Timestamp::MAX, &number).await.expect("scheduled");
        let record = HandedRecord::new("record", vec![event]);
        let failed = feed.hand_over(vec![record], Duration::from_secs(20)).await;
        assert!(failed.is_empty(), "it was not taken in");
    }
    block_in_place(|| {
        server.crash().expect("crashed");
        server.go().expect("started again");
    });
    assert_eq!(timers.list(100).await.expect("listed").len(), 40);
    let projections = Projections::new(store, read_models);
    let name = ProjectionName::new("counts").expect("valid");
    let counted: Option<u64> = projections.document(&name, &counts(), "sample-1").await.expect("read");
    assert_eq!(counted, Some(40));
    let _ = running.stop().await;
}
