use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use nexus_core::testing::StoreFixture;
use nexus_core::{
    AppendBatch, Appended, Capabilities, Clock, Commit, CommittedStream, EventId, EventLog, EventStore,
    EventStream, EventType, ExpectedVersion, MemoryStore, NewEvent, Position, Query, ReadOptions, StoreError,
    StreamId, StreamVersion, Timestamp, async_trait,
};

thread_local! {
    /// What the stores of this thread's case do wrong.
    pub(crate) static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// What a broken store does wrong to sagas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Stores what it has stored before once more, under other ids.
    ForgetsIds,
    /// Says that it has stored what it stores a little later, some of it later than other.
    AnswersEarly,
    /// Stores nothing of what a person decides.
    LosesDecisions,
    /// Stores nothing of what a saga hears of.
    LosesWhatIsHeard,
    /// Does not show what happens to sagas in its log.
    HidesSagas,
    /// Reads the streams of sagas without their last event.
    ReadsTooLittle,
}

impl Fault {
    pub(crate) fn for_case(case: &str) -> Option<Self> {
        Some(match case {
            "each_step_takes_effect_exactly_once" => Self::ForgetsIds,
            "what_was_done_is_undone_the_last_first" => Self::AnswersEarly,
            "a_step_whose_time_is_up_cannot_land_late" => Self::ForgetsIds,
            "steps_side_by_side_are_taken_together" => Self::AnswersEarly,
            "a_compensation_that_fails_is_parked_and_retried" => Self::LosesDecisions,
            "a_person_can_skip_and_abort" => Self::LosesDecisions,
            "events_may_come_early_twice_and_late" => Self::LosesWhatIsHeard,
            "lists_say_where_sagas_are" => Self::HidesSagas,
            "timers_fire_late_rather_than_never" => Self::HidesSagas,
            "sagas_are_shared_and_taken_over" => Self::ReadsTooLittle,
            "a_running_saga_goes_on_under_new_code_or_says_why_not" => Self::HidesSagas,
            "sagas_agree_with_the_model" => Self::ForgetsIds,
            _ => return None,
        })
    }
}

/// A memory store with a fault.
#[derive(Clone, Debug)]
pub(crate) struct BrokenLog {
    inner: MemoryStore,
    fault: Fault,
    appended: Arc<AtomicU64>,
}

pub(crate) struct Broken(BrokenLog);

impl StoreFixture for Broken {
    type Store = BrokenLog;

    async fn start(clock: Arc<dyn Clock>) -> Self {
        Self(BrokenLog {
            inner: MemoryStore::sharing_clock(clock),
            fault: FAULT.get(),
            appended: Arc::default(),
        })
    }

    async fn open(&self) -> BrokenLog {
        self.0.clone()
    }
}

fn renamed(event: &NewEvent, number: u64) -> NewEvent {
    let mut bytes = [0xee; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    NewEvent::new(EventId::from_bytes(bytes), event.event_type().clone(), event.payload().clone())
        .with_metadata(event.metadata().clone())
}

fn pretended(stream: &StreamId, events: &[NewEvent]) -> Appended {
    let ids = events.iter().map(NewEvent::id).collect();
    let part = CommittedStream::new(stream.clone(), StreamVersion::FIRST, ids);
    Appended::Stored(Commit::new(vec![part], None, Timestamp::UNIX_EPOCH))
}

#[async_trait]
impl EventStore for BrokenLog {
    async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let number = self.appended.fetch_add(1, Ordering::SeqCst);
        let Some((stream, events)) =
            batch.parts().first().map(|part| (part.stream().clone(), part.events().to_vec()))
        else {
            return self.inner.append(batch).await;
        };
        let kind = events.first().map(|event| event.event_type().to_string()).unwrap_or_default();
        match self.fault {
            Fault::ForgetsIds if kind.starts_with("Part") || kind == EventType::VOIDED => {
                let renamed = events.iter().zip(0..).map(|(event, index)| renamed(event, number * 8 + index));
                let batch = AppendBatch::new(stream, ExpectedVersion::Any, renamed.collect())?;
                self.inner.append(batch).await
            }
            Fault::AnswersEarly if kind.starts_with("Part") => {
                let pause = if stream.id().ends_with('0') { 0 } else { 60 };
                let (inner, answer) = (self.inner.clone(), pretended(&stream, &events));
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    let _ = inner.append(batch).await;
                });
                Ok(answer)
            }
            Fault::LosesDecisions if matches!(&*kind, "SagaRetried" | "SagaSkipped" | "SagaAborted") => {
                Ok(pretended(&stream, &events))
            }
            Fault::LosesWhatIsHeard if kind == "SagaHeard" => Ok(pretended(&stream, &events)),
            _ => self.inner.append(batch).await,
        }
    }

    async fn find_commit(&self, stream: &StreamId, first: EventId) -> Result<Option<Commit>, StoreError> {
        self.inner.find_commit(stream, first).await
    }

    fn read(&self, stream: &StreamId, options: ReadOptions<StreamVersion>) -> EventStream<'static> {
        if self.fault != Fault::ReadsTooLittle || stream.category() != "$saga" {
            return self.inner.read(stream, options);
        }
        let mut all = self.inner.read(stream, options).boxed();
        async_stream(async move {
            let mut read = Vec::new();
            while let Some(event) = all.next().await {
                read.push(event);
            }
            read.pop();
            read
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
}

fn async_stream<T: Send + 'static>(
    read: impl Future<Output = Vec<T>> + Send + 'static,
) -> futures::stream::BoxStream<'static, T> {
    futures::stream::once(read).flat_map(futures::stream::iter).boxed()
}

#[async_trait]
impl EventLog for BrokenLog {
    fn read_all(&self, query: Query, options: ReadOptions<Position>) -> EventStream<'static> {
        let all = self.inner.read_all(query, options);
        if self.fault != Fault::HidesSagas {
            return all;
        }
        let is_shown = |event: &Result<nexus_core::RecordedEvent, StoreError>| {
            !event.as_ref().is_ok_and(|event| event.stream().category() == "$saga")
        };
        all.filter(move |event| std::future::ready(is_shown(event))).boxed()
    }

    async fn head(&self) -> Result<Option<Position>, StoreError> {
        self.inner.head().await
    }

    async fn changed_after(&self, position: Option<Position>) -> Result<Position, StoreError> {
        self.inner.changed_after(position).await
    }
}
