use std::cell::Cell;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use nexus_core::testing::StoreFixture;
use nexus_core::{
    AppendBatch, Appended, Capabilities, Clock, Commit, Conflict, EventId, EventLog, EventParts, EventStore,
    EventStream, ExpectedVersion, MemoryStore, NewEvent, Payload, Position, Query, QueryItem, ReadOptions,
    RecordedEvent, Slice, StoreError, StreamAppend, StreamId, StreamVersion,
};
use tokio::sync::Semaphore;

use super::fault::Fault;

thread_local! {
    /// What the stores of this thread's case do wrong.
    pub(crate) static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// The memory store, with one fault.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    inner: MemoryStore,
    fault: Fault,
    clock: Arc<dyn Clock>,
    /// What it keeps from one call to the next.
    memory: Arc<Mutex<Remembered>>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Remembered {
    appends: usize,
    last: Option<EventId>,
    seen: HashSet<EventId>,
    times: Vec<(EventId, nexus_core::Timestamp)>,
}

impl StoreFixture for Broken {
    type Store = Self;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: MemoryStore::sharing_clock(Arc::clone(&clock)),
            fault: FAULT.get(),
            clock,
            memory: Arc::default(),
            places: Arc::new(Semaphore::new(20)),
        }
    }

    async fn open(&self) -> Self {
        self.clone()
    }
}

impl Broken {
    fn remembered<T>(&self, use_it: impl FnOnce(&mut Remembered) -> T) -> T {
        use_it(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn last(&self, stream: &StreamId) -> Option<StreamVersion> {
        let mut events = self.inner.read(stream, ReadOptions::backwards().limit(1));
        events.try_next().await.ok().flatten().map(|event| event.version())
    }

    /// The batch with each part as `change` has it; without parts that have no events left.
    fn rebuilt(
        batch: &AppendBatch,
        mut change: impl FnMut(&StreamAppend) -> (ExpectedVersion, Vec<NewEvent>),
    ) -> Option<AppendBatch> {
        let mut rebuilt: Option<AppendBatch> = None;
        for part in batch.parts() {
            let (expected, events) = change(part);
            let stream = part.stream().clone();
            rebuilt = match rebuilt {
                rebuilt if events.is_empty() => rebuilt,
                None => Some(AppendBatch::new(stream, expected, events).expect("valid")),
                Some(rebuilt) => Some(rebuilt.and(stream, expected, events).expect("valid")),
            };
        }
        rebuilt
    }

    /// Replaces expectations that `is_taken` by `Any`.
    fn without(batch: &AppendBatch, is_taken: impl Fn(ExpectedVersion, &StreamId) -> bool) -> AppendBatch {
        let change = |part: &StreamAppend| {
            let is_taken = is_taken(part.expected(), part.stream());
            let expected = if is_taken { ExpectedVersion::Any } else { part.expected() };
            (expected, part.events().to_vec())
        };
        let rebuilt = Self::rebuilt(batch, change).expect("a batch has events");
        match batch.condition() {
            Some(condition) => rebuilt.when(condition.clone()),
            None => rebuilt,
        }
    }

    async fn without_exact(
        &self,
        batch: &AppendBatch,
        is_taken: fn(StreamVersion, StreamVersion) -> bool,
    ) -> AppendBatch {
        let mut lasts = Vec::new();
        for part in batch.parts() {
            lasts.push((part.stream().clone(), self.last(part.stream()).await));
        }
        Self::without(batch, |expected, stream| {
            let last = lasts.iter().find(|(found, _)| found == stream).and_then(|(_, last)| *last);
            matches!((expected, last), (ExpectedVersion::Exact(version), Some(last)) if is_taken(version, last))
        })
    }

    /// Appends with everything that was checked before left out.
    async fn after_a_pause(
        &self,
        batch: AppendBatch,
        unchecked: AppendBatch,
    ) -> Result<Appended, StoreError> {
        // What would happen now is what it goes by; then it lets others go first.
        let answer = self.inner.fork().append(batch).await;
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        match answer {
            Ok(_) => self.inner.append(unchecked).await,
            Err(error) => Err(error),
        }
    }

    fn wrong_event(&self, event: RecordedEvent) -> RecordedEvent {
        let change = |change: &dyn Fn(&mut EventParts)| {
            let new = event.as_new();
            let mut parts = EventParts {
                id: new.id(),
                event_type: new.event_type().clone(),
                schema_version: new.schema_version(),
                payload: new.payload().clone(),
                metadata: new.metadata().clone(),
                tags: new.tags().to_vec(),
                stream: event.stream().clone(),
                version: event.version(),
                slice: event.slice(),
                position: event.position(),
                recorded_at: event.recorded_at(),
            };
            change(&mut parts);
            RecordedEvent::from(parts)
        };
        match self.fault {
            Fault::SkipsAVersion if event.version() > StreamVersion::FIRST => {
                change(&|parts| parts.version = parts.version.next())
            }
            Fault::StoresNoSlices => change(&|parts| parts.slice = Slice::new(0).expect("the first slice")),
            Fault::ReformatsPayloads => change(&|parts| {
                if let Ok(value) = parts.payload.decode::<serde_json::Value>() {
                    parts.payload = Payload::of(&value).expect("valid JSON");
                }
            }),
            Fault::TrustsTheClock => change(&|parts| {
                let time = self.remembered(|memory| {
                    memory.times.iter().find(|(id, _)| *id == parts.id).map(|(_, time)| *time)
                });
                parts.recorded_at = time.unwrap_or(parts.recorded_at);
            }),
            _ => event,
        }
    }

    fn wrong_events(&self, events: EventStream<'static>) -> EventStream<'static> {
        let store = self.clone();
        events.map_ok(move |event| store.wrong_event(event)).boxed()
    }
}

#[async_trait]
impl EventStore for Broken {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let number = self.remembered(|memory| {
            memory.appends += 1;
            let now = self.clock.now();
            memory.times.extend(batch.events().map(|event| (event.id(), now)));
            memory.appends
        });
        let inner = &self.inner;
        match self.fault {
            Fault::LosesTheLastEvent => {
                let last = batch.events().last().map(NewEvent::id);
                let kept = Self::rebuilt(&batch, |part| {
                    let events = part.events().iter().filter(|event| Some(event.id()) != last);
                    (part.expected(), events.cloned().collect())
                });
                inner.append(kept.unwrap_or(batch)).await
            }
            Fault::StoresHalfOfARefusedBatch => {
                let answer = inner.append(batch.clone()).await;
                let first = &batch.parts()[0];
                if answer.is_err() {
                    let half = (first.stream().clone(), ExpectedVersion::Any, first.events().to_vec());
                    let _ = inner.append(AppendBatch::new(half.0, half.1, half.2)?).await;
                }
                answer
            }
            Fault::TearsWhenDropped => {
                let part = &batch.parts()[0];
                let [first, others @ ..] = part.events() else { return inner.append(batch).await };
                let (stream, any) = (part.stream().clone(), ExpectedVersion::Any);
                let _ = inner.append(AppendBatch::new(stream.clone(), any, vec![first.clone()])?).await?;
                tokio::task::yield_now().await;
                inner.append(AppendBatch::new(stream, any, others.to_vec())?).await
            }
            Fault::ForgetsSomeAppends if number.is_multiple_of(7) => inner.fork().append(batch).await,
            Fault::IgnoresNoStream => {
                inner.append(Self::without(&batch, |expected, _| expected == ExpectedVersion::NoStream)).await
            }
            Fault::AcceptsPastVersions => {
                inner.append(self.without_exact(&batch, |version, last| version < last).await).await
            }
            Fault::AcceptsFutureVersions => {
                inner.append(self.without_exact(&batch, |version, last| version > last).await).await
            }
            Fault::NamesNoVersion => inner.append(batch).await.map_err(|error| match error {
                StoreError::Conflict(Conflict::Version { stream, expected, .. }) => {
                    Conflict::Version { stream, expected, actual: None }.into()
                }
                error => error,
            }),
            Fault::ChecksBeforeItLocks => {
                let unchecked = Self::without(&batch, |_, _| true);
                self.after_a_pause(batch, unchecked).await
            }
            Fault::ChecksConditionsBeforeItLocks => {
                let change = |part: &StreamAppend| (part.expected(), part.events().to_vec());
                let unchecked = Self::rebuilt(&batch, change).expect("a batch has events");
                if batch.condition().is_none() {
                    return inner.append(batch).await;
                }
                self.after_a_pause(batch, unchecked).await
            }
            Fault::IgnoresConditions => {
                let change = |part: &StreamAppend| (part.expected(), part.events().to_vec());
                inner.append(Self::rebuilt(&batch, change).expect("a batch has events")).await
            }
            Fault::RefusesRepeats => match inner.append(batch.clone()).await {
                Ok(Appended::Repeated(commit)) => {
                    let part = &commit.streams[0];
                    let (expected, actual) = (batch.parts()[0].expected(), Some(part.last()));
                    Err(Conflict::Version { stream: part.stream.clone(), expected, actual }.into())
                }
                answer => answer,
            },
            Fault::ForgetsOldIds => {
                let first = batch.events().next().map(NewEvent::id);
                let is_last = self.remembered(|memory| std::mem::replace(&mut memory.last, first) == first);
                match inner.append(batch).await {
                    Ok(Appended::Repeated(commit)) if !is_last => Ok(Appended::Stored(commit)),
                    answer => answer,
                }
            }
            Fault::ClaimsRepeatsAsNew => {
                inner.append(batch).await.map(|appended| Appended::Stored(appended.into_commit()))
            }
            Fault::RepeatsByTheFirstId => {
                let (first, stream) = (&batch.parts()[0].events()[0], batch.parts()[0].stream());
                match inner.find_commit(stream, first.id()).await? {
                    Some(commit) => Ok(Appended::Repeated(commit)),
                    None => inner.append(batch).await,
                }
            }
            _ => inner.append(batch).await,
        }
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        if self.fault == Fault::FindsCommitsByAnyEvent {
            let events: Vec<_> = self.inner.read(stream, ReadOptions::forwards()).try_collect().await?;
            for event in events {
                let commit = self.inner.find_commit(stream, event.id()).await?;
                if commit
                    .as_ref()
                    .and_then(|commit| commit.stream(stream))
                    .is_some_and(|part| part.events.contains(&first))
                {
                    return Ok(commit);
                }
            }
            return Ok(None);
        }
        self.inner.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        let (store, stream) = (self.clone(), stream.clone());
        match self.fault {
            Fault::InventsStreams => {
                let any = self.inner.read_all(Query::all(), ReadOptions::forwards().limit(1));
                let read = self.inner.read(&stream, options);
                stream::once(read.collect::<Vec<_>>()).flat_map(stream::iter).chain(any).boxed()
            }
            Fault::ReadsPastTheLimit => match options.max_events() {
                Some(limit) => {
                    let more = ReadOptions::<StreamVersion>::forwards().limit(limit + 1);
                    self.inner.read(&stream, more)
                }
                None => self.inner.read(&stream, options),
            },
            Fault::IgnoresTimes => {
                let mut bounds = match options.direction() {
                    nexus_core::Direction::Forwards => ReadOptions::forwards(),
                    nexus_core::Direction::Backwards => ReadOptions::backwards(),
                };
                if let Some(first) = options.first() {
                    bounds = bounds.from(first);
                }
                self.inner.read(&stream, bounds)
            }
            Fault::HoldsDroppedReads => {
                let read = self.inner.read(&stream, options);
                let places = Arc::clone(&self.places);
                stream::once(async move {
                    places.acquire().await.expect("open").forget();
                    let events = read.collect::<Vec<_>>().await;
                    let end = stream::once(async move {
                        places.add_permits(1);
                        None
                    });
                    stream::iter(events.into_iter().map(Some))
                        .chain(end)
                        .filter_map(async |event| event)
                        .boxed()
                })
                .flatten()
                .boxed()
            }
            Fault::SkipsWhileAppending => {
                let before = self.remembered(|memory| memory.appends);
                let read = self.inner.read(&stream, options).enumerate().filter_map(move |(index, event)| {
                    // It waits long enough for an append to come in between, now and then.
                    let store = store.clone();
                    async move {
                        if index % 7 == 6 {
                            tokio::task::yield_now().await;
                        }
                        let moved = store.remembered(|memory| memory.appends) != before;
                        (index < 15 || !moved || index % 2 == 0).then_some(event)
                    }
                });
                read.boxed()
            }
            _ => self.wrong_events(self.inner.read(&stream, options)),
        }
    }

    fn capabilities(&self) -> Capabilities {
        match self.fault {
            Fault::IgnoresItsLimits => {
                self.inner.capabilities().with_max_batch_events(100).with_max_batch_bytes(10_000)
            }
            Fault::DeclaresNothing => Capabilities::least(),
            _ => self.inner.capabilities(),
        }
    }
}

#[async_trait]
impl EventLog for Broken {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        let store = self.clone();
        match self.fault {
            Fault::OrdersByStream => {
                let read = self.inner.read_all(query, options);
                stream::once(read.try_collect::<Vec<_>>())
                    .flat_map(|events| {
                        let mut events = events.expect("the memory store can be read");
                        events.sort_by_key(|event| event.stream().clone());
                        stream::iter(events.into_iter().map(Ok))
                    })
                    .boxed()
            }
            Fault::ShowsSomeEventsLate => {
                let read = self.inner.read_all(query, options).try_filter(move |event| {
                    let is_seen = !store.remembered(|memory| memory.seen.insert(event.id()));
                    let is_late = event.position().is_some_and(|position| position.get() % 5 == 0);
                    std::future::ready(is_seen || !is_late)
                });
                read.boxed()
            }
            Fault::OrsTags => {
                let mut any_tag = Query::all();
                for item in query.items() {
                    let plain = QueryItem::default()
                        .categories(item.category_list().iter().cloned())
                        .types(item.type_list().iter().cloned());
                    let mut items: Vec<QueryItem> =
                        item.tag_list().iter().map(|tag| plain.clone().tags([tag.clone()])).collect();
                    if items.is_empty() {
                        items.push(plain);
                    }
                    for item in items {
                        any_tag = if any_tag.is_all() { Query::item(item) } else { any_tag.or(item) };
                    }
                }
                self.inner.read_all(any_tag, options)
            }
            Fault::ReadsTheCheckpointAgain => {
                let again = options.first().and_then(Position::previous);
                let mut wrong = match options.direction() {
                    nexus_core::Direction::Forwards => ReadOptions::forwards(),
                    nexus_core::Direction::Backwards => return self.inner.read_all(query, options),
                };
                if let Some(again) = again {
                    wrong = wrong.from(again);
                }
                if let Some(last) = options.last() {
                    wrong = wrong.to(last);
                }
                self.inner.read_all(query, wrong)
            }
            _ => self.wrong_events(self.inner.read_all(query, options)),
        }
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        let head = self.inner.head().await?;
        Ok(if self.fault == Fault::HeadLagsBehind { head.and_then(Position::previous) } else { head })
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        match self.fault {
            Fault::NeverWakes => std::future::pending().await,
            Fault::AlwaysWakes => Ok(position.unwrap_or(Position::FIRST)),
            _ => self.inner.changed_after(position).await,
        }
    }
}
