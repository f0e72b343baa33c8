//! One subscription: rounds over the table, while that is scanned, and over all shards.

use std::collections::HashMap;
use std::time::Duration;

use nexus_core::{
    Checkpoint, Clock, FeedError, FeedItem, FeedItems, Query, StoreError, Subscription, SystemClock, driven,
};
use tokio::time::Instant;

use super::Settings;
use super::checkpoint::Progress;
use super::frontier::{Frontier, Lost};
use super::order::Order;
use super::scan::Scan;
use super::shards;
use crate::reader::Reader;
use crate::tables;

/// How soon it is looked again which shards there are: where one has ended, and otherwise.
const LOOK_FOR_CHILDREN: Duration = Duration::from_secs(1);
const LOOK_FOR_SHARDS: Duration = Duration::from_secs(30);

/// While the table is scanned, which has most of it, shards are asked this often.
const BESIDE_A_SCAN: Duration = Duration::from_secs(2);

/// While the table is scanned, shards are read to their ends when they are asked, or for so many pages: they are not to fall behind what is written
/// however long the scan takes.
const PAGES_BESIDE_A_SCAN: u32 = 20;

/// Who has nothing says so this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// A stream keeps its records for a day: who has not read all for so long reads the table once more, however wrong clocks are by minutes.
const LONGEST_ABSENCE: i64 = 12 * 3_600;

/// Who is as far behind when a shard's children come cannot tell whether all of them is still there.
const LONGEST_LAG: i64 = 20 * 3_600;

/// To how many seconds it is noted up to when all was read: each change of a checkpoint is written somewhere.
const COMPLETE_WITHIN: i64 = 600;

/// Everything after `from`. It goes on while it is polled, by who polls it, and is an item ahead at most.
pub(super) fn follow(
    reader: Reader,
    query: Query,
    settings: Settings,
    from: Option<Checkpoint>,
) -> Subscription {
    driven(async move |items| Way::walk(reader, query, settings, from, &items).await)
}

/// A subscription that is under way.
pub(super) struct Way {
    pub(super) reader: Reader,
    pub(super) query: Query,
    settings: Settings,
    /// The stream's ARN.
    pub(super) stream: String,
    pub(super) progress: Progress,
    /// As it is after what was handed on last.
    pub(super) checkpoint: Checkpoint,
    pub(super) iterators: HashMap<String, String>,
    pub(super) order: Order,
    looked_at: Instant,
    asked: Option<Instant>,
    said: Option<(Instant, Checkpoint)>,
}

impl Way {
    async fn walk(
        reader: Reader,
        query: Query,
        settings: Settings,
        from: Option<Checkpoint>,
        items: &FeedItems,
    ) -> Result<(), FeedError> {
        let mut way = Self::begin(reader, query, settings, from).await?;
        loop {
            way.round(items).await?;
        }
    }

    async fn begin(
        reader: Reader,
        query: Query,
        settings: Settings,
        from: Option<Checkpoint>,
    ) -> Result<Self, FeedError> {
        let known = from.as_ref().map(Progress::read).transpose()?;
        let checked = tables::check(&reader.client, &reader.table, &tables::of_events()).await;
        let checked =
            checked.map_err(|error| StoreError::unavailable("look at the table's stream", error))?;
        let Some(stream) = checked.stream else {
            let missing = StoreError::unavailable("follow the table's stream", "it has none");
            return Err(missing.into());
        };
        let label = stream.rsplit('/').next().unwrap_or_default().to_owned();
        let known = known.filter(|known| known.stream == label && known.age() < LONGEST_ABSENCE);
        let is_new = known.is_none();
        let progress = known.unwrap_or(Progress { stream: label, ..Progress::default() });
        let checkpoint = match from {
            Some(from) => from,
            None => progress.checkpoint()?,
        };
        let order = Order::going_on(progress.scan.iter().flat_map(Scan::begun));
        let (iterators, looked_at) = (HashMap::new(), Instant::now());
        let (asked, said) = (None, None);
        let mut way = Self {
            reader,
            query,
            settings,
            stream,
            progress,
            checkpoint,
            iterators,
            order,
            looked_at,
            asked,
            said,
        };
        if is_new {
            way.start_anew().await?;
        } else {
            way.look_for_shards().await?;
        }
        Ok(way)
    }

    /// Reads the whole table, and every shard from its start: first it is seen to where shards start, so that nothing is missed between.
    async fn start_anew(&mut self) -> Result<(), FeedError> {
        self.progress.complete_at = now();
        self.progress.shards = Frontier::of(&shards::describe(&self.reader.client, &self.stream).await?);
        self.progress.scan = Some(Scan::in_segments(self.settings.segments));
        self.iterators.clear();
        self.looked_at = Instant::now();
        Ok(())
    }

    async fn look_for_shards(&mut self) -> Result<(), FeedError> {
        let there = shards::describe(&self.reader.client, &self.stream).await?;
        self.looked_at = Instant::now();
        match self.progress.shards.refresh(&there) {
            Ok(true) if self.progress.age() > LONGEST_LAG => self.repair("whose parent was read late").await,
            Ok(_) => Ok(()),
            Err(Lost(shard)) => self.repair(&shard).await,
        }
    }

    pub(super) async fn repair(&mut self, shard: &str) -> Result<(), FeedError> {
        tracing::warn!(
            table = %self.reader.table, shard,
            "records of the table's stream may be gone that were not read: the table is read once more"
        );
        self.start_anew().await
    }

    async fn round(&mut self, items: &FeedItems) -> Result<(), FeedError> {
        let is_scanning = self.progress.scan.is_some();
        let pause = if is_scanning { BESIDE_A_SCAN } else { self.settings.poll_every };
        if let Some(asked) = self.asked.filter(|_| !is_scanning) {
            tokio::time::sleep_until(asked + pause).await;
        }
        if is_scanning {
            self.scan(items).await?;
        }
        if self.progress.scan.as_ref().is_some_and(Scan::is_done) {
            self.progress.scan = None;
            self.checkpoint = self.progress.checkpoint()?;
        }
        let mut is_quiet = false;
        if self.asked.is_none_or(|asked| asked.elapsed() >= pause) {
            is_quiet = self.ask(items).await?;
            self.asked = Some(Instant::now());
        }
        self.checkpoint = self.progress.checkpoint()?;
        // Of a large table little may match.
        let is_silent = self.said.as_ref().is_none_or(|(at, _)| at.elapsed() >= SAY_EVERY);
        if self.progress.scan.is_some() && is_silent {
            self.said = Some((Instant::now(), self.checkpoint.clone()));
            let _ = items.send(Ok(FeedItem::Passed(self.checkpoint.clone()))).await;
        }
        if is_quiet && self.progress.scan.is_none() && !is_scanning && self.is_to_say() {
            self.said = Some((Instant::now(), self.checkpoint.clone()));
            let _ = items.send(Ok(FeedItem::CaughtUp(Some(self.checkpoint.clone())))).await;
        }
        Ok(())
    }

    /// Takes what all shards have; whether that was nothing.
    async fn ask(&mut self, items: &FeedItems) -> Result<bool, FeedError> {
        let pages = if self.progress.scan.is_some() { PAGES_BESIDE_A_SCAN } else { 1 };
        for _ in 0..pages {
            let has_ends = self.progress.shards.has_ends();
            let look = if has_ends { LOOK_FOR_CHILDREN } else { LOOK_FOR_SHARDS };
            if self.looked_at.elapsed() >= look {
                self.look_for_shards().await?;
            }
            let Some(read) = self.ask_shards(items).await? else { return Ok(false) };
            // What comes after an end is not known yet.
            if !self.progress.shards.has_ends() {
                let until = read.until.min(now()) / COMPLETE_WITHIN * COMPLETE_WITHIN;
                self.progress.complete_at = self.progress.complete_at.max(until);
            }
            if read.is_quiet {
                return Ok(!self.progress.shards.has_ends());
            }
        }
        Ok(false)
    }

    /// That there is nothing more: when that is new, or was not said for a while.
    fn is_to_say(&self) -> bool {
        self.said.as_ref().is_none_or(|(at, said)| *said != self.checkpoint || at.elapsed() >= SAY_EVERY)
    }
}

pub(super) fn now() -> i64 {
    SystemClock.now().as_second()
}
