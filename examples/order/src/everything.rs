//! All that was stored, whatever keeps it.

use std::collections::HashMap;

use futures::future::ready;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use nexus_core::{EventFeed, EventLog, FeedError, FeedItem, Query, ReadOptions, RecordedEvent, StreamId};

use crate::shop::Shop;

/// All events that match, each once and each stream in its order: what a log has, or a feed until it has nothing more.
pub fn everything(
    shop: &Shop,
    query: &Query,
) -> anyhow::Result<BoxStream<'static, Result<RecordedEvent, FeedError>>> {
    let Some(feed) = shop.feed() else {
        let log = shop.log()?.store();
        return Ok(log.read_all(query.clone(), ReadOptions::forwards()).map_err(FeedError::from).boxed());
    };
    let (mut last, query) = (HashMap::<StreamId, _>::new(), query.clone());
    let until_all =
        feed.subscribe(None).try_take_while(|item| ready(Ok(!matches!(item, FeedItem::CaughtUp(_)))));
    let once = until_all.try_filter_map(move |item| {
        let FeedItem::Event(delivery) = item else { return ready(Ok(None)) };
        let event = delivery.into_event();
        // What a feed delivers again is no later than what was there.
        let is_new = query.matches(&event) && last.get(event.stream()) < Some(&event.version());
        if is_new {
            last.insert(event.stream().clone(), event.version());
        }
        ready(Ok(is_new.then_some(event)))
    });
    Ok(once.boxed())
}
