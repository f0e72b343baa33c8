use proptest::prelude::*;

use super::{check, comparable};
use crate::memory::MemoryStore;
use crate::port::{EventLog, EventStore};
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, all, batch, event, event_type, ids, stream, tag};
use crate::vocabulary::{
    AppendCondition, Appended, Category, ExpectedVersion, Position, Query, QueryItem, ReadOptions, StreamId,
};

#[derive(Clone, Debug)]
struct RandomEvent {
    category: u8,
    kind: u8,
    tags: Vec<u8>,
}

#[derive(Clone, Debug)]
struct RandomRead {
    items: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    backwards: bool,
    after: Option<usize>,
    limit: Option<u64>,
    page: usize,
}

fn histories() -> impl Strategy<Value = (Vec<RandomEvent>, Vec<RandomRead>)> {
    let few = || prop::collection::vec(0_u8..3, 0..3);
    let event =
        (0_u8..2, 0_u8..3, few()).prop_map(|(category, kind, tags)| RandomEvent { category, kind, tags });
    let read = (
        prop::collection::vec((few(), few(), few()), 0..3),
        any::<bool>(),
        prop::option::of(0_usize..30),
        prop::option::of(1_u64..8),
        1_usize..6,
    )
        .prop_map(|(items, backwards, after, limit, page)| RandomRead {
            items,
            backwards,
            after,
            limit,
            page,
        });
    (prop::collection::vec(event, 0..25), prop::collection::vec(read, 1..12))
}

fn category(number: u8) -> Category {
    Category::new(["sample", "other", "never"][usize::from(number % 3)]).expect("valid")
}

fn query(items: &[(Vec<u8>, Vec<u8>, Vec<u8>)]) -> Query {
    let item = |(categories, kinds, tags): &(Vec<u8>, Vec<u8>, Vec<u8>)| {
        QueryItem::default()
            .categories(categories.iter().map(|number| category(*number)))
            .types(kinds.iter().map(|number| event_type(&format!("K{number}"))))
            .tags(tags.iter().map(|number| tag(&format!("t:{number}"))))
    };
    let mut items = items.iter().map(item);
    items.next().map_or_else(Query::all, |first| items.fold(Query::item(first), Query::or))
}

/// The same history in both; then random queries, read and used as conditions.
pub async fn queries_agree_with_the_model<F: StoreFixture<Store: EventLog>>() {
    check(histories(), async |(history, reads)| {
        let lab = Lab::<F>::new().await;
        let model = MemoryStore::sharing_clock(lab.clock.clone());
        // The position of each event in both.
        let mut positions: Vec<(Position, Position)> = Vec::new();
        for random in history {
            let id = StreamId::new(category(random.category).as_str(), random.kind % 2).expect("valid");
            let event = event(&format!("K{}", random.kind))
                .with_tags(random.tags.iter().map(|number| tag(&format!("t:{number}"))));
            let batch = batch(&id, ExpectedVersion::Any, vec![event]);
            let position =
                |answer: Result<Appended, _>| answer.ok().and_then(|answer| answer.commit().position);
            let both = (position(lab.store.append(batch.clone()).await), position(model.append(batch).await));
            let (Some(stored), Some(modelled)) = both else { panic!("a plain append was refused") };
            positions.push((stored, modelled));
        }
        for (number, read) in reads.iter().enumerate() {
            let query = query(&read.items);
            let (after, after_model) = read.after.and_then(|index| positions.get(index)).copied().unzip();
            let options = |after: Option<Position>| {
                let options = if read.backwards { ReadOptions::backwards() } else { ReadOptions::forwards() };
                let options = options.after(after).page_size(read.page);
                read.limit.map_or(options.clone(), |limit| options.limit(limit))
            };
            let found = all(lab.store.read_all(query.clone(), options(after))).await;
            let expected = all(model.read_all(query.clone(), options(after_model))).await;
            prop_assert_eq!(ids(&found), ids(&expected), "{:?} with {:?}", query, read);

            if lab.store.capabilities().conditions() {
                let sent =
                    batch(&stream(format_args!("q-{number}")), ExpectedVersion::Any, vec![event("Own")]);
                let condition = |after| AppendCondition { query: query.clone(), after };
                let answer = lab.store.append(sent.clone().when(condition(after))).await;
                let expected = model.append(sent.when(condition(after_model))).await;
                prop_assert_eq!(
                    comparable(&answer),
                    comparable(&expected),
                    "condition {:?} after {:?}",
                    query,
                    after
                );
            }
        }
        Ok(())
    })
    .await;
}
