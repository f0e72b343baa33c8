use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use futures::Stream;

use super::EventStream;
use crate::vocabulary::{Place, ReadOptions, RecordedEvent, StoreError};

/// Some of the events of a read, in its order.
#[derive(Debug)]
pub enum Page {
    /// There may be more after these; there is at least one.
    More(Vec<RecordedEvent>),
    /// These are the last.
    Last(Vec<RecordedEvent>),
}

/// Makes one stream of the pages that a backend fetches: keyset paging, the next page fetched while this one is
/// handled.
///
/// `fetch` gets the options of what is still to be read and answers with the first of it: at most
/// [`events_per_page`](ReadOptions::events_per_page) and never more than
/// [`max_events`](ReadOptions::max_events). It should start its work when it is called, not when its future is
/// first polled, so that fetching and handling overlap. `place` tells where an event stands.
///
/// For backends.
pub fn pages<At, Fetch, Fetched>(
    options: ReadOptions<At>,
    place: fn(&RecordedEvent) -> Option<At>,
    fetch: Fetch,
) -> EventStream<'static>
where
    At: Place,
    Fetch: Fn(ReadOptions<At>) -> Fetched + Send + Unpin + 'static,
    Fetched: Future<Output = Result<Page, StoreError>> + Send + 'static,
{
    Box::pin(Pages { fetch, place, ready: Vec::new().into_iter(), rest: Rest::Unfetched(options) })
}

struct Pages<At, Fetch, Fetched> {
    fetch: Fetch,
    place: fn(&RecordedEvent) -> Option<At>,
    ready: vec::IntoIter<RecordedEvent>,
    rest: Rest<At, Fetched>,
}

enum Rest<At, Fetched> {
    Unfetched(ReadOptions<At>),
    Fetching(Pin<Box<Fetched>>, ReadOptions<At>),
    Nothing,
}

impl<At, Fetch, Fetched> Pages<At, Fetch, Fetched>
where
    At: Place,
    Fetch: Fn(ReadOptions<At>) -> Fetched,
{
    fn fetch(&self, options: ReadOptions<At>) -> Rest<At, Fetched> {
        let is_passed = options.first().zip(options.last()).is_some_and(|(first, last)| first > last);
        if is_passed || options.max_events() == Some(0) {
            return Rest::Nothing;
        }
        Rest::Fetching(Box::pin((self.fetch)(options.clone())), options)
    }

    fn take(&mut self, page: Page, options: ReadOptions<At>) {
        let (events, more) = match page {
            Page::More(events) => (events, true),
            Page::Last(events) => (events, false),
        };
        let last = events.last().and_then(self.place).filter(|_| more);
        self.rest = match last {
            Some(last) => self.fetch(options.resumed(last, events.len() as u64)),
            None => Rest::Nothing,
        };
        self.ready = events.into_iter();
    }
}

impl<At, Fetch, Fetched> Stream for Pages<At, Fetch, Fetched>
where
    At: Place,
    Fetch: Fn(ReadOptions<At>) -> Fetched + Unpin,
    Fetched: Future<Output = Result<Page, StoreError>>,
{
    type Item = Result<RecordedEvent, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(event) = this.ready.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            match &mut this.rest {
                Rest::Nothing => return Poll::Ready(None),
                Rest::Unfetched(options) => {
                    let options = options.clone();
                    this.rest = this.fetch(options);
                }
                Rest::Fetching(fetched, options) => {
                    let page = ready!(fetched.as_mut().poll(context));
                    let options = options.clone();
                    match page {
                        Ok(page) => this.take(page, options),
                        Err(error) => {
                            this.rest = Rest::Nothing;
                            return Poll::Ready(Some(Err(error)));
                        }
                    }
                }
            }
        }
    }
}
