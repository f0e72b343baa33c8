//! Writers who keep on appending, whatever becomes of the server; and whether what they were told holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nexus_core::{AppendBatch, EventId, EventStore, ExpectedVersion, Remedy};
use nexus_postgres::PostgresStore;
use tokio::task::JoinHandle;

use crate::support::{event, read_all, stream};

/// The ids of each append that was answered.
pub(crate) type Acknowledged = Vec<Vec<EventId>>;

pub(crate) struct Load {
    done: Arc<AtomicBool>,
    writers: Vec<JoinHandle<Acknowledged>>,
}

impl Load {
    pub(crate) fn on(store: &PostgresStore) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let writers = (0..8_u64).map(|writer| {
            let (store, done) = (store.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut acknowledged = Acknowledged::new();
                while !done.load(Ordering::SeqCst) {
                    acknowledged.push(write(&store, writer, acknowledged.len()).await);
                }
                acknowledged
            })
        });
        Self { writers: writers.collect(), done }
    }

    pub(crate) async fn end(self) -> Acknowledged {
        self.done.store(true, Ordering::SeqCst);
        let mut all = Acknowledged::new();
        for writer in self.writers {
            all.extend(writer.await.expect("no panic"));
        }
        all
    }
}

async fn write(store: &PostgresStore, writer: u64, number: usize) -> Vec<EventId> {
    let events: Vec<_> = (0..1 + number % 3).map(|_| event(10)).collect();
    let ids = events.iter().map(nexus_core::NewEvent::id).collect();
    let mut batch = AppendBatch::new(stream(writer), ExpectedVersion::Any, events).expect("valid");
    if number % 5 == 4 {
        batch = batch.and(stream(100 + writer), ExpectedVersion::Any, vec![event(1)]).expect("valid");
    }
    // The same call, until it is answered.
    loop {
        match store.append(batch.clone()).await {
            Ok(_) => return ids,
            Err(error) => assert_eq!(error.remedy(), Remedy::Retry, "{error:?}"),
        }
    }
}

/// What was acknowledged is there, once, and versions have no holes.
pub(crate) async fn check(store: &PostgresStore, acknowledged: &Acknowledged) {
    let log = read_all(store).await.expect("read");
    let mut stored: HashMap<EventId, usize> = HashMap::new();
    let mut versions: HashMap<String, u64> = HashMap::new();
    for event in &log {
        *stored.entry(event.id()).or_default() += 1;
        let version = versions.entry(event.stream().to_string()).or_default();
        *version += 1;
        assert_eq!(event.version().get(), *version, "stream {} has a hole", event.stream());
    }
    assert!(stored.values().all(|count| *count == 1), "an event is there twice");
    for ids in acknowledged {
        assert!(ids.iter().all(|id| stored.contains_key(id)), "an acknowledged append is lost");
    }
}
