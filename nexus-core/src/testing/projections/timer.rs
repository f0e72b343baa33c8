use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::ProjectionFixture;
use crate::runtime::{RunningTimers, Timer, TimerRunner, Timers};
use crate::testing::fixture::soon;
use crate::vocabulary::{BoxError, Clock, ManualClock, TimerName};

const LEASE: Duration = Duration::from_secs(60);

/// What has fired so far, and a clock for all.
struct Bell {
    clock: Arc<ManualClock>,
    rung: Arc<Mutex<BTreeMap<String, Vec<String>>>>,
    is_broken: Arc<AtomicBool>,
}

impl Bell {
    fn new() -> Self {
        let start = Timestamp::from_second(1_795_000_000).expect("a time");
        let clock = Arc::new(ManualClock::at(start));
        Self { clock, rung: Arc::default(), is_broken: Arc::default() }
    }

    fn runner(&self, timers: &Timers) -> RunningTimers {
        let (rung, is_broken) = (Arc::clone(&self.rung), Arc::clone(&self.is_broken));
        let handler = move |timer: Timer| -> BoxFuture<'static, Result<(), BoxError>> {
            let (rung, is_broken) = (Arc::clone(&rung), Arc::clone(&is_broken));
            async move {
                if is_broken.load(Ordering::SeqCst) {
                    return Err("the bell is broken".into());
                }
                let content: String = timer.content()?;
                let mut rung = rung.lock().unwrap_or_else(PoisonError::into_inner);
                rung.entry(timer.name.to_string()).or_default().push(content);
                Ok(())
            }
            .boxed()
        };
        TimerRunner::new(timers.clone(), handler)
            .clock(self.clock.clone())
            .lease(LEASE)
            .pauses(Duration::from_secs(1), Duration::from_secs(2))
            .start()
    }

    fn at(&self, seconds: i64) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(seconds)
    }

    fn has_rung(&self) -> Vec<(String, String)> {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let all =
            rung.iter().flat_map(|(name, with)| with.iter().map(move |with| (name.clone(), with.clone())));
        all.collect()
    }

    async fn until(&self, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(name, with)| ((*name).to_owned(), (*with).to_owned())).collect();
        let deadline = tokio::time::Instant::now() + soon();
        while self.has_rung() != expected {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{:?} have rung, not {expected:?}",
                self.has_rung()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn name(text: &str) -> TimerName {
    TimerName::new(text).expect("a valid name")
}

async fn timers<F: ProjectionFixture>(fixture: &F) -> Timers {
    Timers::named("bells", fixture.open().await).expect("a valid name")
}

async fn set(timers: &Timers, timer: &str, due: Timestamp, content: &str) {
    timers.schedule(&name(timer), due, content).await.expect("set");
}

async fn until_gone(timers: &Timers, timer: &str) {
    let deadline = tokio::time::Instant::now() + soon();
    while timers.find(&name(timer)).await.expect("found").is_some() {
        assert!(tokio::time::Instant::now() < deadline, "timer {timer} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn a_timer_fires_when_it_is_due_and_not_before<F: ProjectionFixture>() {
    let (fixture, bell) = (F::start().await, Bell::new());
    let timers = timers(&fixture).await;
    set(&timers, "b", bell.at(20), "second").await;
    set(&timers, "a", bell.at(10), "first").await;
    set(&timers, "c", bell.at(-10), "past").await;
    let listed = timers.list(10).await.expect("listed");
    assert_eq!(listed.iter().map(|timer| timer.name.as_str()).collect::<Vec<_>>(), ["c", "a", "b"]);
    let running = bell.runner(&timers);
    bell.until(&[("c", "past")]).await;
    // The clock goes back and forth, but not as far as that.
    bell.clock.advance(SignedDuration::from_secs(-100));
    bell.clock.advance(SignedDuration::from_millis(109_999));
    tokio::time::sleep(Duration::from_millis(300)).await;
    bell.until(&[("c", "past")]).await;
    bell.clock.advance(SignedDuration::from_millis(1));
    bell.until(&[("a", "first"), ("c", "past")]).await;
    bell.clock.advance(SignedDuration::from_hours(1_000));
    bell.until(&[("a", "first"), ("b", "second"), ("c", "past")]).await;
    for timer in ["a", "b", "c"] {
        until_gone(&timers, timer).await;
    }
    running.stop().await;
}

pub async fn a_timer_outlives_its_runner<F: ProjectionFixture>() {
    let (fixture, bell) = (F::start().await, Bell::new());
    let before = timers(&fixture).await;
    let running = bell.runner(&before);
    set(&before, "a", bell.at(10), "once").await;
    running.stop().await;
    drop(before);
    bell.clock.advance(SignedDuration::from_hours(24));
    let after = timers(&fixture).await;
    let found = after.find(&name("a")).await.expect("found").expect("it is there");
    assert_eq!((found.content::<String>().expect("a text"), found.tries), ("once".to_owned(), 0));
    let running = bell.runner(&after);
    bell.until(&[("a", "once")]).await;
    until_gone(&after, "a").await;
    running.stop().await;
}

pub async fn a_timer_can_be_moved_and_taken_back<F: ProjectionFixture>() {
    let (fixture, bell) = (F::start().await, Bell::new());
    let timers = timers(&fixture).await;
    set(&timers, "later", bell.at(10), "before").await;
    set(&timers, "sooner", bell.at(1_000), "before").await;
    set(&timers, "never", bell.at(10), "before").await;
    set(&timers, "later", bell.at(100), "after").await;
    set(&timers, "sooner", bell.at(10), "after").await;
    assert!(timers.cancel(&name("never")).await.expect("taken back"));
    assert!(!timers.cancel(&name("never")).await.expect("it is not there any more"));
    assert_eq!(timers.list(10).await.expect("listed").len(), 2);
    let running = bell.runner(&timers);
    bell.clock.advance(SignedDuration::from_secs(50));
    bell.until(&[("sooner", "after")]).await;
    bell.clock.advance(SignedDuration::from_secs(1_000));
    bell.until(&[("later", "after"), ("sooner", "after")]).await;
    running.stop().await;
}

pub async fn a_timer_that_was_not_seen_to_fires_again<F: ProjectionFixture>() {
    let (fixture, bell) = (F::start().await, Bell::new());
    let timers = timers(&fixture).await;
    bell.is_broken.store(true, Ordering::SeqCst);
    set(&timers, "a", bell.at(0), "late").await;
    let running = bell.runner(&timers);
    for tries in 1..=3 {
        let deadline = tokio::time::Instant::now() + soon();
        let timer = loop {
            let timer = timers.find(&name("a")).await.expect("found").expect("it is there");
            if timer.tries == tries {
                break timer;
            }
            assert!(tokio::time::Instant::now() < deadline, "it has not fired {tries} times: {timer:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert_eq!(timer.error.as_deref(), Some("the bell is broken"));
        bell.clock.advance(SignedDuration::from_secs(2));
    }
    bell.is_broken.store(false, Ordering::SeqCst);
    bell.clock.advance(SignedDuration::from_secs(2));
    bell.until(&[("a", "late")]).await;
    until_gone(&timers, "a").await;
    running.stop().await;
}

pub async fn timers_are_shared_by_all_runners<F: ProjectionFixture>() {
    let (fixture, bell) = (F::start().await, Bell::new());
    let (first, second) = (timers(&fixture).await, timers(&fixture).await);
    for number in 0..60 {
        set(&first, &format!("{number:02}"), bell.at(i64::from(number % 7)), "once").await;
    }
    let running = [bell.runner(&first), bell.runner(&second), bell.runner(&second)];
    for _ in 0..7 {
        bell.clock.advance(SignedDuration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let expected: Vec<String> = (0..60).map(|number| format!("{number:02}")).collect();
    let expected: Vec<(&str, &str)> = expected.iter().map(|name| (name.as_str(), "once")).collect();
    bell.until(&expected).await;
    for runner in running {
        runner.stop().await;
    }
    bell.until(&expected).await;
    assert_eq!(first.list(10).await.expect("listed"), []);
}

pub async fn the_timers_of_a_runner_that_died_fire<F: ProjectionFixture>() {
    let (fixture, bell) = (F::start().await, Bell::new());
    let timers = timers(&fixture).await;
    set(&timers, "a", bell.at(0), "again").await;
    // It has the timer in hand, and is never heard of again.
    let reached = Arc::new(tokio::sync::Notify::new());
    let rings = Arc::clone(&reached);
    let doomed =
        TimerRunner::new(timers.clone(), move |_: Timer| -> BoxFuture<'static, Result<(), BoxError>> {
            rings.notify_one();
            std::future::pending().boxed()
        });
    let doomed = doomed.clock(bell.clock.clone()).lease(LEASE).start();
    tokio::time::timeout(soon(), reached.notified()).await.expect("it fires");
    drop(doomed);
    let running = bell.runner(&timers);
    tokio::time::sleep(Duration::from_millis(250)).await;
    bell.until(&[]).await;
    bell.clock.advance(SignedDuration::from_secs(61));
    bell.until(&[("a", "again")]).await;
    until_gone(&timers, "a").await;
    running.stop().await;
}
