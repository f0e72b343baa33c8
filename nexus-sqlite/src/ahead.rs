//! Long reads of the log: ranges of positions, of which some are read at once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::Peekable;
use futures::{Stream, StreamExt, stream};
use nexus_core::{Direction, EventStream, Position, Query, ReadOptions, RecordedEvent, StoreError};

/// So many ranges are read at once: more would only wait for those who take them.
const AT_ONCE: usize = 2;

/// So many pages have to be left for it to be worth while.
const FAR: u64 = 4;

/// Whether a read may go through so much.
pub(crate) fn is_long(query: &Query, options: &ReadOptions<Position>) -> bool {
    let is_plain = query.is_all() && options.direction() == Direction::Forwards;
    let is_whole =
        options.earliest().is_none() && options.latest().is_none() && options.max_events().is_none();
    is_plain && is_whole && options.last().is_none_or(|last| is_far(options, last))
}

fn is_far(options: &ReadOptions<Position>, last: Position) -> bool {
    let first = options.first().unwrap_or(Position::FIRST);
    last > first.plus(FAR.saturating_mul(options.events_per_page() as u64))
}

/// What `options` name, of a log that ends at `head`, by reads of its parts.
pub(crate) fn ranges<Read>(
    options: ReadOptions<Position>,
    head: Option<Position>,
    read: Read,
) -> EventStream<'static>
where
    Read: Fn(ReadOptions<Position>) -> EventStream<'static> + Send + Unpin + 'static,
{
    let end = options.last().map_or(head, |last| head.map(|head| head.min(last)));
    match end.filter(|end| is_far(&options, *end)) {
        Some(end) => {
            let next = Some(options.first().unwrap_or(Position::FIRST));
            let under_way = VecDeque::with_capacity(AT_ONCE);
            Box::pin(Ranges { read, options, under_way, next, end, rest: None })
        }
        None => read(options),
    }
}

type Range = Pin<Box<Peekable<EventStream<'static>>>>;

struct Ranges<Read> {
    read: Read,
    options: ReadOptions<Position>,
    under_way: VecDeque<Range>,
    /// Where the next one begins, if there is one.
    next: Option<Position>,
    /// The last of the ranges ends here: what was stored later may not have been there for all of them.
    end: Position,
    /// What was stored later.
    rest: Option<EventStream<'static>>,
}

impl<Read: Fn(ReadOptions<Position>) -> EventStream<'static>> Ranges<Read> {
    /// Begins with the next ranges, as far as there is room for them.
    fn begin(&mut self, context: &mut Context<'_>) {
        while self.under_way.len() < AT_ONCE
            && let Some(first) = self.next
        {
            let page = self.options.events_per_page();
            let last = first.plus(page as u64 - 1).min(self.end);
            let options = ReadOptions::forwards().from(first).to(last).page_size(page);
            let mut range = Box::pin((self.read)(options).peekable());
            // Its work starts with this; what it yields is taken when its turn comes.
            let _ = range.as_mut().poll_peek(context);
            self.under_way.push_back(range);
            self.next = (last < self.end).then(|| last.next());
        }
    }

    /// Nothing comes after an error.
    fn give_up(&mut self) {
        self.under_way.clear();
        self.next = None;
        self.rest = Some(stream::empty().boxed());
    }
}

impl<Read> Stream for Ranges<Read>
where
    Read: Fn(ReadOptions<Position>) -> EventStream<'static> + Unpin,
{
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(rest) = &mut this.rest {
                return rest.as_mut().poll_next(context);
            }
            this.begin(context);
            let Some(front) = this.under_way.front_mut() else {
                this.rest = Some((this.read)(this.options.clone().after(this.end)));
                continue;
            };
            match ready!(front.as_mut().poll_next(context)) {
                None => drop(this.under_way.pop_front()),
                Some(Ok(event)) => return Poll::Ready(Some(Ok(event))),
                Some(Err(error)) => {
                    this.give_up();
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn at(number: u64) -> Position {
        Position::new(number).unwrap()
    }

    /// Which ranges are read of a log that ends at `head`, each of which is empty.
    async fn read(options: ReadOptions<Position>, head: u64) -> Vec<(Option<u64>, Option<u64>)> {
        let read = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&read);
        let number = |position: Option<Position>| position.map(Position::get);
        let events = ranges(options, Position::new(head).ok(), move |options| {
            noted.lock().unwrap().push((number(options.first()), number(options.last())));
            stream::empty().boxed()
        });
        assert_eq!(events.count().await, 0);
        let read = read.lock().unwrap();
        read.clone()
    }

    #[tokio::test]
    async fn a_long_read_is_made_of_ranges_and_of_what_came_later() {
        let ten = ReadOptions::forwards().page_size(10);
        let some = |first, last| (Some(first), Some(last));
        let ranges = [some(1, 10), some(11, 20), some(21, 30), some(31, 40), some(41, 45)];
        assert_eq!(read(ten.clone(), 45).await, [&ranges[..], &[(Some(46), None)]].concat());
        assert_eq!(read(ten.clone(), 41).await, [(None, None)], "it is not far");
        assert_eq!(read(ten.clone().from(at(3)).to(at(44)), 90).await[4..], [some(43, 44), some(45, 44)]);
    }

    #[tokio::test]
    async fn nothing_comes_after_an_error() {
        let events = ranges(ReadOptions::forwards().page_size(1), Position::new(9).ok(), |_| {
            stream::iter([Err(StoreError::unavailable("read", "no"))]).boxed()
        });
        assert_eq!(events.count().await, 1);
    }

    #[test]
    fn only_the_whole_log_is_long() {
        let all = ReadOptions::forwards();
        assert!(is_long(&Query::all(), &all));
        for options in [all.clone().to(at(4_097)), all.limit(1_000_000), ReadOptions::backwards()] {
            assert!(!is_long(&Query::all(), &options));
        }
    }
}
