use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use nexus_core::{Checkpoint, EventFeed, JoinedFeed, LogFeed, MemoryStore, Query};

use crate::wait_for;

/// Where a consumer goes on: what another program, or an older one of ours, has noted.
pub fn checkpoints(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(checkpoint) = text.parse::<Checkpoint>() else { return };
    assert_eq!(checkpoint.to_string().parse::<Checkpoint>().as_ref(), Ok(&checkpoint), "{text:?}");
    nexus_dynamodb::fuzzing::checkpoint(&checkpoint);
    nexus_kinesis::fuzzing::checkpoint(&checkpoint);
    let log = || LogFeed::new(MemoryStore::new(), Query::all());
    goes_on(&log(), &checkpoint);
    goes_on(&JoinedFeed::of([Arc::new(log()) as Arc<dyn EventFeed>, Arc::new(log())]), &checkpoint);
}

/// It is refused, or the feed waits for what comes after it.
fn goes_on(feed: &dyn EventFeed, from: &Checkpoint) {
    let mut events = feed.subscribe(Some(from.clone()));
    wait_for(async {
        let _ = tokio::time::timeout(Duration::ZERO, events.next()).await;
    });
}
