use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::port::EventStore;
use crate::testing::StoreFixture;
use crate::testing::samples::{
    Lab, all, batch, event_id, event_type, events, ids, start_time, stored, stream, tag, version, versions,
};
use crate::vocabulary::{
    CommandId, CorrelationId, Direction, EventId, ExpectedVersion, Metadata, NewEvent, Payload, Place,
    ReadOptions, RecordedEvent, SchemaVersion, StreamId, StreamVersion, TraceContext,
};

/// Every combination of direction, bounds, limit and page size, against a filter over all events.
pub(in crate::testing) fn grid<At: Place>(places: &[At]) -> Vec<ReadOptions<At>> {
    let mut grid = Vec::new();
    let bounds: Vec<Option<At>> = std::iter::once(None).chain(places.iter().copied().map(Some)).collect();
    for (number, (lower, upper)) in
        bounds.iter().flat_map(|lower| bounds.iter().map(move |upper| (*lower, *upper))).enumerate()
    {
        for options in [ReadOptions::forwards(), ReadOptions::backwards()] {
            let mut options = options.page_size(1 + number % 4);
            match lower {
                Some(lower) if number % 3 == 0 => options = options.from(lower),
                lower => options = options.after(lower),
            }
            match upper {
                Some(upper) if number % 5 < 3 => options = options.to(upper),
                Some(upper) => options = options.before(upper),
                None => {}
            }
            grid.push(options.clone());
            grid.push(options.limit(1 + number as u64 % 4));
        }
    }
    grid.push(ReadOptions::forwards().limit(0));
    grid
}

/// What `options` names among all events.
pub(in crate::testing) fn expected<At: Place>(
    events: &[RecordedEvent],
    options: &ReadOptions<At>,
    place: fn(&RecordedEvent) -> Option<At>,
) -> Vec<EventId> {
    let included =
        |event: &&RecordedEvent| options.includes(place(event).expect("it has a place"), event.recorded_at());
    let limit = usize::try_from(options.max_events().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let included = events.iter().filter(included).map(RecordedEvent::id);
    match options.direction() {
        Direction::Forwards => included.take(limit).collect(),
        Direction::Backwards => included.rev().take(limit).collect(),
    }
}

pub async fn reads_keep_to_their_bounds<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stream = stream("bounded");
    for count in [1, 4, 2] {
        lab.append(&stream, events(count)).await;
    }
    let stored = lab.stored(&stream).await;
    assert_eq!(versions(&stored), [1, 2, 3, 4, 5, 6, 7]);
    let places: Vec<StreamVersion> =
        [1, 2, 5, 7, 8].map(version).into_iter().chain([StreamVersion::LAST]).collect();
    for options in grid(&places) {
        let read = all(lab.store.read(&stream, options.clone())).await;
        let expected = expected(&stored, &options, |event| Some(event.version()));
        assert_eq!(ids(&read), expected, "{options:?}");
    }
}

pub async fn reads_keep_to_their_times<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stream = stream("timed");
    let at = |seconds| start_time() + SignedDuration::from_secs(seconds);
    for seconds in [0, 0, 10, 20, 20, 30] {
        lab.clock.set(at(seconds));
        lab.append(&stream, events(1)).await;
    }
    let stored = lab.stored(&stream).await;
    let nanos = SignedDuration::from_nanos(1);
    let times: Vec<Timestamp> =
        [-1, 0, 10, 15, 20, 30, 40].into_iter().flat_map(|s| [at(s) - nanos, at(s), at(s) + nanos]).collect();
    for since in &times {
        for until in &times {
            for options in [ReadOptions::forwards(), ReadOptions::backwards()] {
                let options = options.since(*since).until(*until).page_size(2);
                let read = all(lab.store.read(&stream, options.clone())).await;
                let expected = expected(&stored, &options, |event| Some(event.version()));
                assert_eq!(ids(&read), expected, "{options:?}");
            }
        }
    }
}

pub async fn a_read_can_be_spawned_and_dropped<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stream = stream("dropped");
    lab.append(&stream, events(50)).await;
    let options = || ReadOptions::forwards().page_size(5);

    // Dropped at every place, also before the first event and between two pages: nothing stays behind.
    for taken in 0..50 {
        let read = lab.store.read(&stream, options()).take(taken);
        let some: Vec<_> = within(read.try_collect()).await.expect("the store can be read");
        assert_eq!(some.len(), taken);
    }
    let unpolled: Vec<_> = (0..100).map(|_| lab.store.read(&stream, options())).collect();
    drop(unpolled);

    let spawned = tokio::spawn(all(lab.store.read(&stream, options())));
    assert_eq!(within(spawned).await.expect("no panic").len(), 50);
    within(lab.append(&stream, events(1))).await;
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), future)
        .await
        .expect("something that was dropped is still held")
}

pub async fn a_read_during_appends_has_no_holes<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let stream = stream("moving");
    lab.append(&stream, events(20)).await;
    // Until it was read often enough meanwhile, however fast one is and slow the other.
    let reads = Arc::new(AtomicU32::new(0));
    let writer = {
        let (store, stream, reads) = (Arc::clone(&lab.store), stream.clone(), Arc::clone(&reads));
        tokio::spawn(async move {
            let mut count = 0;
            while count < 40 || (reads.load(Ordering::SeqCst) < 10 && count < 1_000) {
                stored(store.append(batch(&stream, ExpectedVersion::StreamExists, events(3))).await);
                count += 1;
            }
            count
        })
    };
    while !writer.is_finished() {
        let read = all(lab.store.read(&stream, ReadOptions::forwards().page_size(7))).await;
        let dense: Vec<u64> = (1..=read.len() as u64).collect();
        assert_eq!(versions(&read), dense, "a read during appends has holes");
        assert!(read.len() >= 20);
        let read = all(lab.store.read(&stream, ReadOptions::backwards().page_size(7))).await;
        let dense: Vec<u64> = (1..=read.len() as u64).rev().collect();
        assert_eq!(versions(&read), dense, "a read backwards during appends has holes");
        reads.fetch_add(1, Ordering::SeqCst);
    }
    let count = writer.await.expect("the writer does not panic");
    assert_eq!(lab.stored(&stream).await.len(), 20 + 3 * count);
}

pub async fn round_trips_are_exact<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let long = format!("\"{}\"", "long ".repeat(20_000));
    let payloads = [
        "{}",
        "null",
        "[]",
        "0",
        "-0.0",
        "\"\"",
        "{ \"spaced\" : [ 1 , 2 ] }",
        "{\"b\":1,\"a\":2,\"b\":3}",
        "{\"max\":18446744073709551615,\"min\":-9223372036854775808}",
        "{\"beyond\":123456789012345678901234567890}",
        "[0.1,1e400,5e-324,1.7976931348623157e308,0.30000000000000004]",
        "\"\\u0000\\ud83d\\ude00 \u{1f600} \u{202e}\u{feff} e\u{301} \u{10ffff}\"",
        "{\"\":{\"'; DROP TABLE events; --\":[true,false,null]}}",
        &long,
    ];
    let metadata = [
        Metadata::default(),
        Metadata::default().with_command(CommandId::from_bytes([1; 16])),
        Metadata::default()
            .with_command(CommandId::from_bytes([2; 16]))
            .with_correlation(CorrelationId::from_bytes([3; 16]))
            .with_causation(EventId::from_bytes([4; 16]))
            .with_actor("Ægir <a@b> \"'\\")
            .with_tenant("東京\n")
            .with_trace(TraceContext { parent: "00-4bf9-00f0-01".into(), state: Some("a=b,c=d".into()) })
            .with_extra("float", 0.1 + 0.2)
            .with_extra("large", u64::MAX)
            .with_extra("", json!({ "nested": [null, -1, { "deep": true }] })),
    ];
    let names = ["A", "order.placed", "Ünïcode \u{1f4bf}", &"x".repeat(255)];
    let tags = [vec![], vec!["one:1"], vec!["a:ü", "b:'\"", "c:\u{1f4bf}", "c:1", "%_"]];
    let streams: Vec<StreamId> =
        ["plain", "with-hyphen", "Ægir · 東京 '\"%_\\", &"i".repeat(200)].map(stream).to_vec();

    let mut sent: Vec<Vec<NewEvent>> = vec![Vec::new(); streams.len()];
    for (number, payload) in payloads.iter().cycle().take(60).enumerate() {
        let payload = Payload::from_json((*payload).to_owned()).expect("valid JSON");
        let event = NewEvent::new(event_id(), event_type(names[number % names.len()]), payload)
            .with_schema_version(SchemaVersion::new(1 + 1_000_000 * (number as u32 % 3)).expect("not 0"))
            .with_metadata(metadata[number % metadata.len()].clone())
            .with_tags(tags[number % tags.len()].iter().map(|text| tag(text)));
        sent[number % streams.len()].push(event);
    }
    // Microseconds, also before 1970.
    let times = [0, 1, 999_999, -1, 1_795_000_000_123_456, 253_402_000_000_000_001];
    let mut recorded = Vec::new();
    for (number, (stream, events)) in streams.iter().zip(&sent).enumerate() {
        let time = Timestamp::from_microsecond(times[number % times.len()]).expect("within the calendar");
        lab.clock.set(time);
        recorded.push(time);
        lab.append(stream, events.clone()).await;
    }

    for reader in [lab.store.clone(), lab.another().await] {
        for ((stream, events), time) in streams.iter().zip(&sent).zip(&recorded) {
            let read = all(reader.read(stream, ReadOptions::forwards())).await;
            let new: Vec<&NewEvent> = read.iter().map(RecordedEvent::as_new).collect();
            assert_eq!(new, events.iter().collect::<Vec<_>>(), "stream {stream}");
            assert!(read.iter().all(|event| event.recorded_at() == *time && event.stream() == stream));
        }
    }
}
