use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexus_core::{
    DocumentKey, DocumentTx, DocumentsExt, KeyRange, Projection, ProjectionError, ProjectionName,
    ProjectionRunner, Query, RecordedEvent, RetrySchedule, async_trait,
};

use super::support::{House, counts, eventually};

/// Counts the events of each stream, and writes that when a transaction ends; so it does with its effects.
#[derive(Clone, Default)]
struct KeptBack {
    since_begin: BTreeMap<String, u64>,
    due: Vec<(String, u64)>,
    /// The handler fails at stream 3, `finish` at stream 5.
    stumbles: Arc<AtomicBool>,
    writes: Arc<AtomicU32>,
    effects: Arc<Mutex<Vec<(String, u64)>>>,
}

#[async_trait]
impl Projection<DocumentTx> for KeptBack {
    fn name(&self) -> &str {
        "kept-back"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    fn begin(&mut self) {
        self.since_begin.clear();
        self.due.clear();
    }

    async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        *self.since_begin.entry(event.stream().to_string()).or_default() += 1;
        if event.stream().id() == "3" && self.stumbles.load(Ordering::SeqCst) {
            return Err(ProjectionError::new("stumbled"));
        }
        Ok(())
    }

    async fn effect(&mut self, event: &RecordedEvent) -> Result<(), ProjectionError> {
        self.due.push((event.stream().to_string(), event.version().get()));
        Ok(())
    }

    async fn finish(&mut self, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        self.effects.lock().expect("not poisoned").append(&mut self.due);
        for (stream, more) in std::mem::take(&mut self.since_begin) {
            if stream == "thing-5" && self.stumbles.load(Ordering::SeqCst) {
                return Err(ProjectionError::new("stumbled at the end"));
            }
            let before: u64 = tx.read(&counts(), &stream).await?.unwrap_or(0);
            tx.write(&counts(), &stream, &(before + more)).await?;
            self.writes.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_is_kept_back_is_written_once_a_transaction() {
    let house = House::new();
    for _ in 0..10 {
        house.append(4).await;
    }
    let projection = KeptBack::default();
    let runner = ProjectionRunner::new(projection.clone(), house.log.clone(), house.store.clone());
    let running = runner.batch(NonZeroUsize::new(100).expect("not 0")).start().await.expect("started");
    let (projections, name) = (house.projections(), ProjectionName::new("kept-back").expect("valid"));
    eventually("all is counted", async || {
        projections.document(&name, &counts(), "thing-3").await.expect("read") == Some(10_u64)
    })
    .await;
    running.stop().await.expect("stopped");
    assert!(projection.writes.load(Ordering::SeqCst) < 20, "once a transaction and stream");
}

#[tokio::test]
async fn an_event_that_fails_takes_nothing_of_the_others_with_it() {
    let house = House::new();
    let projection = KeptBack::default();
    projection.stumbles.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        house.append(8).await;
    }
    let brisk = RetrySchedule::default().tries(1_000).pauses(Duration::ZERO, Duration::ZERO);
    let runner = ProjectionRunner::new(projection.clone(), house.log.clone(), house.store.clone());
    let running = runner.retry(brisk).start().await.expect("started");
    let (projections, name) = (house.projections(), ProjectionName::new("kept-back").expect("valid"));
    let counted = async || {
        let all =
            projections.documents(&name, &counts(), &KeyRange::all()).await.expect("listed").into_iter();
        let count = |number: &u64| number.to_string();
        all.map(|document| (document.key.to_string(), count(&document.content.decode().expect("a number"))))
            .collect::<Vec<_>>()
    };
    let all_but = |left_out: &[u64]| {
        let streams = (0..8_u64).filter(|number| !left_out.contains(number));
        streams.map(|number| (format!("thing-{number}"), "3".to_owned())).collect::<Vec<_>>()
    };
    eventually("the others are counted", async || counted().await == all_but(&[3, 5])).await;
    projection.stumbles.store(false, Ordering::SeqCst);
    eventually("all are counted", async || counted().await == all_but(&[])).await;
    running.stop().await.expect("stopped");
    let mut effects = projection.effects.lock().expect("not poisoned").clone();
    effects.sort();
    effects.dedup();
    assert_eq!(effects.len(), 24, "each effect happened, at least once: {effects:?}");
}

#[tokio::test]
async fn an_inline_projection_writes_what_it_kept_back_before_the_append_is_answered() {
    let house = House::new();
    house.append(2).await;
    let projection = KeptBack::default();
    let store = house.log.clone().with_inline(projection.clone()).expect("it takes in what is there");
    house.append(2).await;
    let key = DocumentKey::new("thing-1").expect("valid");
    let count = store.document(&counts(), &key).map(|content| content.decode::<u64>().expect("a number"));
    assert_eq!(count, Some(2));
}
