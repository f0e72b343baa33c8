use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_core::{
    Projection, ProjectionError, ProjectionRunner, Query, RecordedEvent, RetrySchedule, SwitchWhen,
    async_trait,
};

use super::support::{Counts, House, eventually, name};

fn all(streams: u64, versions: u64) -> Vec<(String, u64)> {
    let mut all: Vec<_> = (0..streams)
        .flat_map(|stream| (1..=versions).map(move |version| (format!("thing-{stream}"), version)))
        .collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_happen_once_across_a_rebuild_and_a_new_version() {
    let house = House::new();
    let first = Counts::version(1);
    house.append(10).await;
    let running = house.runner(first.clone()).start().await.expect("started");
    house.until_total(10).await;
    let again = first.clone();
    let rebuild = house.runner(again).switch_when(SwitchWhen::Told).rebuild().await.expect("started");
    house.append(10).await;
    house.until_total(20).await;
    rebuild.switch().await.expect("switched");
    house.append(10).await;
    house.until_total(30).await;
    let second = Counts { version: 2, ..first.clone() };
    let next = house.runner(second).start().await.expect("started");
    eventually("the new version serves", async || {
        house.projections().status(&name()).await.expect("known")[0].version == 2
    })
    .await;
    house.append(10).await;
    house.until_total(40).await;
    assert_eq!(first.effects(), all(10, 4), "an effect was left out, or happened twice");
    assert!(running.stop().await.is_err(), "the first version is outdated");
    next.stop().await.expect("stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_of_events_that_were_put_aside_come_after_the_switch() {
    let house = House::new();
    let first = Counts::version(1);
    first.effect_fails.store(true, Ordering::SeqCst);
    house.append(5).await;
    house.append(5).await;
    let never = RetrySchedule::default().tries(1);
    let old = house.runner(first.clone()).retry(never).start().await.expect("started");
    eventually("one stream waits", async || old.status().parked_streams == 1).await;
    house.until_total(8).await;
    // The new version can do what the old one could not.
    let mended = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let second = Counts { version: 2, effect_fails: mended, ..first.clone() };
    let new = house.runner(second).start().await.expect("started");
    eventually("the new version serves", async || {
        house.projections().status(&name()).await.expect("known")[0].version == 2
    })
    .await;
    house.append(5).await;
    house.until_total(15).await;
    eventually("nothing waits any more", async || {
        house.projections().dead_letters(&name(), None, 10).await.expect("listed").is_empty()
    })
    .await;
    assert_eq!(first.effects(), all(5, 3), "an effect was left out, or happened twice");
    assert_eq!(house.total().await, 15, "nothing was counted twice for its effect");
    new.stop().await.expect("stopped");
    assert!(old.stop().await.is_err(), "the first version is outdated");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_that_happened_two_versions_ago_does_not_come_again() {
    let house = House::new();
    let first = Counts::version(1);
    house.append(5).await;
    let old = house.runner(first.clone()).start().await.expect("started");
    house.until_total(5).await;
    let serves = async |version: u32| {
        eventually(format_args!("version {version} serves"), async || {
            house.projections().status(&name()).await.expect("known")[0].version == version
        })
        .await;
    };
    // The second version cannot take in what the first has; a new event of that stream waits behind it.
    let stumbles = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let second = Counts { version: 2, stumbles, ..first.clone() };
    let second = house.runner(second).start().await.expect("started");
    serves(2).await;
    house.append(5).await;
    eventually("the new event waits", async || {
        house.projections().dead_letters(&name(), None, 10).await.expect("listed").len() == 2
    })
    .await;
    house.until_total(8).await;
    let third = house.runner(Counts { version: 3, ..first.clone() }).start().await.expect("started");
    serves(3).await;
    house.append(5).await;
    house.until_total(15).await;
    eventually("nothing waits any more", async || {
        house.projections().dead_letters(&name(), None, 10).await.expect("listed").is_empty()
    })
    .await;
    assert_eq!(first.effects(), all(5, 3), "an effect was left out, or happened twice");
    third.stop().await.expect("stopped");
    assert!(old.stop().await.is_err() && second.stop().await.is_err(), "they are outdated");
}

/// Does something elsewhere; fails at one event until it is mended.
#[derive(Clone, Default)]
struct Mails {
    sent: Arc<Mutex<Vec<(String, u64)>>>,
    failures: Arc<AtomicU32>,
}

#[async_trait]
impl Projection<()> for Mails {
    fn name(&self) -> &str {
        "mails"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, (): &mut ()) -> Result<(), ProjectionError> {
        if event.stream().id() == "3" && self.failures.load(Ordering::SeqCst) > 0 {
            self.failures.fetch_sub(1, Ordering::SeqCst);
            return Err(ProjectionError::new("the mail server does not answer"));
        }
        let sent = (event.stream().to_string(), event.version().get());
        self.sent.lock().expect("not poisoned").push(sent);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_elsewhere_is_not_done_again_because_a_later_event_fails() {
    let house = House::new();
    house.append(8).await;
    house.append(8).await;
    let mails = Mails::default();
    mails.failures.store(2, Ordering::SeqCst);
    let running = ProjectionRunner::new(mails.clone(), house.log.clone(), house.store.clone())
        .clock(house.clock.clone())
        .retry(RetrySchedule::default().pauses(Duration::from_millis(1), Duration::from_millis(2)))
        .start()
        .await
        .expect("started");
    eventually("all are sent", async || {
        house.clock.advance(jiff::SignedDuration::from_millis(5));
        mails.sent.lock().expect("not poisoned").len() >= 16
    })
    .await;
    running.stop().await.expect("stopped");
    let mut sent = mails.sent.lock().expect("not poisoned").clone();
    let of_the_third: Vec<_> =
        sent.iter().filter(|(stream, _)| stream == "thing-3").map(|(_, at)| *at).collect();
    assert_eq!(of_the_third, [1, 2], "in the order of the stream");
    sent.sort();
    assert_eq!(sent, all(8, 2));
}
