//! What a queue hands out, and what becomes of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nexus_core::{
    AppendBatch, Collection, DocumentTx, DocumentsExt, EventFeed, EventPublisher, EventStore,
    ExpectedVersion, FeedError, JoinedFeed, LogFeed, MemoryProjections, MemoryStore, NewEvent, Projection,
    ProjectionError, ProjectionName, ProjectionRunner, Projections, ProjectionsError, Query, QueryItem,
    RecordedEvent, async_trait,
};
use nexus_services::{Fault, FaultProxy};
use nexus_sns::{QueueFeed, QueueOptions, QueueUrl, SnsPublisher, TopicArn, create_queue};

use crate::support::{
    Kind, client, config, endpoint, event, eventually, feed, is_silent, left, name, next, of_type, order,
    queue, taken, topic,
};

async fn publisher(topic: &TopicArn) -> SnsPublisher {
    SnsPublisher::open(config(), topic).await.expect("the topic is there")
}

#[tokio::test]
async fn what_is_acknowledged_is_gone_and_what_is_not_is_kept_from_others() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let (feed, publisher) = (feed(&queue).await.visibility(Duration::from_secs(3)), publisher(&topic).await);
    publisher.publish(&[event(&order(1), 1, "1")]).await.expect("published");
    let mut subscription = feed.subscribe(None);
    let held = next(&mut subscription).await;
    // Longer than it is kept without more being said, and no other gets it.
    let mut other = feed.subscribe(None);
    assert!(is_silent(&mut other, Duration::from_secs(5)).await, "it is in somebody's hands");
    assert_eq!(left(&queue).await, (0, 1));
    held.into_parts().1.expect("a queue is told").acknowledge();
    eventually("it is gone", async || left(&queue).await == (0, 0)).await;
}

#[tokio::test]
async fn what_a_consumer_that_is_gone_had_in_hand_comes_again() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let (feed, publisher) = (feed(&queue).await, publisher(&topic).await);
    let events: Vec<_> = (1..=5).map(|version| event(&order(1), version, "1")).collect();
    publisher.publish(&events).await.expect("published");
    let mut subscription = feed.subscribe(None);
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(next(&mut subscription).await);
    }
    drop(subscription);
    // One of them was taken in after all.
    held.pop().expect("five").into_parts().1.expect("a queue is told").acknowledge();
    drop(held);
    let mut subscription = feed.subscribe(None);
    let again = async {
        for _ in 0..4 {
            taken(&mut subscription).await;
        }
    };
    // At once, not when their time is up.
    tokio::time::timeout(Duration::from_secs(10), again).await.expect("they come again");
    eventually("all are gone", async || left(&queue).await == (0, 0)).await;
}

#[tokio::test]
async fn what_nobody_takes_in_goes_to_the_dead_letter_queue() {
    let topic = topic(Kind::Standard).await;
    let name = name();
    let queue = create_queue(&config(), &name, &QueueOptions::of(&topic)).await.expect("made");
    let publisher = publisher(&topic).await;
    publisher.publish(&[event(&order(1), 1, "1")]).await.expect("published");
    let send = client().send_message().queue_url(queue.as_str()).message_body("no event");
    send.send().await.expect("sent");
    let feed = feed(&queue).await.visibility(Duration::from_secs(3));
    for tries in 1..=5 {
        // It is dropped, and so is whoever had it.
        let delivery = next(&mut feed.subscribe(None)).await;
        assert_eq!(delivery.event().version().get(), 1, "try {tries}");
    }
    let dead: QueueUrl = queue.as_str().replace(&name, &format!("{name}-dead")).parse().expect("a URL");
    // It is handed out no more; and the one that is no event is dropped until it is there, too.
    let mut subscription = feed.subscribe(None);
    let rest = tokio::spawn(async move { is_silent(&mut subscription, Duration::from_secs(15)).await });
    eventually("both are there", async || left(&dead).await == (2, 0)).await;
    assert!(rest.await.expect("no panic"));
    // As a feed, too.
    let dead = self::feed(&dead).await;
    assert_eq!(taken(&mut dead.subscribe(None)).await.version().get(), 1);
}

#[tokio::test]
async fn a_queue_gets_what_it_asks_for() {
    let topic = topic(Kind::Standard).await;
    let paid = QueueOptions::of(&topic).types(["OrderPaid"]);
    let paid = create_queue(&config(), &name(), &paid).await.expect("made");
    let all = queue(&topic).await;
    let publisher = publisher(&topic).await;
    let events = [of_type("OrderPlaced", &order(1), 1, "1"), of_type("OrderPaid", &order(1), 2, "2")];
    publisher.publish(&events).await.expect("published");
    assert_eq!(taken(&mut feed(&paid).await.subscribe(None)).await, events[1]);
    eventually("there is nothing else", async || left(&paid).await == (0, 0)).await;
    // What the feed itself filters is gone as well.
    let placed = QueryItem::default().types([events[0].event_type().clone()]);
    let mut subscription = feed(&all).await.matching(Query::item(placed)).subscribe(None);
    assert_eq!(taken(&mut subscription).await, events[0]);
    assert!(is_silent(&mut subscription, Duration::from_millis(300)).await);
    eventually("both are gone", async || left(&all).await == (0, 0)).await;
}

#[tokio::test]
async fn a_fifo_queue_keeps_the_order_of_what_comes_again() {
    let topic = topic(Kind::Fifo).await;
    let queue = queue(&topic).await;
    let (feed, publisher) = (feed(&queue).await, publisher(&topic).await);
    let events: Vec<_> = (1..=6).map(|version| event(&order(1), version, "1")).collect();
    publisher.publish(&events).await.expect("published");
    let mut subscription = feed.subscribe(None);
    assert_eq!(taken(&mut subscription).await.version().get(), 1);
    // The second is dropped with the subscription: the rest of the stream waits for it.
    assert_eq!(next(&mut subscription).await.event().version().get(), 2);
    drop(subscription);
    let mut subscription = feed.subscribe(None);
    for version in 2..=6 {
        assert_eq!(taken(&mut subscription).await.version().get(), version);
    }
}

#[tokio::test]
async fn a_checkpoint_of_something_else_is_refused() {
    let queue = queue(&topic(Kind::Standard).await).await;
    let mut subscription = feed(&queue).await.subscribe(Some("log.1:7".parse().expect("a checkpoint")));
    let refused = futures::StreamExt::next(&mut subscription).await;
    assert!(matches!(refused, Some(Err(FeedError::ForeignCheckpoint { kind: "sqs", .. }))), "{refused:?}");
}

/// Keeps the versions of each stream in the order in which they were taken in.
#[derive(Clone, Default)]
struct Ledger {
    is_newer: bool,
}

#[async_trait]
impl Projection<DocumentTx> for Ledger {
    fn name(&self) -> &str {
        "ledger"
    }

    fn version(&self) -> u32 {
        1 + u32::from(self.is_newer)
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let streams = Collection::new("streams")?;
        let mut versions: Vec<u64> = tx.read(&streams, event.stream().as_str()).await?.unwrap_or_default();
        versions.push(event.version().get());
        Ok(tx.write(&streams, event.stream().as_str(), &versions).await?)
    }
}

async fn ledger(read_models: &MemoryProjections, stream: u64) -> Vec<u64> {
    let (name, streams) =
        (ProjectionName::new("ledger").expect("valid"), Collection::new("streams").expect("valid"));
    let projections = Projections::of_feeds(read_models.clone());
    projections.document(&name, &streams, order(stream).as_str()).await.ok().flatten().unwrap_or_default()
}

/// Everything is published twice, and some of it in another order.
async fn publish_in_disorder(publisher: &SnsPublisher, events: &[RecordedEvent]) {
    let turned: Vec<RecordedEvent> = events.iter().rev().cloned().collect();
    publisher.publish(&turned).await.expect("published");
    publisher.publish(events).await.expect("published");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_takes_each_event_in_once() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let (publisher, read_models) = (publisher(&topic).await, MemoryProjections::new());
    let start = async || {
        ProjectionRunner::receiving(Ledger::default(), feed(&queue).await, read_models.clone())
            .lease(Duration::from_secs(1))
            .start()
            .await
            .expect("it starts")
    };
    let running = start().await;
    let events: Vec<_> =
        (1..=20).flat_map(|version| (0..3).map(move |of| event(&order(of), version, "1"))).collect();
    publish_in_disorder(&publisher, &events[..30]).await;
    eventually("some are there", async || !ledger(&read_models, 0).await.is_empty()).await;
    running.stop().await.expect("it goes on until it is stopped");
    let running = start().await;
    publish_in_disorder(&publisher, &events).await;
    eventually("all are there", async || {
        let mut all = 0;
        for stream in 0..3 {
            let versions = ledger(&read_models, stream).await;
            let once: BTreeSet<u64> = versions.iter().copied().collect();
            assert_eq!(once.len(), versions.len(), "an event was taken in twice: {versions:?}");
            all += once.len();
        }
        all == 60
    })
    .await;
    eventually("the queue is empty", async || left(&queue).await == (0, 0)).await;
    running.stop().await.expect("it goes on until it is stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_store_at_hand_each_stream_is_taken_in_in_its_order() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let (publisher, read_models, store) =
        (publisher(&topic).await, MemoryProjections::new(), MemoryStore::new());
    let mut events = Vec::new();
    for version in 1..=15 {
        for of in 0..3 {
            let event = event(&order(of), version, "1");
            let new = NewEvent::new(event.id(), event.event_type().clone(), event.payload().clone());
            let batch = AppendBatch::new(order(of), ExpectedVersion::Any, vec![new]).expect("valid");
            let _ = store.append(batch).await.expect("stored");
            events.push(event);
        }
    }
    let running =
        ProjectionRunner::following(Ledger::default(), feed(&queue).await, store, read_models.clone())
            .start()
            .await
            .expect("it starts");
    publish_in_disorder(&publisher, &events).await;
    let all: Vec<u64> = (1..=15).collect();
    eventually("all are there, in their order", async || {
        let mut is_complete = true;
        for stream in 0..3 {
            let versions = ledger(&read_models, stream).await;
            assert!(all.starts_with(&versions), "{versions:?}");
            is_complete &= versions == all;
        }
        is_complete
    })
    .await;
    eventually("the queue is empty", async || left(&queue).await == (0, 0)).await;
    running.stop().await.expect("it goes on until it is stopped");
}

/// What one build has taken in is gone for another: it would be made of what is left, and the one that serves would stand still.
#[tokio::test(flavor = "multi_thread")]
async fn no_second_read_model_is_made_of_a_queue() {
    let queue = queue(&topic(Kind::Standard).await).await;
    let (store, read_models) = (MemoryStore::new(), MemoryProjections::new());
    let both = JoinedFeed::of([
        Arc::new(feed(&queue).await) as Arc<dyn EventFeed>,
        Arc::new(LogFeed::new(store.clone(), Query::all())),
    ]);
    let runner = |is_newer| {
        ProjectionRunner::following(Ledger { is_newer }, both.clone(), store.clone(), read_models.clone())
    };
    runner(false).start().await.expect("it starts").stop().await.expect("stopped");
    let again = runner(false).rebuild().await.expect_err("it is made once");
    let newer = runner(true).start().await.expect_err("it is made once");
    assert!(matches!(again, ProjectionsError::NotAgain { .. }), "{again:?}");
    assert!(matches!(newer, ProjectionsError::NotAgain { .. }), "{newer:?}");
}

/// Who asks pays for it, also where there is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_has_nothing_is_asked_once_a_second() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let proxy = FaultProxy::start(&endpoint(), move |request| {
        count.fetch_add(u64::from(request.operation == "ReceiveMessage"), Ordering::SeqCst);
        Fault::None
    });
    let proxy = proxy.expect("a proxy can be started");
    let feed = QueueFeed::open(config().endpoint(proxy.url()), &queue).await.expect("there");
    let mut subscription = feed.subscribe(None);
    assert!(is_silent(&mut subscription, Duration::from_secs(5)).await);
    let asked = asked.load(Ordering::SeqCst);
    // All do at first.
    assert!((6..=11).contains(&asked), "{asked} times in 5 s");
    let events: Vec<_> = (1..=60).map(|version| event(&order(1), version, "1")).collect();
    publisher(&topic).await.publish(&events).await.expect("published");
    for _ in 0..60 {
        taken(&mut subscription).await;
    }
}

/// As many receivers as one likes share a queue, and what is in hand is bounded.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_hand_is_bounded() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let publisher = publisher(&topic).await;
    let events: Vec<_> = (1..=60).map(|version| event(&order(1), version, "1")).collect();
    publisher.publish(&events).await.expect("published");
    let feed: QueueFeed = feed(&queue).await.in_hand(10);
    let mut subscription = feed.subscribe(None);
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(next(&mut subscription).await);
    }
    assert!(is_silent(&mut subscription, Duration::from_millis(300)).await, "there is no room for more");
    drop(
        held.drain(..)
            .map(|delivery| delivery.into_parts().1.expect("told").acknowledge())
            .collect::<Vec<_>>(),
    );
    for _ in 0..50 {
        taken(&mut subscription).await;
    }
    eventually("the queue is empty", async || left(&queue).await == (0, 0)).await;
}
