use std::collections::HashMap;

use futures::TryStreamExt;
use nexus_core::{EventLog, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion};

/// Which events of streams were appended with one that came before.
#[derive(Default)]
pub(super) struct Appends {
    /// The last version of what was begun.
    begun: HashMap<StreamId, StreamVersion>,
}

impl Appends {
    /// All that was appended to a stream with this event as the first; none where it was not the first, as far as the log tells.
    ///
    /// Others may stand between them in the log, so they are read from their stream.
    pub(super) async fn beginning_with(
        &mut self,
        event: &RecordedEvent,
        log: &dyn EventLog,
    ) -> Result<Option<Vec<RecordedEvent>>, StoreError> {
        let (stream, version) = (event.stream(), event.version());
        if let Some(last) = self.begun.get(stream).copied() {
            if version >= last {
                self.begun.remove(stream);
            }
            if version <= last {
                return Ok(None);
            }
        }
        let commit = log.find_commit(stream, event.id()).await?;
        let last = commit.and_then(|commit| Some(commit.stream(stream)?.last())).unwrap_or(version);
        if last == version {
            return Ok(Some(vec![event.clone()]));
        }
        self.begun.insert(stream.clone(), last);
        let options = ReadOptions::forwards().from(version).to(last);
        Ok(Some(log.read(stream, options).try_collect().await?))
    }
}
