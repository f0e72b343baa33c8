use std::sync::Arc;

use proptest::prelude::*;

use super::{Belief, STREAMS, beliefs, check, comparable, model_stream};
use crate::memory::MemoryStore;
use crate::port::{EventLog, EventStore};
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, all, batch, event, race, tag, tagged};
use crate::vocabulary::{
    AppendBatch, AppendCondition, Appended, ExpectedVersion, Query, ReadOptions, StoreError, StreamVersion,
};

#[derive(Clone, Debug)]
struct RandomAppend {
    stream: u8,
    belief: Belief,
    count: usize,
    /// Tags the events, and refuses if the tag is taken.
    tag: Option<u8>,
    /// Sent by two writers at once.
    twice: bool,
}

fn rounds() -> impl Strategy<Value = Vec<Vec<RandomAppend>>> {
    let append =
        (0..STREAMS, beliefs(), 1_usize..3, prop::option::weighted(0.3, 0_u8..4), prop::bool::weighted(0.2))
            .prop_map(|(stream, belief, count, tag, twice)| RandomAppend {
                stream,
                belief,
                count,
                tag,
                twice,
            });
    prop::collection::vec(prop::collection::vec(append, 2..8), 1..5)
}

/// Rounds of racing appends. Afterwards the log gives an order in which the model, asked one append after the
/// other, has to accept the same ones with the same answers; and each refusal has to be the model's at some point
/// of that order.
pub async fn concurrent_writers_agree_with_the_model<F: StoreFixture<Store: EventLog>>() {
    check(rounds(), async |rounds| {
        let lab = Lab::<F>::new().await;
        let stores = [lab.store.clone(), lab.another().await];
        let mut outcomes: Vec<(AppendBatch, Result<Appended, StoreError>)> = Vec::new();
        for round in rounds {
            let mut sent = Vec::new();
            for append in round {
                let batch = prepare(&*lab.store, &append).await;
                sent.extend(std::iter::repeat_n(batch, if append.twice { 2 } else { 1 }));
            }
            let writers = sent.into_iter().zip(stores.iter().cycle()).map(|(batch, store)| {
                let store = Arc::clone(store);
                async move { (batch.clone(), store.append(batch).await) }
            });
            outcomes.extend(race(writers).await);
        }

        let position = |outcome: &(_, Result<Appended, _>)| match &outcome.1 {
            Ok(Appended::Stored(commit)) => commit.position,
            _ => None,
        };
        let (mut accepted, others): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|outcome| position(outcome).is_some());
        accepted.sort_by_key(position);

        let model = MemoryStore::sharing_clock(lab.clock.clone());
        let mut unexplained = others;
        explain(&model, &mut unexplained).await;
        for (batch, answer) in accepted {
            let modelled = model.append(batch).await;
            prop_assert_eq!(comparable(&answer), comparable(&modelled), "accepted out of order");
            explain(&model, &mut unexplained).await;
        }
        prop_assert!(unexplained.is_empty(), "no order of the appends explains {unexplained:?}");
        Ok(())
    })
    .await;
}

async fn prepare(store: &impl EventStore, append: &RandomAppend) -> AppendBatch {
    let stream = model_stream(append.stream);
    let last = all(store.read(&stream, ReadOptions::backwards().limit(1))).await;
    let last: Option<StreamVersion> = last.first().map(|event| event.version());
    let expected: ExpectedVersion = append.belief.expected(last);
    let name = append.tag.map(|tag| format!("t:{tag}"));
    let events = (0..append.count).map(|_| match &name {
        Some(name) => tagged("Tagged", &[name]),
        None => event("Plain"),
    });
    let batch = batch(&stream, expected, events.collect());
    match &name {
        Some(name) if store.capabilities().conditions() => {
            batch.when(AppendCondition { query: Query::tags([tag(name)]), after: None })
        }
        _ => batch,
    }
}

/// Strikes out the refusals and repeats that the model answers with in its present state.
async fn explain(model: &MemoryStore, unexplained: &mut Vec<(AppendBatch, Result<Appended, StoreError>)>) {
    let mut left = Vec::new();
    for (batch, answer) in unexplained.drain(..) {
        let modelled = model.fork().append(batch.clone()).await;
        if comparable(&modelled) != comparable(&answer) {
            left.push((batch, answer));
        }
    }
    *unexplained = left;
}
