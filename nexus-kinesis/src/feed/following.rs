//! One subscription: the pages of all shards, as they come.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::Record;
use futures::stream::{SelectAll, StreamExt};
use nexus_core::{
    Checkpoint, Delivery, EventId, FeedError, FeedItem, FeedItems, Query, RecordedEvent, SliceRange,
    StoreError, Subscription, Timestamp, driven,
};
use tokio::time::Instant;

use super::checkpoint::{Progress, now};
use super::lineage::{Gone, Place};
use super::reading::{self, Page, Pages};
use super::{Settings, fan_out, polling};
use crate::client::Client;
use crate::place::Keys;
use crate::streams;

/// Who has nothing says so this often.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// Between two looks for the children of a shard that has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A shard from which nothing was heard for so long may have more.
const SILENCE: Duration = Duration::from_secs(10);

/// For so many shards a checkpoint is written anew with each record.
const SHARDS_A_RECORD: usize = 64;

/// To how many seconds it is noted up to when all was read: each change of a checkpoint is written somewhere.
const COMPLETE_WITHIN: i64 = 600;

/// Clocks may be wrong by minutes.
const MARGIN: i64 = 900;

/// Everything after `from`. It goes on while it is polled, by who polls it, and is an item ahead at most.
pub(super) fn follow(
    client: Client,
    query: Query,
    settings: Settings,
    slices: SliceRange,
    from: Option<Checkpoint>,
) -> Subscription {
    driven(async move |items| Way::walk(client, query, settings, slices, from, &items).await)
}

/// A subscription that is under way.
struct Way {
    client: Client,
    query: Query,
    settings: Settings,
    slices: SliceRange,
    /// For how long the stream keeps records, in seconds.
    kept: i64,
    /// The hash keys of the shards that are being read.
    keys: HashMap<String, Keys>,
    consumer: Option<Arc<str>>,
    progress: Progress,
    /// As it is after what was handed on last.
    checkpoint: Checkpoint,
    pages: SelectAll<Pages>,
    /// The shards that are being read, and what was heard of each.
    heard: HashMap<String, Heard>,
    /// Shards that were read to their ends, whose children are not known yet.
    ended: HashSet<String>,
    /// When it is looked again which shards there are: where one has ended whose children are not known.
    look_at: Option<Instant>,
    said_at: Instant,
    said: Option<Checkpoint>,
    /// Whether something was read since.
    has_heard: bool,
}

/// What was heard of a shard; nothing at first.
#[derive(Clone, Copy, Default)]
struct Heard {
    /// Up to when all of it was read, in seconds since 1970.
    until: Option<i64>,
    /// When a page last came to the shard's end, as it was then, unless a later one did not.
    quiet_at: Option<Instant>,
}

impl Way {
    async fn walk(
        client: Client,
        query: Query,
        settings: Settings,
        slices: SliceRange,
        from: Option<Checkpoint>,
        items: &FeedItems,
    ) -> Result<(), FeedError> {
        let mut way = Self::begin(client, query, settings, slices, from).await?;
        loop {
            let (say, look) = (way.say_at(), way.look_at);
            tokio::select! {
                Some(page) = way.pages.next() => way.take(page?, items).await?,
                () = tokio::time::sleep_until(say) => way.say(items).await,
                () = until(look) => way.look_for_shards().await?,
            }
        }
    }

    async fn begin(
        client: Client,
        query: Query,
        settings: Settings,
        slices: SliceRange,
        from: Option<Checkpoint>,
    ) -> Result<Self, FeedError> {
        let known = from.as_ref().map(Progress::read).transpose()?;
        let unavailable = |error| StoreError::unavailable("follow a stream", error);
        let described = streams::describe(&client).await.map_err(unavailable)?;
        let kept = i64::from(described.retention_period_hours()) * 3_600;
        let known = match known {
            Some(known) => Some(still_kept(&client, known, kept).await?),
            None => None,
        };
        let consumer = match &settings.fan_out {
            Some(name) => Some(fan_out::register(&client, name).await?),
            None => None,
        };
        let progress = known.unwrap_or_default();
        let checkpoint = match from {
            Some(from) => from,
            None => progress.checkpoint()?,
        };
        let mut way = Self {
            client,
            query,
            settings,
            slices,
            kept,
            keys: HashMap::new(),
            consumer,
            progress,
            checkpoint,
            pages: SelectAll::new(),
            heard: HashMap::new(),
            ended: HashSet::new(),
            look_at: None,
            said_at: Instant::now(),
            said: None,
            has_heard: false,
        };
        way.look_for_shards().await?;
        Ok(way)
    }

    /// Begins to read what can be read now.
    async fn look_for_shards(&mut self) -> Result<(), FeedError> {
        let there = reading::shards(&self.client).await?;
        self.ended.retain(|shard| {
            let has_children = there.iter().any(|child| child.parents.contains(shard));
            if has_children {
                self.progress.shards.is_at(shard, Place::End);
            }
            !has_children
        });
        if let Err(Gone(shard)) = self.progress.shards.refresh(self.slices, &there) {
            let gone = format!("shard {shard} is gone");
            return Err(expired(&self.client, self.progress.complete_at, &gone));
        }
        self.checkpoint = self.progress.checkpoint()?;
        let is_new = |shard: &str| !self.heard.contains_key(shard) && !self.ended.contains(shard);
        let open = self.progress.shards.open().filter(|(shard, _)| is_new(shard));
        let new: Vec<(String, Place)> =
            open.map(|(shard, place)| (shard.to_owned(), place.clone())).collect();
        // A shard has ended whose children are not told of yet; or there is none at all.
        let is_waiting = !self.ended.is_empty() || (new.is_empty() && self.heard.is_empty());
        self.keys = there.into_iter().map(|shard| (shard.id, shard.keys)).collect();
        for (shard, place) in new {
            self.heard.insert(shard.clone(), Heard::default());
            let client = self.client.clone();
            let is_own = self.keys.get(&shard).is_some_and(|keys| keys.is_within(self.slices));
            self.pages.push(match &self.consumer {
                Some(consumer) if is_own => fan_out::pages(client, Arc::clone(consumer), shard, place),
                _ => polling::pages(client, shard, place, self.settings.poll_every),
            });
        }
        self.look_at = is_waiting.then(|| Instant::now() + LOOK_EVERY);
        Ok(())
    }

    /// Hands on what a shard has.
    async fn take(&mut self, page: Page, items: &FeedItems) -> Result<(), FeedError> {
        self.has_heard = true;
        let Page { shard, records, after, behind } = page;
        self.is_in_time(&shard, behind).await?;
        let source: Arc<str> = shard.as_str().into();
        // With many shards a checkpoint is long: then what is noted is every so many records.
        let every = 1 + self.heard.len() / SHARDS_A_RECORD;
        let (count, mut events) = (records.len(), Vec::new());
        for (number, record) in (1..).zip(records) {
            events.extend(self.events(&shard, &record)?);
            if number % every > 0 && number < count {
                continue;
            }
            let is_last = number == count;
            // That it has ended is noted together with its children: who has the one in a checkpoint has the others.
            let place = match &after {
                Place::After(_) | Place::Start if is_last => after.clone(),
                _ => Place::After(record.sequence_number),
            };
            let last = events.pop();
            // They all come again, if this is where it ends.
            for event in events.drain(..) {
                self.hand_on(event, &source, items).await;
            }
            self.is_at(&shard, place, is_last.then_some(behind))?;
            if let Some(event) = last {
                self.hand_on(event, &source, items).await;
            }
        }
        if after == Place::End {
            self.heard.remove(&shard);
            self.ended.insert(shard);
            self.look_for_shards().await?;
        } else if count == 0 {
            self.is_at(&shard, after, Some(behind))?;
        }
        if self.is_new_to_say() {
            self.say(items).await;
        }
        Ok(())
    }

    /// Who lags by as much as the stream keeps reads on from what is left, and Kinesis does not say that something is gone.
    async fn is_in_time(&mut self, shard: &str, behind: i64) -> Result<(), FeedError> {
        if behind / 1_000 <= self.kept - MARGIN {
            return Ok(());
        }
        let Some(number) = self.progress.shards.read_last(shard).map(str::to_owned) else { return Ok(()) };
        if reading::is_there(&self.client, shard, &number).await? {
            return Ok(());
        }
        let why = format!("shard {shard} is read more slowly than records are kept");
        Err(expired(&self.client, now() - behind / 1_000, &why))
    }

    fn events(&self, shard: &str, record: &Record) -> Result<Vec<RecordedEvent>, FeedError> {
        match reading::events(&self.client, shard, record) {
            Ok(mut events) => {
                self.are_in_place(shard, &events)?;
                events.retain(|event| self.slices.contains(event.slice()) && self.query.matches(event));
                Ok(events)
            }
            Err(error) if self.settings.skips_unreadable => {
                let stream = self.client.stream.to_string();
                let error = &*error as &dyn std::error::Error;
                tracing::error!(stream, error, "a record was passed over that is no event");
                metrics::counter!("nexus_kinesis_unreadable_records_total", "stream" => stream).increment(1);
                Ok(Vec::new())
            }
            Err(error) => Err(StoreError::corrupt("a record", error).into()),
        }
    }

    /// Who shares a stream relies on it that all of a slice is in the shards that have it: what was put elsewhere would be missed by somebody.
    fn are_in_place(&self, shard: &str, events: &[RecordedEvent]) -> Result<(), FeedError> {
        if self.slices == SliceRange::ALL {
            return Ok(());
        }
        let Some(keys) = self.keys.get(shard) else { return Ok(()) };
        match events.iter().find(|event| !keys.has_some_of_slice(event.slice())) {
            None => Ok(()),
            Some(event) => {
                let (event, stream) = (event.id(), self.client.stream.to_string());
                let misplaced = Misplaced { event, shard: shard.to_owned(), stream };
                Err(StoreError::corrupt("a stream in parts", misplaced).into())
            }
        }
    }

    async fn hand_on(&mut self, event: RecordedEvent, shard: &Arc<str>, items: &FeedItems) {
        let delivery = Delivery::new(event, self.checkpoint.clone()).from_shard(Arc::clone(shard));
        let _ = items.send(Ok(FeedItem::Event(delivery))).await;
    }

    /// Notes how far a shard is, and how far behind its end that is, in milliseconds, where that is known.
    fn is_at(&mut self, shard: &str, place: Place, behind: Option<i64>) -> Result<(), FeedError> {
        let has_moved = self.progress.shards.is_at(shard, place);
        if let Some(behind) = behind {
            let (until, quiet_at) = (Some(now() - behind / 1_000), (behind == 0).then(Instant::now));
            self.heard.insert(shard.to_owned(), Heard { until, quiet_at });
        }
        let complete_at = self.complete_at().max(self.progress.complete_at);
        if has_moved || complete_at > self.progress.complete_at {
            self.progress.complete_at = complete_at;
            self.checkpoint = self.progress.checkpoint()?;
        }
        Ok(())
    }

    /// Up to when all shards were read.
    fn complete_at(&self) -> i64 {
        let until = self.heard.values().map(|heard| heard.until.unwrap_or(i64::MIN)).min();
        until.map_or(i64::MIN, |until| until / COMPLETE_WITHIN * COMPLETE_WITHIN)
    }

    /// Whether nothing more is there of any shard.
    fn has_caught_up(&self) -> bool {
        let is_quiet = |heard: &Heard| heard.quiet_at.is_some_and(|at| at.elapsed() < SILENCE);
        self.look_at.is_none() && !self.heard.is_empty() && self.heard.values().all(is_quiet)
    }

    fn is_new_to_say(&self) -> bool {
        self.has_caught_up() && self.said.as_ref() != Some(&self.checkpoint)
    }

    fn say_at(&self) -> Instant {
        self.said_at + SAY_EVERY
    }

    /// That there is nothing more; or how far it is, where it has said nothing for a while.
    async fn say(&mut self, items: &FeedItems) {
        self.said_at = Instant::now();
        let has_heard = std::mem::take(&mut self.has_heard);
        let said = if self.has_caught_up() {
            self.said = Some(self.checkpoint.clone());
            FeedItem::CaughtUp(Some(self.checkpoint.clone()))
        } else if has_heard {
            FeedItem::Passed(self.checkpoint.clone())
        } else {
            return;
        };
        let _ = items.send(Ok(said)).await;
    }
}

/// A checkpoint after which nothing is gone.
async fn still_kept(client: &Client, known: Progress, kept: i64) -> Result<Progress, FeedError> {
    // One from the future was noted by a clock that was wrong: it says nothing about how old it is.
    let is_from_future = known.complete_at > now() + MARGIN;
    if !is_from_future && now() - known.complete_at <= kept - MARGIN {
        return Ok(known);
    }
    if !is_all_there(client, &known).await? {
        return Err(expired(client, known.complete_at, "that is as long as it keeps records"));
    }
    // What is kept was published since then.
    let complete_at = if is_from_future { now() - kept + MARGIN } else { known.complete_at };
    Ok(Progress { complete_at, ..known })
}

/// Whether nothing is gone of what comes after a place, though that is old: the record that was read last is there, or nothing was read yet.
async fn is_all_there(client: &Client, progress: &Progress) -> Result<bool, StoreError> {
    for (shard, place) in progress.shards.open() {
        let is_there = match place {
            Place::After(number) => reading::is_there(client, shard, number).await?,
            // Of a shard of which nothing was ever heard nothing is missed.
            Place::Start => progress.complete_at == 0,
            Place::End => true,
        };
        if !is_there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Somebody else has published it.
#[derive(Debug, thiserror::Error)]
#[error(
    "event {event} is in shard {shard} of stream {stream}, which does not have its slice: several consumers can share only what KinesisPublisher has published"
)]
struct Misplaced {
    event: EventId,
    shard: String,
    stream: String,
}

fn expired(client: &Client, read_at: i64, why: &str) -> FeedError {
    FeedError::Expired {
        feed: format!("Kinesis stream {}", client.stream),
        read_at: Timestamp::from_second(read_at).unwrap_or(Timestamp::UNIX_EPOCH),
        why: why.to_owned(),
    }
}

/// Resolves then; never where there is no time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
