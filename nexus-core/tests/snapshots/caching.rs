use std::sync::{Arc, RwLock};

use nexus_core::{
    AppendBatch, Appended, Capabilities, Commit, EventId, EventStore, EventStream, MemoryStore, Outcome,
    ReadOptions, Repository, StateCache, StoreError, StreamId, StreamVersion, async_trait,
};
use tokio::task::JoinSet;

use super::support::{Lamp, NotAtAll, Switch, switch};

fn cached<S: EventStore>(store: S) -> Repository<S> {
    Repository::new(store).with_cache(StateCache::default().of::<Lamp>(100))
}

/// Counts reads, and can be put back to what it was.
#[derive(Clone, Debug)]
struct Store {
    inner: Arc<RwLock<MemoryStore>>,
    reads: Arc<std::sync::atomic::AtomicU64>,
}

impl Store {
    fn new() -> Self {
        Self { inner: Arc::new(RwLock::new(MemoryStore::new())), reads: Arc::default() }
    }

    fn now(&self) -> MemoryStore {
        self.inner.read().expect("not poisoned").clone()
    }

    fn reads(&self) -> u64 {
        self.reads.swap(0, std::sync::atomic::Ordering::SeqCst)
    }
}

#[async_trait]
impl EventStore for Store {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.now().append(batch).await
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.now().find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        self.reads.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.now().read(stream, options)
    }

    fn capabilities(&self) -> Capabilities {
        self.now().capabilities()
    }
}

#[tokio::test]
async fn a_command_on_a_cached_state_reads_nothing() {
    let store = Store::new();
    let lamps = cached(store.clone());
    for _ in 0..5 {
        lamps.execute::<Lamp, _>(&1, Switch(1)).await.expect("stored");
    }
    assert_eq!(store.reads(), 1, "the first had nothing to go by");
    assert_eq!(
        lamps.execute::<Lamp, _>(&1, Switch(0)).await.expect_err("refused").to_string(),
        NotAtAll.to_string()
    );
    assert_eq!(store.reads(), 1, "a refusal is confirmed");
    assert_eq!(lamps.load::<Lamp>(&1).await.expect("loaded").state.times, 5);
    assert_eq!(store.reads(), 1, "so is what is loaded");
}

#[tokio::test]
async fn what_others_have_stored_is_taken_in() {
    let store = MemoryStore::new();
    let (one, other) = (cached(store.clone()), cached(store.clone()));
    for _ in 0..3 {
        switch(&one, 1, 1).await;
        switch(&other, 1, 1).await;
    }
    assert_eq!(one.load::<Lamp>(&1).await.expect("loaded").state.times, 6);
    switch(&other, 1, 1).await;
    assert_eq!(one.load::<Lamp>(&1).await.expect("loaded").state.times, 7);
    let receipt = one.execute::<Lamp, _>(&1, Switch(1)).await.expect("stored");
    assert_eq!((receipt.outcome, receipt.version), (Outcome::Stored, StreamVersion::new(8).ok()));
}

#[tokio::test]
async fn a_store_that_was_set_back_is_read_anew() {
    let store = Store::new();
    let lamps = cached(store.clone());
    for _ in 0..3 {
        lamps.execute::<Lamp, _>(&1, Switch(1)).await.expect("stored");
    }
    let backup = store.now().fork();
    for _ in 0..4 {
        lamps.execute::<Lamp, _>(&1, Switch(10)).await.expect("stored");
    }
    *store.inner.write().expect("not poisoned") = backup;
    let receipt = lamps.execute::<Lamp, _>(&1, Switch(100)).await.expect("stored");
    assert_eq!(receipt.version, StreamVersion::new(4).ok());
    assert_eq!(lamps.load::<Lamp>(&1).await.expect("loaded").state.times, 103);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_meet_on_a_cached_state_all_count() {
    let store = MemoryStore::new();
    let repositories = [cached(store.clone()), cached(store.clone())];
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let lamps = repositories[number % 2].clone();
        tasks.spawn(async move { switch(&lamps, 1, 20).await });
    }
    tasks.join_all().await;
    for lamps in &repositories {
        assert_eq!(lamps.load::<Lamp>(&1).await.expect("loaded").state.times, 160);
    }
}

#[tokio::test]
async fn a_cache_that_keeps_nothing_changes_nothing() {
    let lamps = Repository::new(MemoryStore::new()).with_cache(StateCache::default().of::<Lamp>(0));
    switch(&lamps, 1, 5).await;
    assert_eq!(lamps.load::<Lamp>(&1).await.expect("loaded").state.times, 5);
}
