//! One subscription: rounds over the table, while that is scanned, and over all shards.

use std::collections::HashMap;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use nexus_core::{
    Checkpoint, Clock, Delivery, FeedError, FeedItem, Query, RecordedEvent, StoreError, SystemClock,
};
use tokio::time::Instant;

use super::Settings;
use super::checkpoint::Progress;
use super::frontier::{Frontier, Lost, Place};
use super::order::{Order, by_version};
use super::scan::{Page, Scan};
use super::shards::{self, Found};
use crate::items::CommitItem;
use crate::reader::Reader;
use crate::tables;

/// How many shards are asked at once.
const AT_ONCE: usize = 8;

/// How soon it is looked again which shards there are: where one has ended, and otherwise.
const LOOK_FOR_CHILDREN: Duration = Duration::from_secs(1);
const LOOK_FOR_SHARDS: Duration = Duration::from_secs(30);

/// While the table is scanned, which has most of it, shards are asked this often.
const BESIDE_A_SCAN: Duration = Duration::from_secs(2);

/// Who has nothing says so this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A stream keeps its records for a day: who has not asked for so long reads the table once more, however wrong clocks are by minutes.
const LONGEST_ABSENCE: i64 = 12 * 3_600;

/// To how many seconds it is noted when shards were asked: each change of a checkpoint is written somewhere.
const ASKED_WITHIN: i64 = 600;

pub(super) struct Following {
    reader: Reader,
    query: Query,
    settings: Settings,
    stage: Stage,
}

enum Stage {
    Start(Option<Checkpoint>),
    Under(Box<Way>),
}

/// A subscription that is under way.
struct Way {
    /// The stream's ARN.
    stream: String,
    progress: Progress,
    /// As it is after the last round.
    checkpoint: Checkpoint,
    iterators: HashMap<String, String>,
    order: Order,
    looked_at: Instant,
    asked: Option<Instant>,
    said: Option<(Instant, Checkpoint)>,
}

impl Following {
    pub(super) fn new(reader: Reader, query: Query, settings: Settings, from: Option<Checkpoint>) -> Self {
        Self { reader, query, settings, stage: Stage::Start(from) }
    }

    /// What there is to deliver next; it waits until there is something to say.
    pub(super) async fn round(&mut self) -> Result<Vec<FeedItem>, FeedError> {
        loop {
            let way = match &mut self.stage {
                Stage::Start(from) => {
                    let way = Way::begin(&self.reader, self.settings, from.take()).await?;
                    self.stage = Stage::Under(Box::new(way));
                    continue;
                }
                Stage::Under(way) => way,
            };
            let items = way.round(&self.reader, &self.query, self.settings).await?;
            if !items.is_empty() {
                return Ok(items);
            }
        }
    }
}

impl Way {
    async fn begin(reader: &Reader, settings: Settings, from: Option<Checkpoint>) -> Result<Self, FeedError> {
        let known = from.as_ref().map(Progress::read).transpose()?;
        let checked = tables::check(&reader.client, &reader.table, &tables::of_events()).await;
        let checked =
            checked.map_err(|error| StoreError::unavailable("look at the table's stream", error))?;
        let Some(stream) = checked.stream else {
            let missing = StoreError::unavailable("follow the table's stream", "it has none");
            return Err(missing.into());
        };
        let label = stream.rsplit('/').next().unwrap_or_default().to_owned();
        let is_recent = |known: &Progress| now() - known.asked_at < LONGEST_ABSENCE;
        let progress = match known.filter(|known| known.stream == label && is_recent(known)) {
            Some(known) => known,
            None => Progress { stream: label, ..Progress::default() },
        };
        let is_new = progress == Progress { stream: progress.stream.clone(), ..Progress::default() };
        let checkpoint = match from {
            Some(from) => from,
            None => progress.checkpoint()?,
        };
        let (iterators, order, looked_at) = (HashMap::new(), Order::default(), Instant::now());
        let mut way =
            Self { stream, progress, checkpoint, iterators, order, looked_at, asked: None, said: None };
        if is_new {
            way.start_anew(reader, settings).await?;
        } else {
            way.look_for_shards(reader, settings).await?;
        }
        Ok(way)
    }

    /// Reads the whole table, and every shard from its start: first it is seen to where shards start, so that nothing is missed between.
    async fn start_anew(&mut self, reader: &Reader, settings: Settings) -> Result<(), FeedError> {
        self.progress.shards = Frontier::of(&shards::describe(&reader.client, &self.stream).await?);
        self.progress.scan = Some(Scan::in_segments(settings.segments));
        self.progress.asked_at = now();
        self.iterators.clear();
        self.looked_at = Instant::now();
        Ok(())
    }

    async fn look_for_shards(&mut self, reader: &Reader, settings: Settings) -> Result<(), FeedError> {
        let there = shards::describe(&reader.client, &self.stream).await?;
        self.looked_at = Instant::now();
        match self.progress.shards.refresh(&there) {
            Ok(()) => Ok(()),
            Err(Lost(shard)) => self.repair(&shard, reader, settings).await,
        }
    }

    async fn repair(&mut self, shard: &str, reader: &Reader, settings: Settings) -> Result<(), FeedError> {
        tracing::warn!(
            table = %reader.table, shard,
            "records of the table's stream are gone that were not read: the table is read once more"
        );
        self.start_anew(reader, settings).await
    }

    async fn round(
        &mut self,
        reader: &Reader,
        query: &Query,
        settings: Settings,
    ) -> Result<Vec<FeedItem>, FeedError> {
        let is_scanning = self.progress.scan.is_some();
        let pause = if is_scanning { BESIDE_A_SCAN } else { settings.poll_every };
        if let Some(asked) = self.asked.filter(|_| !is_scanning) {
            tokio::time::sleep_until(asked + pause).await;
        }
        let mut items = Vec::new();
        if is_scanning {
            self.scan(reader, query, &mut items).await?;
        }
        let is_due = self.asked.is_none_or(|asked| asked.elapsed() >= pause);
        let mut is_quiet = !is_scanning;
        if is_due {
            is_quiet = self.ask_shards(reader, query, settings, &mut items).await? && is_quiet;
        }
        if self.progress.scan.as_ref().is_some_and(Scan::is_done) {
            self.progress.scan = None;
        }
        self.checkpoint = self.progress.checkpoint()?;
        if is_quiet && self.is_to_say() {
            self.said = Some((Instant::now(), self.checkpoint.clone()));
            items.push(FeedItem::CaughtUp(Some(self.checkpoint.clone())));
        }
        Ok(items)
    }

    /// Hands on the next pages of the table.
    async fn scan(
        &mut self,
        reader: &Reader,
        query: &Query,
        items: &mut Vec<FeedItem>,
    ) -> Result<(), FeedError> {
        let Some(scan) = &self.progress.scan else { return Ok(()) };
        for Page { segment, commits, end } in scan.next(reader).await? {
            for commit in commits {
                let (stream, first) = (commit.stream.clone(), commit.first);
                let place = |progress: &mut Progress| {
                    if let Some(scan) = &mut progress.scan {
                        scan.is_after(segment, &stream, first);
                    }
                };
                self.hand_on(commit, reader, query, place, items).await?;
            }
            if let Some(scan) = &mut self.progress.scan {
                scan.has_done(segment, end);
            }
        }
        Ok(())
    }

    /// Delivers a commit, with what is missing before it; then it is noted that it was.
    async fn hand_on(
        &mut self,
        commit: CommitItem,
        reader: &Reader,
        query: &Query,
        note: impl FnOnce(&mut Progress),
        items: &mut Vec<FeedItem>,
    ) -> Result<(), FeedError> {
        let (mut events, is_scanning) = (Vec::new(), self.progress.scan.is_some());
        self.order.admit(commit, is_scanning, reader, &mut events).await?;
        note(&mut self.progress);
        events.retain(|event: &RecordedEvent| query.matches(event));
        let Some(last) = events.pop() else { return Ok(()) };
        // Only who has handled all of it goes on after it.
        for event in events {
            items.push(FeedItem::Event(Delivery::new(event, self.checkpoint.clone())));
        }
        self.checkpoint = self.progress.checkpoint()?;
        items.push(FeedItem::Event(Delivery::new(last, self.checkpoint.clone())));
        Ok(())
    }

    /// That there is nothing more: when that is new, or was not said for a while.
    fn is_to_say(&self) -> bool {
        self.said.as_ref().is_none_or(|(at, said)| *said != self.checkpoint || at.elapsed() >= SAY_EVERY)
    }

    /// Takes what all shards have; whether that was nothing.
    async fn ask_shards(
        &mut self,
        reader: &Reader,
        query: &Query,
        settings: Settings,
        items: &mut Vec<FeedItem>,
    ) -> Result<bool, FeedError> {
        let look = if self.progress.shards.has_ends() { LOOK_FOR_CHILDREN } else { LOOK_FOR_SHARDS };
        if self.looked_at.elapsed() >= look {
            self.look_for_shards(reader, settings).await?;
        }
        let open: Vec<(String, Place)> =
            self.progress.shards.open().map(|(id, place)| (id.to_owned(), place.clone())).collect();
        let (client, stream, iterators) = (&reader.client, &self.stream, &self.iterators);
        let asked = futures::stream::iter(open).map(|(shard, place)| async move {
            let iterator = match iterators.get(&shard) {
                Some(iterator) => Some(iterator.clone()),
                None => shards::iterator(client, stream, &shard, &place).await?,
            };
            let found = match iterator {
                Some(iterator) => shards::read(client, &shard, iterator, &place).await?,
                None => Found::Trimmed,
            };
            Ok::<_, StoreError>((shard, found))
        });
        let found: Vec<(String, Found)> = asked.buffer_unordered(AT_ONCE).try_collect().await?;
        self.asked = Some(Instant::now());
        let mut is_quiet = true;
        for (shard, found) in found {
            match found {
                Found::Records { commits, place, iterator } => {
                    is_quiet &= commits.is_empty() && place != Place::End;
                    for (commit, place) in by_version(commits) {
                        let note = |progress: &mut Progress| {
                            if let Some(place) = place {
                                progress.shards.is_at(&shard, place);
                            }
                        };
                        self.hand_on(commit, reader, query, note, items).await?;
                    }
                    self.progress.shards.is_at(&shard, place);
                    match iterator {
                        Some(iterator) => self.iterators.insert(shard, iterator),
                        None => self.iterators.remove(&shard),
                    };
                }
                Found::Expired => {
                    self.iterators.remove(&shard);
                    is_quiet = false;
                }
                Found::Trimmed => {
                    self.repair(&shard, reader, settings).await?;
                    return Ok(false);
                }
            }
        }
        self.progress.asked_at = self.progress.asked_at.max(now() / ASKED_WITHIN * ASKED_WITHIN);
        Ok(is_quiet)
    }
}

fn now() -> i64 {
    SystemClock.now().as_second()
}
