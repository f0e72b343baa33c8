//! Shards that are split and merged while events are published: each stream still comes in its order.

use std::time::Duration;

use nexus_core::{EventFeed, EventPublisher};
use nexus_kinesis::KinesisPublisher;

use crate::support::{Came, Local, client, feed, round, stream};

const STREAMS: u64 = 40;

/// The open shards, with the parts of all hash keys that they have.
async fn open(name: &str) -> Vec<(String, u128, u128)> {
    let listed = client::<Local>().list_shards().stream_name(name).send().await.expect("listed");
    let open = listed.shards.unwrap_or_default().into_iter().filter(|shard| {
        shard.sequence_number_range.as_ref().is_some_and(|range| range.ending_sequence_number.is_none())
    });
    let mut open: Vec<(String, u128, u128)> = open
        .map(|shard| {
            let keys = shard.hash_key_range.expect("it has a part");
            let key = |text: &str| text.parse().expect("a number");
            (shard.shard_id, key(&keys.starting_hash_key), key(&keys.ending_hash_key))
        })
        .collect();
    open.sort_unstable_by_key(|(_, first, _)| *first);
    open
}

async fn is_active(name: &str) {
    loop {
        let described =
            client::<Local>().describe_stream_summary().stream_name(name).send().await.expect("described");
        let status = described.stream_description_summary.expect("described").stream_status;
        if status.as_str() == "ACTIVE" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn split(name: &str, number: usize) {
    let (shard, first, last) = open(name).await.swap_remove(number);
    let middle = first + (last - first) / 2;
    let split = client::<Local>().split_shard().stream_name(name).shard_to_split(shard);
    split.new_starting_hash_key(middle.to_string()).send().await.expect("split");
    is_active(name).await;
}

pub(crate) async fn merge(name: &str, number: usize) {
    let open = open(name).await;
    let merge = client::<Local>().merge_shards().stream_name(name).shard_to_merge(&open[number].0);
    merge.adjacent_shard_to_merge(&open[number + 1].0).send().await.expect("merged");
    is_active(name).await;
}

/// Publishes while shards change; one reader has followed from the start, one starts anew every now and then, one comes late.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_streams_is_kept_when_shards_are_split_and_merged() {
    let config = stream::<Local>(2).await;
    let name = config.stream().to_owned();
    let publisher = KinesisPublisher::open(config.clone()).await.expect("the stream is there");
    let publishing = tokio::spawn(async move {
        for version in 1..=40 {
            publisher.publish(&round(STREAMS, version)).await.expect("published");
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    let early = tokio::spawn({
        let feed = feed(&config).await;
        async move {
            let mut came = Came::default();
            came.follow(&mut feed.subscribe(None), STREAMS, 40).await;
            came
        }
    });
    let restless = tokio::spawn({
        let feed = feed(&config).await;
        async move {
            let (mut came, mut from) = (Came::default(), None);
            for versions in 1..=40 {
                // From text, as it is kept.
                let kept =
                    from.map(|from: nexus_core::Checkpoint| from.to_string().parse().expect("a checkpoint"));
                from = came.follow(&mut feed.subscribe(kept.clone()), STREAMS, versions).await.or(kept);
            }
        }
    });
    split(&name, 0).await;
    split(&name, 2).await;
    merge(&name, 1).await;
    split(&name, 0).await;
    merge(&name, 0).await;
    merge(&name, 0).await;
    publishing.await.expect("no panic");
    let came = early.await.expect("no panic");
    assert_eq!(came.again, 0, "one subscription delivers nothing twice");
    restless.await.expect("no panic");
    let mut late = Came::default();
    late.follow(&mut feed(&config).await.subscribe(None), STREAMS, 40).await;
    assert!(open(&name).await.len() < 4);
    let mut told = Came::default();
    told.follow(&mut feed(&config).await.fan_out("late").subscribe(None), STREAMS, 40).await;
}
