//! Which events were taken in, where a feed delivers them in no order and again at any time.
//!
//! The id of each is noted with the read model, with the time. What was noted long ago is forgotten, a page at each heartbeat.

use std::collections::HashSet;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};

use super::chunks::Chunk;
use super::commit::Role;
use super::notes::{SEEN, note};
use super::source::Source;
use super::worker::{Trouble, Worker};
use crate::domain::Projection;
use crate::port::Documents;
use crate::vocabulary::{EventId, RecordedEvent, StoreError};

/// So many ids are kept in mind.
const KNOWN: usize = 100_000;

/// So many pages of what is old are forgotten at a heartbeat at most.
const PAGES: usize = 50;

/// So many notes are read together.
const TOGETHER: usize = 90;

/// Events that were taken in lately.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<EventId>,
    /// The note after which it is looked next for those to be forgotten.
    after: Option<String>,
}

impl Seen {
    /// Asks for each anew.
    pub(super) fn forget(&mut self) {
        self.ids.clear();
    }

    pub(super) fn add<'a>(&mut self, events: impl Iterator<Item = &'a RecordedEvent>) {
        self.ids.extend(events.map(RecordedEvent::id));
    }
}

/// Notes that these events were taken in.
pub(super) async fn note_all<'a>(
    events: impl Iterator<Item = &'a RecordedEvent>,
    now: Timestamp,
    notes: &mut dyn Documents,
) -> Result<(), StoreError> {
    for event in events {
        SEEN.write(notes, &event.id().to_string(), &now).await?;
    }
    Ok(())
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// Takes in what has not come before.
    pub(super) async fn take_unordered(&mut self, chunk: Chunk) -> Result<(), Trouble> {
        let Chunk { mut events, checkpoint, .. } = chunk;
        if self.seen.ids.len() > KNOWN {
            self.seen.forget();
        }
        let mut ids = HashSet::with_capacity(events.len());
        let is_meant = |event: &RecordedEvent| self.shared.query.matches(event) && ids.insert(event.id());
        events.retain(is_meant);
        let unknown: Vec<EventId> = ids.into_iter().filter(|id| !self.seen.ids.contains(id)).collect();
        for some in unknown.chunks(TOGETHER) {
            let seen = self.seen_of(some.to_vec()).await?;
            self.seen.ids.extend(seen);
        }
        events.retain(|event| !self.seen.ids.contains(&event.id()));
        if events.is_empty() {
            return Ok(());
        }
        self.absorb(events, None, checkpoint).await
    }

    /// What becomes of each event.
    pub(super) fn roles_by_id(&self, events: &[RecordedEvent]) -> Vec<Role> {
        let role = |event: &RecordedEvent| {
            if self.seen.ids.contains(&event.id()) {
                Role::Leave
            } else if self.parked.contains_key(event.stream()) {
                Role::Wait
            } else {
                Role::Handle
            }
        };
        events.iter().map(role).collect()
    }

    /// Those of these events that were taken in.
    async fn seen_of(&self, ids: Vec<EventId>) -> Result<Vec<EventId>, Trouble> {
        let space = self.space();
        let seen = note(&*self.shared.store, &space, move |notes| {
            async move {
                let places: Result<Vec<_>, StoreError> =
                    ids.iter().map(|id| SEEN.place(&id.to_string())).collect();
                notes.prefetch(&places?).await?;
                let mut seen = Vec::new();
                for id in ids {
                    let at: Option<Timestamp> = SEEN.read(notes, &id.to_string()).await?;
                    seen.extend(at.map(|_| id));
                }
                Ok(seen)
            }
            .boxed()
        });
        Ok(seen.await?)
    }

    /// Forgets what was taken in so long ago that it does not come again.
    pub(super) async fn forget_some_ids(&mut self) -> Result<(), Trouble> {
        if !matches!(self.shared.source, Source::Unordered(_)) {
            return Ok(());
        }
        // Ids grow with time, as a rule: the oldest come first.
        for _ in 0..PAGES {
            if !self.forget_page(None).await?.1 {
                break;
            }
        }
        let after = self.seen.after.take();
        self.seen.after = self.forget_page(after).await?.0;
        Ok(())
    }

    /// Forgets what is old of a page; answers where the next one begins, and whether all of this one was old.
    async fn forget_page(&self, after: Option<String>) -> Result<(Option<String>, bool), Trouble> {
        let (store, space) = (&*self.shared.store, self.space());
        let page: Vec<(String, Timestamp)> =
            SEEN.page(store, &space, "", after, self.letters_at_once()).await?;
        let (last, count) = (page.last().map(|(last, _)| last.clone()), page.len());
        let remembered =
            SignedDuration::try_from(self.shared.settings.remembers).unwrap_or(SignedDuration::MAX);
        let since = self.now().checked_sub(remembered).unwrap_or(Timestamp::MIN);
        let old: Vec<String> = page.into_iter().filter(|(_, at)| *at < since).map(|(id, _)| id).collect();
        let are_all_old = count > 0 && old.len() == count;
        if old.is_empty() {
            return Ok((last, false));
        }
        let forgotten = self.note_under_claims(move |notes| {
            async move {
                for id in old {
                    SEEN.delete(notes, &id).await?;
                }
                Ok(())
            }
            .boxed()
        });
        forgotten.await?;
        Ok((last, are_all_old))
    }
}
