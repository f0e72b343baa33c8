use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::RelayError;
use crate::port::{EventPublisher, PublishError};
use crate::runtime::telemetry;
use crate::vocabulary::{PathName, RecordedEvent};

/// A way to consumers, and what is known of it here.
#[derive(Debug)]
pub(super) struct Path {
    pub(super) relay: Arc<str>,
    pub(super) name: PathName,
    pub(super) publisher: Arc<dyn EventPublisher>,
    /// Something was set aside.
    pub(super) set_aside: Notify,
    failure: Mutex<Option<String>>,
}

/// All paths of a relay.
pub(super) type Paths = BTreeMap<PathName, Arc<Path>>;

/// The path did not take the events within its time.
#[derive(Debug, thiserror::Error)]
#[error("it did not take {events} events within {patience:?}")]
struct Slow {
    events: usize,
    patience: Duration,
}

impl Path {
    pub(super) fn new(relay: Arc<str>, name: PathName, publisher: Arc<dyn EventPublisher>) -> Self {
        Self { relay, name, publisher, set_aside: Notify::new(), failure: Mutex::new(None) }
    }

    pub(super) fn among<'a>(paths: &'a Paths, name: &PathName) -> Result<&'a Arc<Self>, RelayError> {
        paths.get(name).ok_or_else(|| RelayError::UnknownPath {
            path: name.clone(),
            known: paths.keys().cloned().collect(),
        })
    }

    /// Publishes the events, within `patience`. What is wrong with the path is kept in mind.
    pub(super) async fn publish(
        &self,
        events: &[RecordedEvent],
        patience: Duration,
        now: impl Fn() -> Timestamp,
    ) -> Result<(), PublishError> {
        let started = Instant::now();
        let published = match timeout(patience, self.publisher.publish(events)).await {
            Ok(published) => published,
            Err(_) => {
                let slow = Slow { events: events.len(), patience };
                Err(PublishError::unavailable(format!("path {}", self.name), slow))
            }
        };
        match &published {
            Ok(()) => {
                let ages = events.iter().map(|event| age(event, now()));
                telemetry::relay_published(&self.relay, self.name.as_str(), ages, started.elapsed());
                self.failed(None);
            }
            Err(error) => {
                telemetry::relay_failed(&self.relay, self.name.as_str());
                self.failed(Some(telemetry::chain(error)));
            }
        }
        published
    }

    /// What is wrong with it, as far as this process has seen.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, failure: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

/// How long ago it was recorded; 0 where clocks disagree.
fn age(event: &RecordedEvent, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(event.recorded_at())).unwrap_or_default()
}
