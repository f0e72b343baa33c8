use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::{StreamExt, stream};

use crate::memory::MemoryStore;
use crate::port::{Acknowledgement, Delivery, EventFeed, FeedError, FeedItem, FeedOrdering, Subscription};
use crate::runtime::LogFeed;
use crate::vocabulary::{Checkpoint, Query};

/// A feed as a standard queue is: in no order, and some of it again. It begins anew with each subscription.
#[derive(Clone, Debug)]
pub(super) struct Disorder {
    feed: LogFeed<MemoryStore>,
    acknowledged: Arc<AtomicUsize>,
}

/// So many are turned around at a time.
const TURNED: usize = 7;

impl Disorder {
    pub(super) fn over(log: MemoryStore) -> Self {
        Self { feed: LogFeed::new(log, Query::all()), acknowledged: Arc::default() }
    }

    /// How many deliveries were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }
}

impl EventFeed for Disorder {
    fn ordering(&self) -> FeedOrdering {
        FeedOrdering::None
    }

    fn subscribe(&self, _: Option<Checkpoint>) -> Subscription {
        let (mut held, mut before) = (Vec::new(), VecDeque::new());
        let acknowledged = Arc::clone(&self.acknowledged);
        let turned = self.feed.subscribe(None).flat_map(move |item| {
            let mut out: Vec<Result<FeedItem, FeedError>> = Vec::new();
            match item {
                Ok(FeedItem::Event(delivery)) => {
                    let told = Arc::clone(&acknowledged);
                    let tell = Acknowledgement::new(move || {
                        told.fetch_add(1, Ordering::SeqCst);
                    });
                    held.push(
                        Delivery::new(delivery.event().clone(), delivery.checkpoint().clone())
                            .acknowledged_by(tell),
                    );
                }
                other => out.push(other),
            }
            if held.len() >= TURNED || !out.is_empty() {
                let turned: Vec<Delivery> = held.drain(..).rev().collect();
                // One of long ago comes with them, once more.
                before.extend(turned.iter().cloned());
                let again = if before.len() > 40 { before.pop_front() } else { None };
                let all = turned.iter().cloned().chain(turned.first().cloned()).chain(again);
                let events = all.map(|delivery| Ok(FeedItem::Event(delivery)));
                out = events.chain(out).collect();
            }
            stream::iter(out)
        });
        turned.boxed()
    }
}
