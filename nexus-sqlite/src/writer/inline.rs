//! Appends with inline projections: each behind a savepoint of its own.

use std::collections::VecDeque;

use nexus_core::{
    AppendBatch, Appended, Commit, EventParts, Position, RecordedEvent, StoreError, StreamAppend, Timestamp,
};
use rusqlite::ErrorCode;

use super::kinds::Kinds;
use super::{Failure, Judged, Request, WriterThread, judge};
use crate::error::store_error;

impl WriterThread {
    /// Judges each append, and takes what it stores into the read models.
    pub(super) fn judge_inline(
        &mut self,
        group: &VecDeque<Request>,
        now: Timestamp,
        mut head: Option<Position>,
    ) -> Result<Judged, Failure> {
        let mut answers = Vec::with_capacity(group.len());
        for (number, request) in group.iter().enumerate() {
            let answer = self.append_inline(&request.batch, now, &mut head)?;
            if self.documents.connection.is_autocommit() {
                // A full disk, or a statement that says so, has taken everything back.
                let lost = StoreError::unavailable("append", TakenBack);
                return Err(Failure::Lost { number, error: answer.err().unwrap_or(lost) });
            }
            answers.push(answer);
        }
        Ok((answers, head))
    }

    /// One append; a projection that fails takes this one back, and no other.
    fn append_inline(
        &mut self,
        batch: &AppendBatch,
        now: Timestamp,
        head: &mut Option<Position>,
    ) -> rusqlite::Result<Result<Appended, StoreError>> {
        self.documents.statement("SAVEPOINT nexus_append")?;
        let mut judge = judge::Group::at(&self.documents.connection, &mut self.kinds, now, *head);
        let answer = judge.append(batch)?;
        let after = judge.head();
        let answer = match answer {
            Ok(Appended::Stored(commit)) => {
                let events = recorded(batch, &commit, *head);
                self.inline.take(&events, &mut self.documents).map(|()| Appended::Stored(commit))
            }
            other => other,
        };
        if answer.is_ok() {
            *head = after;
        } else {
            // Some may have been added in what is taken back.
            self.kinds = Kinds::default();
        }
        if self.documents.connection.is_autocommit() {
            return Ok(answer);
        }
        if answer.is_err() {
            self.documents.statement("ROLLBACK TO nexus_append")?;
        }
        self.documents.statement("RELEASE nexus_append")?;
        Ok(answer)
    }

    /// What an append is told that failed by itself. What is only checked at the end is a projection's refusal.
    pub(super) fn alone(&self, error: rusqlite::Error) -> StoreError {
        let is_refusal = error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation);
        if is_refusal && !self.inline.is_empty() {
            let by = "an inline projection, when all was to be committed".to_owned();
            return StoreError::Refused { by, source: error.into() };
        }
        store_error("append", error)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("an inline projection has had the transaction taken back")]
struct TakenBack;

/// The events of a batch as they were just stored, after `head`.
fn recorded(batch: &AppendBatch, commit: &Commit, head: Option<Position>) -> Vec<RecordedEvent> {
    let mut events = Vec::with_capacity(batch.len());
    let mut position = head;
    for part in &commit.streams {
        let sent = batch.parts().iter().find(|sent| *sent.stream() == part.stream);
        let mut next = part.first;
        for event in sent.into_iter().flat_map(StreamAppend::events) {
            let (version, at) = (next, position.map_or(Position::FIRST, Position::next));
            (next, position) = (version.next(), Some(at));
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
                position: Some(at),
                recorded_at: commit.recorded_at,
            }));
        }
    }
    events
}

/// The file has others than this store was opened with.
pub(super) fn other_projections(known: &[(String, u32)]) -> StoreError {
    let known: Vec<String> =
        known.iter().map(|(name, version)| format!("{name} version {version}")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let source =
        format!("the file now has other inline projections ({known}): open the store anew with these");
    StoreError::Refused { by: "the store".to_owned(), source: source.into() }
}
