//! A feed that is followed in parts: with several claims, a subscription for each.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use super::chunks::{Chunk, Chunks};
use super::commit::Held;
use super::source::Source;
use super::worker::Worker;
use crate::domain::Projection;
use crate::port::{EventFeed, FeedError, Subscription};
use crate::runtime::LogFeed;
use crate::vocabulary::{Checkpoint, Slice, SliceRange};

/// The chunks of a feed, or of parts of it.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Part>,
    /// The one that is asked first: each has its turn.
    turn: usize,
}

#[derive(Debug)]
struct Part {
    of: Option<u16>,
    chunks: Chunks,
    is_live: bool,
}

impl Parts {
    /// Of each subscription the first slice of the part that it is of, where it is one.
    pub(super) fn of(subscriptions: Vec<(Option<u16>, Subscription)>, size: usize) -> Self {
        let part = |(of, subscription)| Part { of, chunks: Chunks::of(subscription, size), is_live: false };
        Self { parts: subscriptions.into_iter().map(part).collect(), turn: 0 }
    }

    /// The next chunk of any of them. `None` when a subscription has ended. It is the last one for now where that is so of all parts.
    pub(super) async fn next(&mut self) -> Option<Result<Chunk, FeedError>> {
        poll_fn(|context| {
            for _ in 0..self.parts.len() {
                self.turn = (self.turn + 1) % self.parts.len();
                let part = &mut self.parts[self.turn];
                let Poll::Ready(next) = part.chunks.poll_next(context) else { continue };
                let Some(Ok(mut chunk)) = next else { return Poll::Ready(next) };
                (part.is_live, chunk.part) = (chunk.is_last, part.of);
                chunk.is_last = self.parts.iter().all(|part| part.is_live);
                return Poll::Ready(Some(Ok(chunk)));
            }
            Poll::Pending
        })
        .await
    }
}

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// What it follows: with several claims on a feed, a part of it for each.
    pub(super) fn subscriptions(&self) -> Vec<(Option<u16>, Subscription)> {
        let feed = match &self.shared.source {
            Source::Log(log) => {
                let feed = LogFeed::over(Arc::clone(log), self.shared.query.clone());
                let feed = feed.page_size(self.shared.settings.batch);
                return vec![(None, feed.subscribe(self.cursor().map(Checkpoint::at)))];
            }
            Source::Feed { feed, .. } | Source::AsDelivered(feed) | Source::Unordered(feed) => feed,
        };
        let Some(parts) = feed.in_parts() else {
            let from = self.held.first().and_then(|held| held.claim.checkpoint.clone());
            return vec![(None, feed.subscribe(from))];
        };
        let of = |held: &Held| {
            let (first, last) = (held.claim.first, held.claim.last);
            let slices = SliceRange::new(Slice::new(first)?, Slice::new(last)?)?;
            Some((Some(first), parts.subscribe_to(slices, held.claim.checkpoint.clone())))
        };
        self.held.iter().filter_map(of).collect()
    }

    /// What is held of what is being taken in.
    pub(super) fn held_of_part(&self) -> Arc<Vec<Held>> {
        match self.part {
            Some(part) if self.held.len() > 1 => {
                Arc::new(self.held.iter().filter(|held| held.claim.first == part).cloned().collect())
            }
            _ => Arc::clone(&self.held),
        }
    }
}
