//! Appends with inline projections: each behind a savepoint of its own.

use nexus_core::{AppendBatch, Appended, EventParts, Position, RecordedEvent, StoreError, StreamAppend};

use super::Writer;
use super::careful::{Answers, Stored};
use super::queue::Request;
use crate::documents::PostgresDocuments;
use crate::error::store_error;
use crate::inline::{self, savepoint};
use crate::transaction::Open;

impl Writer {
    /// Judges each append, and takes what it stores into the read models.
    pub(super) async fn append_inline(
        &self,
        open: Open,
        group: &[Request],
    ) -> Result<(Open, (Answers, Vec<Position>)), StoreError> {
        let mut documents = PostgresDocuments::new(open.connection, self.documents.clone(), String::new());
        self.lock_inline(&mut documents.connection).await?;
        let (mut answers, mut positions) = (Vec::with_capacity(group.len()), Vec::new());
        let batches = group.iter().map(|request| &request.batch);
        let mut hold = self.take_hold(&mut documents.connection, batches).await?;
        for Request { batch, .. } in group {
            savepoint(&mut documents.connection, "SAVEPOINT nexus_append")
                .await
                .map_err(|error| store_error("append", error))?;
            let judged = self.judge_and_store(&mut documents.connection, batch, &mut hold).await;
            let mut answer = match judged {
                Ok(stored) => {
                    let taken = self.inline.take(&recorded(batch, &stored), &mut documents).await;
                    taken.map(|()| (Appended::Stored(stored.commit), stored.positions))
                }
                Err(refusal) => refusal.answer()?.map(|appended| (appended, Vec::new())),
            };
            if answer.is_ok() {
                // Fails where a projection has met an error and not passed it on.
                let kept = savepoint(&mut documents.connection, "RELEASE nexus_append").await;
                answer = answer.and_then(|answer| kept.map(|()| answer).map_err(inline::swallowed));
            }
            if answer.is_err() {
                documents.forget();
                let back = "ROLLBACK TO nexus_append; RELEASE nexus_append";
                savepoint(&mut documents.connection, back)
                    .await
                    .map_err(|error| store_error("append", error))?;
            }
            answers.push(answer.map(|(appended, own)| {
                positions.extend(own);
                appended
            }));
        }
        Ok((Open { connection: documents.connection }, (answers, positions)))
    }
}

/// The events of a batch as they were just stored.
fn recorded(batch: &AppendBatch, stored: &Stored) -> Vec<RecordedEvent> {
    let mut events = Vec::with_capacity(batch.len());
    let mut positions = stored.positions.iter().copied();
    for part in &stored.commit.streams {
        let sent = batch.parts().iter().find(|sent| *sent.stream() == part.stream);
        let mut next = part.first;
        for event in sent.into_iter().flat_map(StreamAppend::events) {
            let version = next;
            next = next.next();
            events.push(RecordedEvent::from(EventParts {
                id: event.id(),
                event_type: event.event_type().clone(),
                schema_version: event.schema_version(),
                payload: event.payload().clone(),
                metadata: event.metadata().clone(),
                tags: event.tags().to_vec(),
                stream: part.stream.clone(),
                version,
                slice: part.stream.slice(),
                position: positions.next(),
                recorded_at: stored.commit.recorded_at,
            }));
        }
    }
    events
}
