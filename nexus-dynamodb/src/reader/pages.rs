//! A read of a stream, page by page.

use std::collections::VecDeque;
use std::sync::Arc;

use nexus_core::{
    Direction, EventStream, Page, ReadOptions, RecordedEvent, StoreError, StreamId, StreamVersion, pages,
};
use tokio::sync::Mutex;

use super::Reader;
use crate::items::{CommitItem, Item};
use crate::on_task::OnTask;

/// How often it is looked again for commits that are missing between others.
const LOOKS: u32 = 10;

pub(super) fn read(
    reader: Reader,
    stream: StreamId,
    options: ReadOptions<StreamVersion>,
) -> EventStream<'static> {
    let reading = Reading {
        reader,
        stream,
        options: options.clone(),
        from: options.first(),
        next: Next::Start,
        ready: VecDeque::new(),
        expected: None,
        looks: 0,
    };
    let reading = Arc::new(Mutex::new(reading));
    pages(
        options,
        |event| Some(event.version()),
        move |rest| {
            let reading = Arc::clone(&reading);
            OnTask::start("read a stream", async move { reading.lock().await.page(&rest).await })
        },
    )
}

/// What is read of a stream, and how far it is.
struct Reading {
    reader: Reader,
    stream: StreamId,
    options: ReadOptions<StreamVersion>,
    /// Where it goes on, forwards, after a start.
    from: Option<StreamVersion>,
    next: Next,
    /// Read, and not handed out yet: a commit may be larger than a page.
    ready: VecDeque<RecordedEvent>,
    /// The version that has to come next, forwards.
    expected: Option<StreamVersion>,
    looks: u32,
}

enum Next {
    Start,
    After(Item),
    End,
}

impl Reading {
    async fn page(&mut self, rest: &ReadOptions<StreamVersion>) -> Result<Page, StoreError> {
        let most = rest.max_events().and_then(|events| usize::try_from(events).ok()).unwrap_or(usize::MAX);
        let wanted = rest.events_per_page().min(most);
        while self.ready.len() < wanted && !matches!(self.next, Next::End) {
            self.fetch(wanted - self.ready.len()).await?;
        }
        let events: Vec<RecordedEvent> = self.ready.drain(..wanted.min(self.ready.len())).collect();
        let is_last = events.is_empty() || (self.ready.is_empty() && matches!(self.next, Next::End));
        Ok(if is_last { Page::Last(events) } else { Page::More(events) })
    }

    /// A commit has one event at least.
    async fn fetch(&mut self, commits: usize) -> Result<(), StoreError> {
        let is_forwards = self.options.direction() == Direction::Forwards;
        let (is_start, after) = match std::mem::replace(&mut self.next, Next::End) {
            Next::Start => (true, None),
            Next::After(key) => (false, Some(key)),
            Next::End => return Ok(()),
        };
        // Backwards, the commit that the range starts in starts before it.
        let from = self.from.filter(|_| is_forwards);
        let call = self.reader.query(&self.stream, from, self.options.last());
        let call = call.consistent_read(true).scan_index_forward(is_forwards).set_exclusive_start_key(after);
        let limit = i32::try_from(commits).unwrap_or(i32::MAX);
        let (mut found, more) = self.reader.fetch(&self.stream, call.limit(limit)).await?;
        if is_start && is_forwards && self.expected.is_none() {
            let start = from.unwrap_or(StreamVersion::FIRST);
            self.expected = Some(start);
            let starts = found.first().is_some_and(|commit| commit.first == start);
            if !starts && let Some(covering) = self.before(start).await? {
                self.expected = Some(covering.first);
                found.insert(0, covering);
            }
        }
        self.next = more.map_or(Next::End, Next::After);
        self.remember_the_end(&found, is_start, is_forwards)?;
        for commit in found {
            if !self.take(commit, is_forwards)? {
                break;
            }
        }
        Ok(())
    }

    /// The commit before the one that would start there: it may end after that.
    async fn before(&self, start: StreamVersion) -> Result<Option<CommitItem>, StoreError> {
        let Some(before) = start.previous() else { return Ok(None) };
        if self.reader.tails.known(&self.stream).is_some_and(|tail| tail.last == before) {
            return Ok(None);
        }
        let call = self.reader.query(&self.stream, None, Some(before)).scan_index_forward(false).limit(1);
        let (found, _) = self.reader.fetch(&self.stream, call.consistent_read(true)).await?;
        Ok(found.into_iter().next())
    }

    /// Takes a commit's events; whether more may follow.
    fn take(&mut self, commit: CommitItem, is_forwards: bool) -> Result<bool, StoreError> {
        if is_forwards && self.expected.is_some_and(|expected| expected != commit.first) {
            return self.look_again(commit.first);
        }
        let recorded_at = commit.recorded_at;
        let mut events = commit.into_events(&self.reader.names)?;
        // Times never go back within a stream.
        let is_past = match is_forwards {
            true => self.options.latest().is_some_and(|latest| latest < recorded_at),
            false => self.options.earliest().is_some_and(|earliest| recorded_at < earliest),
        };
        let is_before = events.last().zip(self.options.first());
        let is_before = !is_forwards && is_before.is_some_and(|(event, first)| event.version() < first);
        if is_past || is_before {
            self.next = Next::End;
            return Ok(false);
        }
        (self.expected, self.looks) = (events.last().map(|event| event.version().next()), 0);
        if !is_forwards {
            events.reverse();
        }
        let options = &self.options;
        self.ready.extend(
            events.into_iter().filter(|event| options.includes(event.version(), event.recorded_at())),
        );
        Ok(true)
    }

    /// A commit was stored while the page was read, and one after it, which alone was seen.
    fn look_again(&mut self, found: StreamVersion) -> Result<bool, StoreError> {
        self.looks += 1;
        if self.looks > LOOKS {
            let what = format!("stream {} before version {found}", self.stream);
            return Err(StoreError::corrupt(what, "events are missing"));
        }
        (self.from, self.next) = (self.expected, Next::Start);
        Ok(false)
    }

    fn remember_the_end(
        &self,
        found: &[CommitItem],
        is_start: bool,
        is_forwards: bool,
    ) -> Result<(), StoreError> {
        let last = match (is_forwards, &self.next) {
            _ if self.options.last().is_some() => None,
            (true, Next::End) => found.last(),
            (false, _) if is_start => found.first(),
            _ => None,
        };
        if let Some(last) = last {
            self.reader.tails.saw(&self.stream, last.tail()?);
        }
        Ok(())
    }
}
