//! What goes wrong on the way, and who dies on it: whatever was stored is on the bus that it was meant for, and nowhere else, in order where there is one,
//! and the read models are those of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use nexus_core::{EventFeed, EventId, EventRouter, FeedItem, RecordedEvent, Routes, Subscription};
use nexus_kinesis::{KinesisConfig, KinesisFeed};
use nexus_services::{Fault, FaultProxy};
use nexus_sns::{QueueFeed, QueueOptions, QueueUrl, SnsConfig, create_queue, create_topic};
use order::address::Address;
use order::bus::BusAddress;
use order::shop::Shop;
use serde_json::{Value, json};

use crate::chain::{documents, in_the_end};
use crate::places;
use crate::scenario::sample;

/// So many purchases, each four commands.
const PURCHASES: usize = 60;

/// A part of the purchases.
fn part(directory: &Path) -> PathBuf {
    let all = std::fs::read_to_string(sample()).expect("it is there");
    let is_purchase = |line: &&str| line.trim_start().starts_with(|first: char| first.is_ascii_digit());
    let part: Vec<&str> = all.lines().filter(is_purchase).take(PURCHASES).collect();
    let file = directory.join("part.txt");
    std::fs::write(&file, part.join("\n")).expect("written");
    file
}

/// What the store alone makes of them.
async fn expected(directory: &Path, file: &Path) -> Vec<String> {
    let shop = Address::Sqlite(directory.join("alone.db")).open().await.expect("opened");
    order::import::import(&shop, file).await.expect("imported");
    documents(&shop).await
}

/// Listens to both buses, beside the read models.
struct Listener {
    kinesis: KinesisConfig,
    sns: SnsConfig,
    queue: QueueUrl,
}

impl Listener {
    /// On the buses of this name, before anything is published.
    async fn on(name: &str) -> Self {
        let endpoint = places::ministack();
        let sns = SnsConfig::default().region("us-east-1").endpoint(&endpoint);
        let topic = create_topic(&sns, &format!("{name}-events")).await.expect("made");
        let queue = create_queue(&sns, &format!("{name}-listener"), &QueueOptions::of(&topic)).await;
        let kinesis = KinesisConfig::new(&format!("{name}-events")).expect("valid");
        Self { kinesis: kinesis.region("us-east-1").endpoint(endpoint), sns, queue: queue.expect("made") }
    }

    /// What went by each, as often as it did.
    async fn heard(&self) -> [Vec<RecordedEvent>; 2] {
        let fast = KinesisFeed::open(self.kinesis.clone()).await.expect("there");
        let cheap = QueueFeed::open(self.sns.clone(), &self.queue).await.expect("there");
        [
            all(fast.poll_every(Duration::from_millis(20)).subscribe(None)).await,
            all(cheap.subscribe(None)).await,
        ]
    }
}

/// What a feed has until it says twice that it has nothing more.
async fn all(mut subscription: Subscription) -> Vec<RecordedEvent> {
    let (mut events, mut is_quiet) = (Vec::new(), false);
    while let Some(item) = subscription.next().await {
        match item.expect("it can be read") {
            FeedItem::Event(delivery) => {
                let (event, acknowledgement) = delivery.into_parts();
                if let Some(acknowledgement) = acknowledgement {
                    acknowledgement.acknowledge();
                }
                events.push(event);
                is_quiet = false;
            }
            FeedItem::CaughtUp(_) if is_quiet => return events,
            FeedItem::CaughtUp(_) => is_quiet = true,
            _ => {}
        }
    }
    panic!("the feed has ended")
}

/// Compares store, buses and read models.
async fn nothing_is_missing_or_out_of_order(shop: &Shop, listener: &Listener, expected: &[String]) {
    let feed = shop.feed().expect("DynamoDB tells what is stored");
    let stored: BTreeMap<EventId, RecordedEvent> = all(feed.subscribe(None))
        .await
        .into_iter()
        .filter(|event| !event.stream().category().starts_with('$'))
        .map(|event| (event.id(), event))
        .collect();
    assert_eq!(stored.len(), PURCHASES * 4);
    let heard = listener.heard().await;
    let routes: Routes = serde_json::from_str(include_str!("../../routes.json")).expect("routes");
    let mut meant = BTreeMap::<String, BTreeSet<EventId>>::new();
    for event in stored.values() {
        let path = routes.path(event).expect("a path");
        meant.entry(path.to_string()).or_default().insert(event.id());
    }
    for (path, heard) in ["fast", "cheap"].into_iter().zip(&heard) {
        let ids: BTreeSet<EventId> = heard.iter().map(RecordedEvent::id).collect();
        assert_eq!(ids, meant[path], "by the {path} path");
        for event in heard {
            let stored = &stored[&event.id()];
            assert_eq!((event.stream(), event.version()), (stored.stream(), stored.version()));
            assert_eq!((event.payload(), event.metadata()), (stored.payload(), stored.metadata()));
        }
    }
    // What comes again was there before; what comes for the first time comes after what is before it in its stream.
    let (mut last, mut known) = (BTreeMap::new(), BTreeSet::new());
    for event in heard[0].iter().filter(|event| known.insert(event.id())) {
        let before = last.insert(event.stream(), event.version());
        assert!(before < Some(event.version()), "{} {}", event.stream(), event.version());
    }
    assert_eq!(in_the_end(shop, expected).await, expected);
}

/// Of every ten requests some fail, are cut off before or after they are carried out, or are answered late; of records, some are not taken.
fn trouble(count: u64, operation: &str) -> Fault {
    if operation == "PutRecords" && count.is_multiple_of(2) {
        return Fault::Rewrite(Box::new(|answer: &mut Value| {
            let Some(records) = answer["Records"].as_array_mut() else { return };
            for record in records.iter_mut().step_by(3) {
                *record = json!({ "ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded" });
            }
            answer["FailedRecordCount"] = json!(1);
        }));
    }
    match count % 10 {
        1 => Fault::Answer(500, "{}".to_owned()),
        3 => Fault::CutAfter,
        5 => Fault::CutBefore,
        7 => Fault::DelayAfter(Duration::from_millis(300)),
        8 => Fault::DelayBefore(Duration::from_millis(150)),
        _ => Fault::None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_the_way_to_the_buses_lose_and_disorder_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = part(directory.path());
    let expected = expected(directory.path(), &file).await;
    let name = places::name("faults");
    let listener = Listener::on(&name).await;
    let mut count = 0;
    let proxy = FaultProxy::start(&places::ministack(), move |request| {
        count += 1;
        trouble(count, request.operation)
    });
    let proxy = proxy.expect("a proxy can be started");
    let bus: BusAddress =
        format!("aws://{name}?region=us-east-1&endpoint={}", proxy.url()).parse().expect("a bus");
    let store: Address = places::tables("faults").parse().expect("an address");
    let bus = bus.open().await.expect("opened in the end");
    let shop = store.open().await.expect("opened").with_bus(bus);
    order::import::import(&shop, &file).await.expect("imported in the end");
    nothing_is_missing_or_out_of_order(&shop, &listener, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_loses_and_disorders_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = part(directory.path());
    let expected = expected(directory.path(), &file).await;
    let (name, store) = (places::name("killed"), places::tables("killed"));
    let listener = Listener::on(&name).await;
    let bus = format!("aws://{name}?region=us-east-1&endpoint={}", places::ministack());
    let import = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_order"));
        command.arg("import").arg(&file).args(["--store", &store, "--bus", &bus]).stdout(Stdio::null());
        command
    };
    // While commands are carried out, events relayed and handled: before and after what matters, sooner or later.
    let mut killed = 0;
    for millis in [900, 1_700, 2_600] {
        let mut child = import().spawn().expect("the program starts");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        child.kill().expect("killed, or gone");
        killed += u32::from(!child.wait().expect("it has ended").success());
    }
    assert!(killed >= 2, "it was too fast to be killed");
    let address: Address = store.parse().expect("an address");
    let shop = address.open().await.expect("opened");
    let stored = all(shop.feed().expect("DynamoDB tells").subscribe(None)).await.len();
    assert!(stored > 0, "it was killed before anything was stored");
    assert!(import().status().expect("the program starts").success());
    let bus: BusAddress = bus.parse().expect("a bus");
    let shop = shop.with_bus(bus.open().await.expect("opened"));
    nothing_is_missing_or_out_of_order(&shop, &listener, &expected).await;
}
