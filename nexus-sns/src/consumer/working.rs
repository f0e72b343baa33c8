use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::QueueConsumer;
use super::lanes::Lanes;
use super::seeing::Seeing;
use crate::queue::{self, Asked, Page};

/// Between two attempts to receive from a queue that does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Asks the queue until it is stopped, then finishes what is in hand.
pub(super) async fn work(consumer: QueueConsumer, mut stopped: watch::Receiver<bool>) {
    let QueueConsumer { client, queue, dead, handler, query, settings, at_once, schedule, repeats } =
        consumer;
    let (lanes, at_once) = (Lanes::default(), Arc::new(Semaphore::new(at_once.get())));
    let seeing = Seeing {
        client: client.clone(),
        queue: queue.clone(),
        dead,
        handler,
        query,
        schedule,
        repeats,
        at_once,
        stopped: stopped.clone(),
    };
    let seeing = Arc::new(seeing);
    let (mut in_hand, mut keepers, mut pauses) = (JoinSet::new(), JoinSet::new(), pauses());
    'begin: loop {
        let Asked { mut pages, keeping } = queue::ask(&client, &queue, settings);
        keepers.spawn(keeping);
        loop {
            let page = tokio::select! {
                // It is stopped, or nobody is there any more who could.
                _ = stopped.wait_for(|is_stopped| *is_stopped) => break 'begin,
                Some(_) = in_hand.join_next(), if !in_hand.is_empty() => continue,
                Some(_) = keepers.join_next(), if !keepers.is_empty() => continue,
                page = pages.recv() => page,
            };
            match page {
                Some(Ok(Page { messages, .. })) => {
                    pauses = self::pauses();
                    for first in messages.into_iter().filter_map(|received| lanes.put(received)) {
                        in_hand.spawn(Arc::clone(&seeing).see_to_lane(lanes.clone(), first));
                    }
                }
                Some(Err(error)) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(queue = %queue, error, "a queue could not be read; it is asked again");
                    break;
                }
                None => break,
            }
        }
        let pause = pauses.next().unwrap_or(LONGEST_PAUSE);
        tokio::select! {
            _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    while in_hand.join_next().await.is_some() {}
    // What waits in lanes that nobody sees to is let go.
    drop(lanes);
    while keepers.join_next().await.is_some() {}
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::new().with_jitter().with_min_delay(Duration::from_millis(100));
    pauses.with_max_delay(LONGEST_PAUSE).without_max_times().build()
}
