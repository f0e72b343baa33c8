//! What a handler gets of a queue, and what becomes of what it cannot see to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::MessageAttributeValue;
use nexus_core::{EventHandler, EventPublisher, HandlerError, RecordedEvent, RetrySchedule, async_trait};
use nexus_services::{Fault, FaultProxy};
use nexus_sns::{
    DeadLetterError, DeadLetterQueue, DeadMessages, JsonLinesArchive, OpenError, QueueConsumer, QueueUrl,
    RunningConsumer, SnsPublisher, TopicArn,
};

use crate::support::{
    Kind, client, config, endpoint, event, eventually, left, name, of_type, order, queue, topic,
};

/// Notes what it was given, and fails where it is told to.
#[derive(Default)]
struct Handler {
    given: Mutex<Vec<RecordedEvent>>,
    is_mended: AtomicBool,
    pause: Duration,
}

impl Handler {
    fn given(&self) -> Vec<RecordedEvent> {
        self.given.lock().expect("no panic").clone()
    }

    fn versions(&self) -> BTreeMap<String, Vec<u64>> {
        let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in self.given() {
            versions.entry(event.stream().to_string()).or_default().push(event.version().get());
        }
        versions
    }
}

#[async_trait]
impl EventHandler for Handler {
    async fn handle(&self, event: &RecordedEvent) -> Result<(), HandlerError> {
        tokio::time::sleep(self.pause).await;
        self.given.lock().expect("no panic").push(event.clone());
        if self.is_mended.load(Ordering::Relaxed) {
            return Ok(());
        }
        match event.event_type().to_string().as_str() {
            "Failing" => Err(std::io::Error::other("the mail server is down").into()),
            "Hopeless" => Err(HandlerError::of_class("no-such-address", "nobody lives there").for_good()),
            "Panicking" => panic!("this cannot be"),
            _ => Ok(()),
        }
    }
}

fn quick() -> RetrySchedule {
    RetrySchedule::default().pauses(Duration::from_millis(10), Duration::from_millis(50))
}

async fn consume(queue: &QueueUrl, handler: &Arc<Handler>) -> RunningConsumer {
    let handler = Arc::clone(handler) as Arc<dyn EventHandler>;
    let consumer = QueueConsumer::open(config(), queue, handler).await.expect("the queue is there");
    consumer.retries(quick()).visibility(Duration::from_secs(3)).start()
}

async fn publish(topic: &TopicArn, events: &[RecordedEvent]) {
    let publisher = SnsPublisher::open(config(), topic).await.expect("the topic is there");
    publisher.publish(events).await.expect("published");
}

async fn is_empty(queue: &QueueUrl) {
    eventually("the queue is empty", async || left(queue).await == (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_seen_to_once_and_deleted() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let events: Vec<_> =
        (1..=30).flat_map(|version| (0..2).map(move |of| event(&order(of), version, "1"))).collect();
    // What comes again is known again.
    publish(&topic, &events).await;
    publish(&topic, &events[..20]).await;
    let handler = Arc::new(Handler::default());
    let running = consume(&queue, &handler).await;
    is_empty(&queue).await;
    running.stop().await;
    let mut ids: Vec<_> = handler.given().iter().map(RecordedEvent::id).collect();
    assert_eq!(ids.len(), 60);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 60, "none was seen to twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_handler_has_is_kept_from_others_however_long_it_takes() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    publish(&topic, &[event(&order(1), 1, "1")]).await;
    // Longer than it is kept from others without more being said.
    let slow = Arc::new(Handler { pause: Duration::from_secs(5), ..Handler::default() });
    let (running, other) = (consume(&queue, &slow).await, consume(&queue, &slow).await);
    eventually("it is seen to", async || !slow.given().is_empty()).await;
    is_empty(&queue).await;
    running.stop().await;
    other.stop().await;
    assert_eq!(slow.given().len(), 1);
}

/// Who cannot say that it still has a message loses it to another, while it works: it is seen to by both, and by nobody after that.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_lost_to_another_on_the_way_is_seen_to_and_no_dead_letter() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    publish(&topic, &[event(&order(1), 1, "1")]).await;
    // Nor does it get anything once it has this: or it might have it once more, before the other.
    let mut begun = None;
    let proxy = FaultProxy::start(&endpoint(), move |request| match request.operation {
        "ChangeMessageVisibilityBatch" | "ChangeMessageVisibility" => Fault::Answer(500, "{}".to_owned()),
        "ReceiveMessage" => match begun.get_or_insert_with(Instant::now).elapsed() > Duration::from_secs(1) {
            true => Fault::CutBefore,
            false => Fault::None,
        },
        _ => Fault::None,
    });
    let proxy = proxy.expect("a proxy can be started");
    let slow = Arc::new(Handler { pause: Duration::from_secs(6), ..Handler::default() });
    let handler = Arc::clone(&slow) as Arc<dyn EventHandler>;
    let through = config().endpoint(proxy.url()).retry_for(Duration::from_secs(10));
    let stalled = QueueConsumer::open(through, &queue, handler).await.expect("the queue is there");
    let stalled = stalled.retries(quick()).visibility(Duration::from_secs(2)).start();
    eventually("it is in somebody's hands", async || left(&queue).await == (0, 1)).await;
    let quick = Arc::new(Handler::default());
    let other = consume(&queue, &quick).await;
    eventually("another has it", async || quick.given().len() == 1).await;
    eventually("both have seen to it", async || slow.given().len() == 1).await;
    is_empty(&queue).await;
    stalled.stop().await;
    other.stop().await;
    assert_eq!((slow.given().len(), quick.given().len()), (1, 1));
    assert_eq!(left(&queue).await, (0, 0), "nobody gets it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_stopped_finishes_what_is_in_hand_and_leaves_the_rest() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let events: Vec<_> = (1..=40).map(|version| event(&order(1), version, "1")).collect();
    publish(&topic, &events).await;
    let slow = Arc::new(Handler { pause: Duration::from_millis(200), ..Handler::default() });
    let running = consume(&queue, &slow).await;
    eventually("some are seen to", async || !slow.given().is_empty()).await;
    running.stop().await;
    let seen_to = slow.given().len();
    assert!(seen_to < 40, "it has taken all");
    assert_eq!(
        left(&queue).await,
        (40 - u32::try_from(seen_to).expect("few"), 0),
        "the rest is let go at once"
    );
    let other = Arc::new(Handler::default());
    let running = consume(&queue, &other).await;
    is_empty(&queue).await;
    running.stop().await;
    assert_eq!(other.given().len(), 40 - seen_to);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_seen_to_is_a_dead_letter_of_its_class() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let (dead, handler) =
        (DeadLetterQueue::open(config(), &queue).await.expect("there"), Arc::new(Handler::default()));
    let types = ["Failing", "Hopeless", "Panicking", "Fine"];
    let events: Vec<_> = (1..).zip(types).map(|(of, name)| of_type(name, &order(of), 1, "1")).collect();
    publish(&topic, &events).await;
    let send = client().send_message().queue_url(queue.as_str()).message_body("no event");
    send.send().await.expect("sent");
    let running = consume(&queue, &handler).await;
    is_empty(&queue).await;
    running.stop().await;

    let mut letters = dead.list(&DeadMessages::all(), 100).await.expect("listed");
    letters.sort_by(|one, other| one.class.cmp(&other.class));
    let told: Vec<_> = letters
        .iter()
        .map(|letter| (letter.class.as_str(), letter.tries, letter.error.as_deref().unwrap_or_default()))
        .collect();
    let tries = |of: u64| handler.given().iter().filter(|event| *event.stream() == order(of)).count();
    assert_eq!((tries(1), tries(2), tries(3), tries(4)), (5, 1, 5, 1));
    assert_eq!(
        told[..3],
        [
            ("failed", Some(5), "the mail server is down"),
            ("no-such-address", Some(1), "nobody lives there"),
            ("panic", Some(5), "this cannot be"),
        ]
    );
    assert_eq!((told[3].0, told[3].1), ("unreadable", Some(1)));
    assert_eq!(
        (letters[0].events().expect("an event"), letters[3].body.as_str()),
        (events[..1].to_vec(), "no event")
    );
    assert!(letters.iter().all(|letter| letter.failed_at.is_some()));
    // They are all still there, and can be told apart.
    assert_eq!(left(dead.url()).await, (4, 0));
    let of = async |which: DeadMessages| dead.list(&which, 100).await.expect("listed").len();
    assert_eq!(of(DeadMessages::all().of_class("panic")).await, 1);
    assert_eq!(of(DeadMessages::all().of_event(events[1].id())).await, 1);
    assert_eq!(of(DeadMessages::all().of_class("panic").of_event(events[1].id())).await, 0);
    assert_eq!(of(DeadMessages::all().of_message(letters[3].id.clone())).await, 1);
    assert_eq!(dead.list(&DeadMessages::all(), 2).await.expect("listed").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_retried_or_skipped_and_archived() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let (dead, handler) =
        (DeadLetterQueue::open(config(), &queue).await.expect("there"), Arc::new(Handler::default()));
    let events: Vec<_> = (1..=3)
        .flat_map(|of| [of_type("Hopeless", &order(of), 1, "1"), of_type("Failing", &order(of), 2, "2")])
        .collect();
    publish(&topic, &events).await;
    let running = consume(&queue, &handler).await;
    is_empty(&queue).await;
    assert_eq!(left(dead.url()).await, (6, 0));

    // In a task, as a program does.
    let file = std::env::temp_dir().join(format!("{}.jsonl", name()));
    let (archive, of) = (JsonLinesArchive::at(&file), dead.clone());
    let hopeless = DeadMessages::all().of_class("no-such-address");
    let skipped = tokio::spawn(async move { of.skip(&hopeless, &archive).await }).await.expect("no panic");
    assert_eq!((skipped.expect("skipped"), left(dead.url()).await), (3, (3, 0)));
    let archived = std::fs::read_to_string(&file).expect("it is there");
    std::fs::remove_file(&file).expect("removed");
    let lines: Vec<serde_json::Value> =
        archived.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["error"] == "nobody lives there"
        && line["body"].as_str().is_some_and(|body| body.contains("Hopeless"))));

    // They die once more, with what was said last; and are seen to when that is mended.
    let failed = DeadMessages::all().of_class("failed");
    assert_eq!(dead.retry(&failed).await.expect("retried"), 3);
    eventually("they are dead again", async || left(dead.url()).await == (3, 0)).await;
    handler.is_mended.store(true, Ordering::Relaxed);
    let before = handler.given().len();
    assert_eq!(dead.retry(&failed).await.expect("retried"), 3);
    is_empty(&queue).await;
    running.stop().await;
    let mut came = handler.given()[before..].to_vec();
    came.sort_by_key(|event| event.stream().to_string());
    let failing: Vec<_> = events.iter().skip(1).step_by(2).cloned().collect();
    assert_eq!((came, left(dead.url()).await), (failing, (0, 0)));
}

/// An archive that is full.
struct Full;

#[async_trait]
impl nexus_sns::DeadLetterArchive for Full {
    async fn keep(&self, _: &nexus_sns::DeadMessage) -> Result<(), nexus_core::BoxError> {
        Err("there is no room".into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_archived_stays() {
    let queue = queue(&topic(Kind::Standard).await).await;
    let dead = DeadLetterQueue::open(config(), &queue).await.expect("there");
    let send = client().send_message().queue_url(dead.url().as_str()).message_body("anything");
    send.send().await.expect("sent");
    let error = dead.skip(&DeadMessages::all(), &Full).await.expect_err("there is no room");
    assert!(error.to_string().starts_with("could not archive dead letter "), "{error}");
    let letters = dead.list(&DeadMessages::all(), 10).await.expect("listed");
    // Nobody has said why it is there.
    assert_eq!((letters[0].class.as_str(), letters[0].tries, letters.len()), ("abandoned", None, 1));
}

/// Who has sent a letter again, and could not delete it, is told: it would be sent once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_could_not_be_deleted_is_told_of() {
    let queue = queue(&topic(Kind::Standard).await).await;
    let dead = DeadLetterQueue::open(config(), &queue).await.expect("there");
    let send = client().send_message().queue_url(dead.url().as_str()).message_body("anything");
    send.send().await.expect("sent");
    let proxy = FaultProxy::start(&endpoint(), |request| match request.operation {
        "DeleteMessageBatch" => {
            Fault::Answer(400, r#"{"__type":"AccessDenied","message":"not you"}"#.to_owned())
        }
        _ => Fault::None,
    });
    let proxy = proxy.expect("a proxy can be started");
    let through = DeadLetterQueue::open(config().endpoint(proxy.url()), &queue).await.expect("there");
    let refused = through.retry(&DeadMessages::all()).await;
    assert!(matches!(refused, Err(DeadLetterError::Undeleted { undeleted: 1, .. })), "{refused:?}");
    eventually("it was sent", async || left(&queue).await == (1, 0)).await;
}

/// SQS takes ten attributes: what a message has itself comes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_many_attributes_is_a_dead_letter_all_the_same() {
    let queue = queue(&topic(Kind::Standard).await).await;
    let dead = DeadLetterQueue::open(config(), &queue).await.expect("there");
    for (body, count) in [("nine", 9), ("ten", 10)] {
        let mut send = client().send_message().queue_url(queue.as_str()).message_body(body);
        for number in 0..count {
            let value = MessageAttributeValue::builder().data_type("String").string_value("x").build();
            send = send.message_attributes(format!("a{number}"), value.expect("whole"));
        }
        send.send().await.expect("sent");
    }
    let running = consume(&queue, &Arc::new(Handler::default())).await;
    is_empty(&queue).await;
    running.stop().await;
    let mut letters = dead.list(&DeadMessages::all(), 10).await.expect("listed");
    letters.sort_by(|one, other| one.body.cmp(&other.body));
    let told: Vec<_> = letters.iter().map(|letter| (letter.class.as_str(), letter.tries)).collect();
    assert_eq!(told, [("unreadable", None), ("abandoned", None)]);
}

/// A repeat of what the handler has waits for what becomes of that, and is not handed out again and again meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_what_is_in_hand_waits_for_it() {
    let topic = topic(Kind::Standard).await;
    let queue = queue(&topic).await;
    let event = event(&order(1), 1, "1");
    publish(&topic, &[event.clone(), event.clone(), event]).await;
    let slow = Arc::new(Handler { pause: Duration::from_secs(4), ..Handler::default() });
    let running = consume(&queue, &slow).await;
    is_empty(&queue).await;
    running.stop().await;
    assert_eq!(slow.given().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_fifo_queue_each_stream_is_seen_to_in_its_order() {
    let topic = topic(Kind::Fifo).await;
    let queue = queue(&topic).await;
    let mut events: Vec<_> =
        (1..=12).flat_map(|version| (0..3).map(move |of| event(&order(of), version, "1"))).collect();
    // One of them fails, is tried again, and dies: none of its stream overtakes it meanwhile.
    events[12] = of_type("Failing", &order(0), 5, "1");
    publish(&topic, &events).await;
    let handler = Arc::new(Handler::default());
    let running = consume(&queue, &handler).await;
    is_empty(&queue).await;
    let all: Vec<u64> = (1..=12).collect();
    let versions = handler.versions();
    assert_eq!((&versions["order-1"], &versions["order-2"]), (&all, &all));
    assert_eq!(versions["order-0"], [1, 2, 3, 4, 5, 5, 5, 5, 5, 6, 7, 8, 9, 10, 11, 12]);
    handler.is_mended.store(true, Ordering::Relaxed);
    let dead = DeadLetterQueue::open(config(), &queue).await.expect("there");
    assert_eq!(dead.retry(&DeadMessages::all().of_event(events[12].id())).await.expect("retried"), 1);
    eventually("it is seen to", async || handler.given().len() == 41).await;
    running.stop().await;
    assert_eq!(handler.given()[40], events[12]);
}

#[tokio::test]
async fn a_queue_without_a_dead_letter_queue_is_refused() {
    let queue = queue(&topic(Kind::Standard).await).await;
    let dead = DeadLetterQueue::open(config(), &queue).await.expect("there");
    let refused = QueueConsumer::open(config(), dead.url(), Arc::new(Handler::default())).await;
    assert!(matches!(refused, Err(OpenError::NoDeadLetterQueue { .. })), "{refused:?}");
    let nowhere: QueueUrl = queue.as_str().replace(queue.name(), "nowhere").parse().expect("a URL");
    let refused = DeadLetterQueue::open(config(), &nowhere).await;
    assert!(matches!(refused, Err(OpenError::Missing { what: "queue", .. })), "{refused:?}");
}
