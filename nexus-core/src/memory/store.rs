use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::watch;

use super::inline::Inline;
use super::log::Log;
use crate::domain::Projection;
use crate::port::{Capabilities, DocumentTx, EventLog, EventStore, EventStream, Page, pages};
use crate::vocabulary::{
    AppendBatch, Appended, Clock, Collection, Commit, Direction, DocumentKey, EventId, Payload, Place,
    Position, Query, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion, SystemClock,
};

/// Keeps events in memory: the reference that backends are compared with, for tests and first steps.
///
/// It keeps all rules of [`EventStore`] and [`EventLog`], and forgets everything when the last clone is dropped.
///
/// ```
/// use nexus_core::{EventLog, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nexus_core::StoreError> {
/// let store = MemoryStore::new();
/// assert_eq!(store.head().await?, None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    log: Arc<RwLock<Log>>,
    head: Arc<watch::Sender<Option<Position>>>,
    clock: Arc<dyn Clock>,
    inline: Arc<Mutex<Inline>>,
}

impl MemoryStore {
    /// An empty store with the system's clock.
    pub fn new() -> Self {
        Self::with_clock(SystemClock)
    }

    /// An empty store with this clock.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self::sharing_clock(Arc::new(clock))
    }

    /// An empty store with a clock that others hold, too.
    pub fn sharing_clock(clock: Arc<dyn Clock>) -> Self {
        Self { log: Arc::default(), head: Arc::new(watch::Sender::new(None)), clock, inline: Arc::default() }
    }

    /// Another store with the same events, which goes its own way from here.
    #[must_use]
    pub fn fork(&self) -> Self {
        let log = self.reading(Log::clone);
        Self {
            head: Arc::new(watch::Sender::new(log.head())),
            log: Arc::new(RwLock::new(log)),
            clock: Arc::clone(&self.clock),
            inline: Arc::default(),
        }
    }

    /// Writes `projection` with each append from now on, in all clones of this store; what is there already it takes in
    /// at once. An error or a panic of the projection refuses the append, and leaves nothing of it. It may wait for
    /// nothing but its transaction, and has no effects.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where it does not take in what is there.
    pub fn with_inline(self, projection: impl Projection<DocumentTx>) -> Result<Self, StoreError> {
        // In the order in which an append takes the two.
        let log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        let mut inline = self.inline.lock().unwrap_or_else(PoisonError::into_inner);
        inline.add(Box::new(projection), log.all(&ReadOptions::forwards()))?;
        drop((log, inline));
        Ok(self)
    }

    /// A document of an inline projection, as of the last append.
    pub fn document(&self, collection: &Collection, key: &DocumentKey) -> Option<Payload> {
        self.inline.lock().unwrap_or_else(PoisonError::into_inner).document(collection, key)
    }

    /// Nothing panics while it holds the lock, so a poisoned log is whole.
    fn reading<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.log.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn read_pages<At: Place>(
        &self,
        options: ReadOptions<At>,
        place: fn(&RecordedEvent) -> Option<At>,
        page: impl Fn(&Log, &ReadOptions<At>) -> Page + Send + Sync + 'static,
    ) -> EventStream<'static> {
        let (store, page) = (self.clone(), Arc::new(page));
        pages(options, place, move |options| {
            let (store, page) = (store.clone(), Arc::clone(&page));
            async move { Ok(store.reading(|log| page(log, &options))) }
        })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.reading(Log::head);
        f.debug_struct("MemoryStore").field("head", &head).field("clock", &self.clock).finish()
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        self.capabilities().check(&batch)?;
        let now = self.clock.now();
        let mut log = self.log.write().unwrap_or_else(PoisonError::into_inner);
        let appended = log.append(&batch, now)?;
        if let Appended::Stored(_) = &appended {
            let mut inline = self.inline.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(refused) = inline.take(log.last_commit()) {
                log.undo();
                return Err(refused);
            }
        }
        self.head.send_replace(log.head());
        Ok(appended)
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        Ok(self.reading(|log| log.find_commit(stream, first)))
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        let stream = stream.clone();
        let place = |event: &RecordedEvent| Some(event.version());
        self.read_pages(options, place, move |log, options| {
            page(log.stream(&stream, options), options, place)
        })
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::least().with_conditions().with_several_streams().with_ids_across_streams()
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        self.read_pages(options, RecordedEvent::position, move |log, options| {
            page(log.all(options).filter(|event| query.matches(event)), options, RecordedEvent::position)
        })
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.reading(Log::head))
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        let mut head = self.head.subscribe();
        // The sender lives as long as this store does.
        let gone = || StoreError::unavailable("wait for events", "the store is gone");
        let news = head.wait_for(|head| *head > position).await.map_err(|_| gone())?;
        news.ok_or_else(gone)
    }
}

fn page<'a, At: Place>(
    events: impl DoubleEndedIterator<Item = &'a RecordedEvent>,
    options: &ReadOptions<At>,
    place: fn(&RecordedEvent) -> Option<At>,
) -> Page {
    let included =
        events.filter(|event| place(event).is_some_and(|place| options.includes(place, event.recorded_at())));
    let limit = usize::try_from(options.max_events().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let count = options.events_per_page().min(limit);
    let events: Vec<RecordedEvent> = match options.direction() {
        Direction::Forwards => included.take(count).cloned().collect(),
        Direction::Backwards => included.rev().take(count).cloned().collect(),
    };
    if events.len() < count { Page::Last(events) } else { Page::More(events) }
}
