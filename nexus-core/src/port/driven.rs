use std::future::{Future, ready};

use futures::StreamExt;
use futures::stream::{self, poll_fn};
use tokio::sync::mpsc;

use super::{FeedError, FeedItem, Subscription};

/// Where who makes a subscription hands its items on.
pub type FeedItems = mpsc::Sender<Result<FeedItem, FeedError>>;

/// Makes a subscription of a future that hands its items on: it goes on while the subscription is polled, by who polls that, and is an item
/// ahead at most. The subscription ends with the future, and with its error, if it has one.
///
/// For backends.
pub fn driven<Drive, Driving>(drive: Drive) -> Subscription
where
    Drive: FnOnce(FeedItems) -> Driving + Send + 'static,
    Driving: Future<Output = Result<(), FeedError>> + Send + 'static,
{
    let (items, mut handed_on) = mpsc::channel(1);
    let driven = stream::once(async move {
        if let Err(error) = drive(items.clone()).await {
            // Who does not listen any more does not poll this, either.
            let _ = items.send(Err(error)).await;
        }
    });
    let handed_on = poll_fn(move |context| handed_on.poll_recv(context));
    stream::select(handed_on, driven.filter_map(|()| ready(None))).boxed()
}
