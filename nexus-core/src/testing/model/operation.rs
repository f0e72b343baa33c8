use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Belief, STREAMS, beliefs, check, comparable, model_stream, without_position};
use crate::memory::MemoryStore;
use crate::port::EventStore;
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, all, events, ids, version, versions};
use crate::vocabulary::{
    AppendBatch, NewEvent, ReadOptions, RecordedEvent, StoreError, StreamAppend, StreamVersion,
};

#[derive(Clone, Debug)]
enum Operation {
    Append {
        parts: Vec<(u8, Belief, usize)>,
    },
    /// An earlier batch again, to be taken as a repeat.
    Repeat {
        earlier: usize,
        belief: Belief,
    },
    /// Events of an earlier batch for another purpose.
    Reuse {
        earlier: usize,
        skip: usize,
        stream: u8,
        more: usize,
    },
    Read {
        stream: u8,
        backwards: bool,
        after: u64,
        before: u64,
        limit: u64,
        page: usize,
    },
    FindCommit {
        earlier: usize,
        event: usize,
        stream: u8,
    },
    /// The clock moves, also back.
    Wait {
        seconds: i64,
    },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let part = (0..STREAMS, beliefs(), 0_usize..4);
    let operation = prop_oneof![
        8 => prop::collection::vec(part, 1..3).prop_map(|parts| Operation::Append { parts }),
        2 => (0_usize..20, beliefs()).prop_map(|(earlier, belief)| Operation::Repeat { earlier, belief }),
        2 => (0_usize..20, 0_usize..3, 0..STREAMS, 0_usize..2)
            .prop_map(|(earlier, skip, stream, more)| Operation::Reuse { earlier, skip, stream, more }),
        3 => (0..STREAMS, any::<bool>(), 0_u64..12, 0_u64..12, 0_u64..12, 1_usize..5).prop_map(
            |(stream, backwards, after, before, limit, page)| Operation::Read {
                stream, backwards, after, before, limit, page
            }
        ),
        1 => (0_usize..20, 0_usize..3, 0..STREAMS)
            .prop_map(|(earlier, event, stream)| Operation::FindCommit { earlier, event, stream }),
        1 => (-5_i64..10).prop_map(|seconds| Operation::Wait { seconds }),
    ];
    prop::collection::vec(operation, 1..40)
}

/// One operation after the other, on the backend and on the model.
pub async fn answers_agree_with_the_model<F: StoreFixture>() {
    check(operations(), async |operations| {
        let lab = Lab::<F>::new().await;
        let model = MemoryStore::sharing_clock(lab.clock.clone());
        let mut pair = Pair { store: &*lab.store, model, batches: Vec::new() };
        for operation in operations {
            if let Operation::Wait { seconds } = operation {
                lab.clock.advance(jiff::SignedDuration::from_secs(seconds));
            } else {
                pair.run(&operation).await?;
            }
        }
        for stream in 0..STREAMS {
            pair.read(stream, ReadOptions::forwards()).await?;
        }
        Ok(())
    })
    .await;
}

struct Pair<'a, S> {
    store: &'a S,
    model: MemoryStore,
    batches: Vec<AppendBatch>,
}

impl<S: EventStore> Pair<'_, S> {
    async fn run(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Append { parts } => {
                let mut batch = None;
                for (stream, belief, count) in parts {
                    batch = self.with_part(batch, *stream, *belief, events(*count)).await;
                }
                if let Some(batch) = batch {
                    self.append(batch).await?;
                }
            }
            Operation::Repeat { earlier, belief } => {
                let Some(sent) = self.earlier(*earlier) else { return Ok(()) };
                let mut again = None;
                for part in sent.parts() {
                    let number = part.stream().id().bytes().last().map_or(0, |digit| digit - b'0');
                    again = self.with_part(again, number, *belief, part.events().to_vec()).await;
                }
                if let Some(again) = again {
                    self.append(again).await?;
                }
            }
            Operation::Reuse { earlier, skip, stream, more } => {
                let Some(sent) = self.earlier(*earlier) else { return Ok(()) };
                let mut reused: Vec<NewEvent> = sent.events().skip(*skip).cloned().collect();
                reused.extend(events(*more));
                let of_stream = |part: &StreamAppend| *part.stream() == model_stream(*stream);
                if !self.store.capabilities().ids_across_streams() && !sent.parts().iter().all(of_stream) {
                    // Elsewhere they may be taken for new ones.
                    return Ok(());
                }
                if let Some(batch) = self.with_part(None, *stream, Belief::Any, reused).await {
                    self.append(batch).await?;
                }
            }
            Operation::Read { stream, backwards, after, before, limit, page } => {
                let options = if *backwards { ReadOptions::backwards() } else { ReadOptions::forwards() };
                let mut options = options.after(StreamVersion::new(*after).ok()).page_size(*page);
                if *before > 0 {
                    options = options.before(version(*before));
                }
                if *limit > 0 {
                    options = options.limit(*limit);
                }
                self.read(*stream, options).await?;
            }
            Operation::FindCommit { earlier, event, stream } => {
                let Some(sent) = self.earlier(*earlier) else { return Ok(()) };
                let Some(id) = sent.events().nth(*event).map(NewEvent::id) else { return Ok(()) };
                let stream = model_stream(*stream);
                let found = self.store.find_commit(&stream, id).await.map_err(failed)?;
                let model = self.model.find_commit(&stream, id).await.map_err(failed)?;
                prop_assert_eq!(found.as_ref().map(without_position), model.as_ref().map(without_position));
            }
            Operation::Wait { .. } => {}
        }
        Ok(())
    }

    fn earlier(&self, number: usize) -> Option<AppendBatch> {
        self.batches.get(number % self.batches.len().max(1)).cloned()
    }

    /// The batch with one more part, where it can have one and the store takes it.
    async fn with_part(
        &self,
        batch: Option<AppendBatch>,
        stream: u8,
        belief: Belief,
        events: Vec<NewEvent>,
    ) -> Option<AppendBatch> {
        let stream = model_stream(stream);
        let read = self.model.read(&stream, ReadOptions::backwards().limit(1));
        let expected = belief.expected(all(read).await.first().map(|event| event.version()));
        match batch {
            None => AppendBatch::new(stream, expected, events).ok(),
            Some(batch) if !self.store.capabilities().several_streams() => Some(batch),
            Some(batch) => {
                let more = if events.is_empty() {
                    batch.clone().expecting(stream, expected)
                } else {
                    batch.clone().and(stream, expected, events)
                };
                Some(more.unwrap_or(batch))
            }
        }
    }

    async fn append(&mut self, batch: AppendBatch) -> Result<(), TestCaseError> {
        let answer = self.store.append(batch.clone()).await;
        let model = self.model.append(batch.clone()).await;
        prop_assert_eq!(comparable(&answer), comparable(&model), "append of {:?}", batch);
        self.batches.push(batch);
        Ok(())
    }

    async fn read(&self, stream: u8, options: ReadOptions<StreamVersion>) -> Result<(), TestCaseError> {
        let stream = model_stream(stream);
        let read = all(self.store.read(&stream, options.clone())).await;
        let model = all(self.model.read(&stream, options.clone())).await;
        prop_assert_eq!(ids(&read), ids(&model), "{:?}", &options);
        prop_assert_eq!(versions(&read), versions(&model), "{:?}", &options);
        let times =
            |events: &[RecordedEvent]| -> Vec<_> { events.iter().map(|event| event.recorded_at()).collect() };
        prop_assert_eq!(times(&read), times(&model), "{:?}", options);
        Ok(())
    }
}

fn failed(error: StoreError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}
