//! Compares what was acknowledged with the table, and the table with the read model.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{Collection, EventId, EventStore, ReadOptions, RecordedEvent, StreamId};
use nexus_dynamodb::DynamoStore;

use super::world::{Acknowledged, STREAMS, World, ledger, stream};
use crate::support::Server;

/// How long the projection may take to come to the end.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) async fn check<S: Server>(world: &World<S>, acknowledged: &[Acknowledged]) {
    let store = DynamoStore::open_with(world.config.clone()).await.expect("the store opens");
    let (mut ids, mut total) = (HashSet::new(), 0);
    let mut streams: BTreeSet<StreamId> = acknowledged.iter().map(|(stream, _, _)| stream.clone()).collect();
    streams.extend((0..STREAMS).map(stream));
    for stream in &streams {
        let stored: Vec<RecordedEvent> =
            store.read(stream, ReadOptions::forwards()).try_collect().await.expect("read");
        let versions: Vec<u64> = stored.iter().map(|event| event.version().get()).collect();
        assert_eq!(versions, (1..=stored.len() as u64).collect::<Vec<_>>(), "a stream has holes");
        assert!(stored.iter().map(RecordedEvent::recorded_at).is_sorted(), "time went back within a stream");
        for event in &stored {
            assert!(ids.insert(event.id()), "event {} is stored twice", event.id());
        }
        let of_stream = acknowledged.iter().filter(|(of, _, _)| of == stream);
        for (_, first, events) in of_stream {
            let at = usize::try_from(first.get() - 1).expect("small");
            let there: Vec<EventId> =
                stored.iter().skip(at).take(events.len()).map(RecordedEvent::id).collect();
            assert_eq!(there, *events, "what was acknowledged at version {first} is not there");
        }
        total += stored.len();
        until_given(world, stream, &stored).await;
    }
    assert!(total > 100, "only {total} events were stored");
    let sent: usize = acknowledged.iter().map(|(_, _, events)| events.len()).sum();
    assert_eq!(total, sent, "something is stored that nobody was told of");
    let letters = world.projections().await.dead_letters(&ledger(), None, 10).await.expect("listed");
    assert_eq!(letters, [], "an event was put aside");
}

/// The projection is given each event once, in its order.
async fn until_given<S: Server>(world: &World<S>, stream: &StreamId, stored: &[RecordedEvent]) {
    let expected: Vec<(u64, EventId)> =
        stored.iter().map(|event| (event.version().get(), event.id())).collect();
    let (projections, streams) = (world.projections().await, Collection::new("streams").expect("valid"));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let given = projections.document(&ledger(), &streams, stream.as_str()).await;
        let given: Vec<(u64, EventId)> = given.ok().flatten().unwrap_or_default();
        if given == expected {
            return;
        }
        assert!(expected.starts_with(&given), "{stream} was given otherwise: {given:?}, not {expected:?}");
        if tokio::time::Instant::now() > deadline {
            let status = projections.status(&ledger()).await;
            panic!("{} of {} events of {stream} were given: {status:?}", given.len(), expected.len());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
