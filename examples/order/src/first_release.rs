//! Events that the first release of the shop stored, as they are in `data/first-release.jsonl`.

use anyhow::Context;
use nexus_core::{AppendBatch, EventStore, ExpectedVersion, NewEvent, RecordedEvent, StreamId};

use crate::shop::Store;

/// One event a line.
const EVENTS: &str = include_str!("../data/first-release.jsonl");

/// Appends them, as they are, where they are not yet; returns their streams.
pub async fn append_to(store: &Store) -> anyhow::Result<Vec<StreamId>> {
    let mut streams: Vec<(StreamId, Vec<NewEvent>)> = Vec::new();
    for (line, number) in EVENTS.lines().zip(1..) {
        let event: RecordedEvent = serde_json::from_str(line)
            .with_context(|| format!("line {number} of the first release's events"))?;
        match streams.last_mut() {
            Some((stream, events)) if stream == event.stream() => events.push(event.into_new()),
            _ => streams.push((event.stream().clone(), vec![event.into_new()])),
        }
    }
    let mut appended = Vec::new();
    for (stream, events) in streams {
        // Sent again, they are found to be there.
        let batch = AppendBatch::new(stream.clone(), ExpectedVersion::Any, events)?;
        let _ = store.append(batch).await?;
        appended.push(stream);
    }
    Ok(appended)
}
