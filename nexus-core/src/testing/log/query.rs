use crate::port::EventLog;
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, all, event_type, events, ids, stream, tag, tagged};
use crate::testing::store::{expected, grid};
use crate::vocabulary::{
    Category, EventId, Position, Query, QueryItem, ReadOptions, RecordedEvent, StreamId,
};

pub async fn queries_find_what_they_match<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    let tag_sets: [&[&str]; 5] = [&[], &["a:1"], &["a:1", "b:1"], &["b:1", "c:1"], &["a:1", "b:1", "c:1"]];
    for number in 0..60_usize {
        let category = ["sample", "other", "third"][number % 3];
        let stream = StreamId::new(category, number % 4).expect("valid");
        // More types than a store may want to merge indexes for.
        let name = if number % 2 == 0 { format!("T{}", number % 40) } else { format!("U{}", number % 5) };
        lab.append(&stream, vec![tagged(&name, tag_sets[number % 5])]).await;
    }
    let log = lab.log().await;

    let types = |names: &[&str]| QueryItem::default().types(names.iter().map(|name| event_type(name)));
    let tags = |texts: &[&str]| QueryItem::default().tags(texts.iter().map(|text| tag(text)));
    let category = |item: QueryItem, name| item.categories(Category::new(name));
    let many: Vec<String> = (0..40).map(|number| format!("T{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let queries = [
        Query::all(),
        Query::item(types(&["U1"])),
        Query::item(types(&["U1", "T2", "Never"])),
        Query::item(types(&["Never"])),
        Query::item(types(&many)),
        Query::item(types(&many).tags([tag("a:1")])),
        Query::item(category(QueryItem::default(), "other")),
        Query::item(category(category(QueryItem::default(), "other"), "third")),
        Query::item(category(types(&["U1", "U3"]), "sample")),
        Query::item(category(QueryItem::default(), "never")),
        Query::item(tags(&["a:1"])),
        Query::item(tags(&["a:1", "b:1"])),
        Query::item(tags(&["c:1", "a:1", "b:1"])),
        Query::item(tags(&["never", "a:1"])),
        Query::item(category(types(&["U1", "U3"]).tags([tag("b:1")]), "other")),
        Query::item(types(&["U1"])).or(tags(&["c:1"])).or(types(&["U1", "U2"])),
        Query::item(types(&many)).or(tags(&["a:1", "c:1"])),
        Query::item(types(&["Never"])).or(tags(&["b:1"])),
        Query::item(types(&["U1"])).or(QueryItem::default()),
    ];
    let middle = log[30].position().expect("it has a position");
    for query in queries {
        let matching: Vec<RecordedEvent> = log.iter().filter(|event| query.matches(event)).cloned().collect();
        for options in [
            ReadOptions::forwards(),
            ReadOptions::backwards(),
            ReadOptions::forwards().page_size(2),
            ReadOptions::backwards().page_size(3).limit(7),
            ReadOptions::forwards().after(middle).page_size(4),
            ReadOptions::backwards().before(middle).limit(2),
            ReadOptions::forwards().from(middle).to(middle),
        ] {
            let read = all(lab.store.read_all(query.clone(), options.clone())).await;
            let expected = expected(&matching, &options, RecordedEvent::position);
            assert_eq!(ids(&read), expected, "{query:?} with {options:?}");
            let full: Vec<&RecordedEvent> = find(&matching, &ids(&read));
            assert_eq!(read.iter().collect::<Vec<_>>(), full, "an event depends on how it is found");
        }
    }
}

fn find<'a>(events: &'a [RecordedEvent], ids: &[EventId]) -> Vec<&'a RecordedEvent> {
    ids.iter().filter_map(|id| events.iter().find(|event| event.id() == *id)).collect()
}

pub async fn reads_of_the_log_keep_to_their_bounds<F: StoreFixture<Store: EventLog>>() {
    let lab = Lab::<F>::new().await;
    for (number, count) in [1, 3, 2, 1].into_iter().enumerate() {
        lab.clock.advance(jiff::SignedDuration::from_secs(10));
        lab.append(&stream(number), events(count)).await;
    }
    let log = lab.log().await;
    let mut places: Vec<Position> =
        [0, 1, 4, 6].into_iter().filter_map(|index: usize| log[index].position()).collect();
    places.push(places[places.len() - 1].next());
    places.push(Position::LAST);
    let (since, until) = (log[1].recorded_at(), log[4].recorded_at());
    for options in grid(&places) {
        for options in [options.clone(), options.clone().since(since), options.since(since).until(until)] {
            for query in [Query::all(), Query::types([event_type("Sampled")])] {
                let read = all(lab.store.read_all(query.clone(), options.clone())).await;
                let expected = expected(&log, &options, RecordedEvent::position);
                assert_eq!(ids(&read), expected, "{query:?} with {options:?}");
            }
        }
    }
}
