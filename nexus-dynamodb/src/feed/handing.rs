//! What is read is handed on: commit by commit, each with how far everything was read.

use futures::TryStreamExt;
use futures::future::try_join_all;
use nexus_core::{
    Delivery, FeedError, FeedItem, FeedItems, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion,
};

use super::checkpoint::Progress;
use super::following::{Way, now};
use super::frontier::Place;
use super::order::{Due, Order, by_version};
use super::scan::Page;
use super::shards::{self, Found};
use crate::client::Client;
use crate::items::CommitItem;

/// How many shards are asked at once, whose pages are held together.
const AT_ONCE: usize = 8;

/// DynamoDB may answer with nothing several times before it comes to what there is: an iterator that is new is asked so often.
const LOOKS: u32 = 3;

/// A page with less than this, of what was written this many seconds ago, is the last one for now; clocks may be wrong by minutes.
const LITTLE: usize = 300;
const RECENT: i64 = 300;

/// What a look at all shards has found.
pub(super) struct Read {
    /// Nothing, or so little that there is hardly more: under load there is always something.
    pub(super) is_quiet: bool,
    /// All that was written before this time was read, in seconds since 1970.
    pub(super) until: i64,
}

impl Way {
    /// Hands on the next pages of the table.
    pub(super) async fn scan(&mut self, items: &FeedItems) -> Result<(), FeedError> {
        let Some(scan) = &self.progress.scan else { return Ok(()) };
        for Page { segment, commits, end } in scan.next(&self.reader).await? {
            for commit in commits {
                let (stream, first) = (commit.stream.clone(), commit.first);
                let place = |progress: &mut Progress, order: &Order| {
                    if let Some(scan) = &mut progress.scan {
                        scan.is_after(segment, &stream, first, order.delivered(&stream));
                    }
                };
                self.hand_on(commit, place, items).await?;
            }
            if let Some(scan) = &mut self.progress.scan {
                scan.has_done(segment, end);
            }
        }
        Ok(())
    }

    /// Hands on what all shards have next; `None` where something of them is gone, so that everything starts anew.
    pub(super) async fn ask_shards(&mut self, items: &FeedItems) -> Result<Option<Read>, FeedError> {
        let mut read = Read { is_quiet: true, until: now() };
        let open: Vec<(String, Place)> =
            self.progress.shards.open().map(|(id, place)| (id.to_owned(), place.clone())).collect();
        for some in open.chunks(AT_ONCE) {
            let asked = some.iter().map(|(shard, place)| {
                let iterator = self.iterators.remove(shard);
                look(&self.reader.client, &self.stream, shard, place, iterator)
            });
            let found = try_join_all(asked.collect::<Vec<_>>()).await?;
            for ((shard, _), found) in some.iter().zip(found) {
                match found {
                    Found::Records { commits, place, iterator, written_at } => {
                        let is_recent = written_at.is_none_or(|at| now().saturating_sub(at) <= RECENT);
                        read.is_quiet &= is_recent && commits.len() < LITTLE && place != Place::End;
                        read.until = read.until.min(written_at.unwrap_or(i64::MAX));
                        self.hand_on_records(shard, commits, items).await?;
                        self.progress.shards.is_at(shard, place);
                        if let Some(iterator) = iterator {
                            self.iterators.insert(shard.clone(), iterator);
                        }
                    }
                    Found::Expired => (read.is_quiet, read.until) = (false, i64::MIN),
                    Found::Trimmed => {
                        self.repair(shard).await?;
                        return Ok(None);
                    }
                }
            }
        }
        Ok(Some(read))
    }

    async fn hand_on_records(
        &mut self,
        shard: &str,
        commits: Vec<(CommitItem, Place)>,
        items: &FeedItems,
    ) -> Result<(), FeedError> {
        for (commit, place) in by_version(commits) {
            let note = |progress: &mut Progress, _: &Order| {
                if let Some(place) = place {
                    progress.shards.is_at(shard, place);
                }
            };
            self.hand_on(commit, note, items).await?;
        }
        Ok(())
    }

    /// Delivers a commit, with what is missing before it; then it is noted that it was.
    async fn hand_on(
        &mut self,
        commit: CommitItem,
        note: impl FnOnce(&mut Progress, &Order),
        items: &FeedItems,
    ) -> Result<(), FeedError> {
        let (stream, first) = (commit.stream.clone(), commit.first);
        let is_scanning = self.progress.scan.is_some();
        let mut events = commit.into_events(&self.reader.names)?;
        let last = events.last().map_or(first, RecordedEvent::version);
        let (after, again) = match self.order.due(&stream, (first, last), is_scanning) {
            Due::Nothing => {
                note(&mut self.progress, &self.order);
                return Ok(());
            }
            Due::After(after) => (after, None),
            Due::Again(to) => (first.previous(), Some(to)),
        };
        if after < first.previous() {
            self.fetch(&stream, ReadOptions::forwards().after(after).before(first), items).await?;
        }
        events.retain(|event: &RecordedEvent| self.query.matches(event));
        if let Some(to) = again {
            for event in events.drain(..) {
                self.deliver(event, items).await;
            }
            self.fetch(&stream, ReadOptions::forwards().after(last).to(to), items).await?;
        }
        let final_event = events.pop();
        // Only who has handled all of it goes on after it.
        for event in events {
            self.deliver(event, items).await;
        }
        note(&mut self.progress, &self.order);
        if let Some(event) = final_event {
            self.checkpoint = self.progress.checkpoint()?;
            self.deliver(event, items).await;
        }
        Ok(())
    }

    /// Delivers what the table has of a stream.
    async fn fetch(
        &self,
        stream: &StreamId,
        options: ReadOptions<StreamVersion>,
        items: &FeedItems,
    ) -> Result<(), FeedError> {
        let mut events = self.reader.read(stream, options);
        while let Some(event) = events.try_next().await? {
            if self.query.matches(&event) {
                self.deliver(event, items).await;
            }
        }
        Ok(())
    }

    /// Who does not listen any more does not poll this, either.
    async fn deliver(&self, event: RecordedEvent, items: &FeedItems) {
        let _ = items.send(Ok(FeedItem::Event(Delivery::new(event, self.checkpoint.clone())))).await;
    }
}

/// What a shard has next.
async fn look(
    client: &Client,
    stream: &str,
    shard: &str,
    place: &Place,
    iterator: Option<String>,
) -> Result<Found, StoreError> {
    let is_new = iterator.is_none();
    let iterator = match iterator {
        Some(iterator) => Some(iterator),
        None => shards::iterator(client, stream, shard, place).await?,
    };
    let Some(iterator) = iterator else { return Ok(Found::Trimmed) };
    let mut found = shards::read(client, shard, iterator, place).await?;
    for _ in 1..if is_new { LOOKS } else { 1 } {
        match found {
            Found::Records { ref commits, iterator: Some(next), written_at: None, .. }
                if commits.is_empty() =>
            {
                found = shards::read(client, shard, next, place).await?;
            }
            _ => break,
        }
    }
    Ok(found)
}
