//! The CloudFormation template of the buses: as good as what is made by hand.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use nexus_core::{EventFeed, EventHandler, EventPublisher, HandlerError, RecordedEvent, async_trait};
use nexus_services::Stack;
use nexus_sns::{DeadLetterQueue, DeadMessages, QueueConsumer, QueueFeed, QueueUrl, SnsPublisher, TopicArn};

use crate::support::{
    client, config, endpoint, event, eventually, is_silent, left, name, of_type, order, taken,
};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn template() -> PathBuf {
    workspace().join("deploy/buses.yaml")
}

#[test]
fn the_template_is_well_formed() {
    nexus_services::cfn_lint(&workspace().join("target/services"), &template()).expect("nothing is found");
}

/// Can do nothing.
struct Helpless;

#[async_trait]
impl EventHandler for Helpless {
    async fn handle(&self, _: &RecordedEvent) -> Result<(), HandlerError> {
        Err(HandlerError::of_class("helpless", "nothing helps").for_good())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_template_makes_can_be_opened_and_used() {
    let name = name();
    let parameters =
        [("Name", &*name), ("MailTypes", "OrderPaid,OrderCancelled"), ("AnalyticsCategories", "order")];
    let stack = Stack::make(&endpoint(), &name, &template(), &parameters).expect("the stack is made");
    let output = |name: &str| stack.output(name).expect("told").to_owned();
    let topic: TopicArn = output("TopicArn").parse().expect("an ARN");
    let queue = |name: &str| -> QueueUrl { output(name).parse().expect("a URL") };
    let (mails, analytics, dead) = (queue("MailsQueue"), queue("AnalyticsQueue"), queue("MailsDeadQueue"));
    assert!(output("StreamName").starts_with(&name) && output("StreamArn").contains(":kinesis:"));

    // Each queue gets what it asks for.
    let other = nexus_core::StreamId::new("refund", 1).expect("a stream");
    let events = [
        of_type("OrderPlaced", &order(1), 1, "1"),
        of_type("OrderPaid", &order(1), 2, "2"),
        event(&other, 1, "3"),
    ];
    SnsPublisher::open(config(), &topic).await.expect("there").publish(&events).await.expect("published");
    let mut feed = QueueFeed::open(config(), &analytics).await.expect("there").subscribe(None);
    let mut came = [taken(&mut feed).await, taken(&mut feed).await];
    came.sort_by_key(RecordedEvent::version);
    assert_eq!((came[0].clone(), came[1].clone()), (events[0].clone(), events[1].clone()));
    assert!(is_silent(&mut feed, Duration::from_millis(300)).await);

    // Its dead-letter queue is the one that is told of.
    let consumer = QueueConsumer::open(config(), &mails, Arc::new(Helpless)).await.expect("there").start();
    eventually("it is a dead letter", async || left(&dead).await == (1, 0)).await;
    consumer.stop().await;
    let letters = DeadLetterQueue::open(config(), &mails).await.expect("there");
    assert_eq!(letters.url(), &dead);
    let letters = letters.list(&DeadMessages::all().of_class("helpless"), 10).await.expect("listed");
    assert_eq!(letters[0].events().expect("one"), events[1..2]);

    // What was received five times goes there, too.
    let asked = client().get_queue_attributes().queue_url(mails.as_str());
    let told = asked.attribute_names(QueueAttributeName::RedrivePolicy).send().await.expect("told");
    let policy = &told.attributes.expect("some")[&QueueAttributeName::RedrivePolicy];
    let policy: serde_json::Value = serde_json::from_str(policy).expect("JSON");
    assert_eq!(policy["maxReceiveCount"].to_string().trim_matches('"'), "5");

    // Somebody is told of dead letters: the alarm goes off when the queue's metric says that there are some.
    let alarms = async || {
        let ask = [("Action", "DescribeAlarms"), ("Version", "2010-08-01"), ("AlarmNamePrefix", &*name)];
        monitoring(&ask)
    };
    let told = alarms().await;
    for metric in [
        "GetRecords.IteratorAgeMilliseconds",
        "ApproximateAgeOfOldestMessage",
        "ApproximateNumberOfMessagesVisible",
        "NumberOfNotificationsFailed",
    ] {
        assert!(told.contains(metric), "no alarm on {metric}");
    }
    assert!(!told.contains("<StateValue>ALARM<"), "{told}");
    monitoring(&[
        ("Action", "PutMetricData"),
        ("Version", "2010-08-01"),
        ("Namespace", "AWS/SQS"),
        ("MetricData.member.1.MetricName", "ApproximateNumberOfMessagesVisible"),
        ("MetricData.member.1.Dimensions.member.1.Name", "QueueName"),
        ("MetricData.member.1.Dimensions.member.1.Value", dead.name()),
        ("MetricData.member.1.Value", "1"),
    ]);
    eventually("the alarm goes off", async || alarms().await.contains("<StateValue>ALARM<")).await;
}

fn monitoring(fields: &[(&str, &str)]) -> String {
    let fields: Vec<(String, &str)> = fields.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
    nexus_services::ask_by_form(&endpoint(), "monitoring", &fields).expect("it answers")
}
