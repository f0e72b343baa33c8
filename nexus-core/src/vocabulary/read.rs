use jiff::Timestamp;

use super::{Position, StreamVersion};

/// Which way a read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Oldest first.
    Forwards,
    /// Newest first.
    Backwards,
}

/// Which events of a stream, or of a log, are read and in which order.
///
/// `At` is [`StreamVersion`] for a stream and [`Position`] for a log; it follows from where the options are used.
/// Bounds mean the same in both directions. Where several bounds are given, all hold.
///
/// ```
/// use nexus_core::{ReadOptions, StreamVersion};
///
/// # fn read(_: ReadOptions<StreamVersion>) {}
/// # let version = StreamVersion::FIRST;
/// read(ReadOptions::forwards());
/// read(ReadOptions::backwards().before(version).limit(50));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions<At> {
    direction: Direction,
    first: Option<At>,
    last: Option<At>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    limit: Option<u64>,
    page: usize,
}

/// The places a log or stream counts by: [`StreamVersion`] and [`Position`].
pub trait Place: Copy + Ord + Send + Sync + Unpin + 'static + sealed::Sealed {
    #[doc(hidden)]
    fn up(self) -> Self;
    #[doc(hidden)]
    fn down(self) -> Option<Self>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::StreamVersion {}
    impl Sealed for super::Position {}
}

impl Place for StreamVersion {
    fn up(self) -> Self {
        self.next()
    }
    fn down(self) -> Option<Self> {
        self.previous()
    }
}

impl Place for Position {
    fn up(self) -> Self {
        self.next()
    }
    fn down(self) -> Option<Self> {
        self.previous()
    }
}

impl<At: Place> ReadOptions<At> {
    /// How many events a store fetches at a time, unless told otherwise: 1,024.
    pub const PAGE: usize = 1_024;

    /// Everything, oldest first.
    pub fn forwards() -> Self {
        Self::towards(Direction::Forwards)
    }

    /// Everything, newest first.
    pub fn backwards() -> Self {
        Self::towards(Direction::Backwards)
    }

    fn towards(direction: Direction) -> Self {
        Self { direction, first: None, last: None, since: None, until: None, limit: None, page: Self::PAGE }
    }

    /// Only events at `at` or later.
    #[must_use]
    pub fn from(mut self, at: At) -> Self {
        self.first = self.first.max(Some(at));
        self
    }

    /// Only events later than `at`; `None` is before the first event, as a consumer's first checkpoint is.
    #[must_use]
    pub fn after(self, at: impl Into<Option<At>>) -> Self {
        match at.into() {
            None => self,
            // Nothing is later than the last place there is.
            Some(at) if at.up() == at => self.nothing(),
            Some(at) => self.from(at.up()),
        }
    }

    /// Only events at `at` or earlier.
    #[must_use]
    pub fn to(mut self, at: At) -> Self {
        self.last = Some(self.last.map_or(at, |last| last.min(at)));
        self
    }

    /// Only events earlier than `at`.
    #[must_use]
    pub fn before(self, at: At) -> Self {
        match at.down() {
            Some(at) => self.to(at),
            None => self.nothing(),
        }
    }

    /// Only events recorded at `time` or later.
    #[must_use]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = self.since.max(Some(time));
        self
    }

    /// Only events recorded at `time` or earlier.
    #[must_use]
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(self.until.map_or(time, |until| until.min(time)));
        self
    }

    /// At most `count` events.
    #[must_use]
    pub fn limit(mut self, count: u64) -> Self {
        self.limit = Some(self.limit.map_or(count, |limit| limit.min(count)));
        self
    }

    /// Fetches `events` at a time, 1 at least: memory against round trips. The result is the same.
    #[must_use]
    pub fn page_size(self, events: usize) -> Self {
        Self { page: events.max(1), ..self }
    }

    /// The same, fetching `events` at a time at most.
    #[must_use]
    pub fn page_size_at_most(self, events: usize) -> Self {
        let page = self.page.min(events);
        self.page_size(page)
    }

    fn nothing(self) -> Self {
        self.limit(0)
    }

    /// Oldest or newest first.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The lowest place that is read.
    pub fn first(&self) -> Option<At> {
        self.first
    }

    /// The highest place that is read.
    pub fn last(&self) -> Option<At> {
        self.last
    }

    /// The earliest time that is read.
    pub fn earliest(&self) -> Option<Timestamp> {
        self.since
    }

    /// The latest time that is read.
    pub fn latest(&self) -> Option<Timestamp> {
        self.until
    }

    /// How many events are read at most.
    pub fn max_events(&self) -> Option<u64> {
        self.limit
    }

    /// How many events are fetched at a time.
    pub fn events_per_page(&self) -> usize {
        self.page
    }

    /// Whether an event at `at`, recorded at `time`, lies within the bounds.
    pub fn includes(&self, at: At, time: Timestamp) -> bool {
        self.first.is_none_or(|first| first <= at)
            && self.last.is_none_or(|last| at <= last)
            && self.since.is_none_or(|since| since <= time)
            && self.until.is_none_or(|until| time <= until)
    }

    /// What is left to read after an event at `at` was the last one of a page of `count`.
    #[must_use]
    pub fn resumed(self, at: At, count: u64) -> Self {
        let left = self.limit.map(|limit| limit.saturating_sub(count));
        let rest = match self.direction {
            Direction::Forwards => self.after(at),
            Direction::Backwards => self.before(at),
        };
        match left {
            Some(left) => Self { limit: Some(rest.limit.map_or(left, |limit| limit.min(left))), ..rest },
            None => rest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u64) -> StreamVersion {
        StreamVersion::new(number).unwrap()
    }

    #[test]
    fn bounds_narrow_and_never_widen() {
        let options =
            ReadOptions::forwards().from(version(3)).after(version(1)).to(version(9)).before(version(20));
        assert_eq!((options.first(), options.last()), (Some(version(3)), Some(version(9))));
        assert_eq!(ReadOptions::<StreamVersion>::forwards().limit(5).limit(9).max_events(), Some(5));
    }

    #[test]
    fn there_is_nothing_before_the_first_and_after_the_last() {
        assert_eq!(ReadOptions::forwards().before(version(1)).max_events(), Some(0));
        assert_eq!(ReadOptions::forwards().after(StreamVersion::LAST).max_events(), Some(0));
        assert_eq!(ReadOptions::<StreamVersion>::forwards().after(None).first(), None);
    }

    #[test]
    fn a_read_resumes_where_it_stopped() {
        let forwards = ReadOptions::forwards().limit(10).resumed(version(4), 4);
        assert_eq!((forwards.first(), forwards.max_events()), (Some(version(5)), Some(6)));
        let backwards = ReadOptions::backwards().resumed(version(4), 4);
        assert_eq!((backwards.last(), backwards.max_events()), (Some(version(3)), None));
        assert_eq!(ReadOptions::backwards().resumed(version(1), 1).max_events(), Some(0));
    }
}
