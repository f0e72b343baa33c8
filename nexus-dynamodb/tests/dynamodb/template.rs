//! The CloudFormation template: as good as the tables that are made by hand.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use futures::StreamExt;
use nexus_core::{
    AppendBatch, CommandId, EventFeed, EventId, EventStore, EventType, ExpectedVersion, FeedItem, NewEvent,
    Payload, StreamId, Timestamp,
};
use nexus_dynamodb::{DynamoConfig, DynamoProjections, DynamoSnapshots, DynamoStore, OpenError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Ministack, Server, config, sdk_config};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn template() -> PathBuf {
    workspace().join("deploy/dynamodb.yaml")
}

#[test]
fn the_template_is_well_formed() {
    nexus_services::cfn_lint(&workspace().join("target/services"), &template()).expect("nothing is found");
}

/// Asks CloudFormation, which takes forms; a stand-in takes any signature.
async fn cloudformation(fields: &[(&str, &str)]) -> String {
    let form: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    let body = form.join("&");
    let endpoint = Ministack::endpoint();
    let host = endpoint.trim_start_matches("http://");
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=any/20261126/us-east-1/cloudformation/aws4_request, \
         SignedHeaders=host, Signature=any\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(host).await.expect("ministack answers");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("answered");
    answer
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

async fn expire(table: &str) {
    let config = sdk_config().into_builder().endpoint_url(Ministack::endpoint()).build();
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name("x").build().expect("whole");
    let call = aws_sdk_dynamodb::Client::new(&config).update_time_to_live().table_name(table);
    call.time_to_live_specification(expiry).send().await.expect("it is set");
}

#[tokio::test]
async fn what_the_template_makes_can_be_opened_and_used() {
    // The name alone: nothing is made yet.
    let name = config::<Ministack>().tables().events_table().to_owned();
    let text = std::fs::read_to_string(template()).expect("it is there");
    let stack = [
        ("Action", "CreateStack"),
        ("Version", "2010-05-15"),
        ("StackName", &name),
        ("TemplateBody", &text),
        ("Parameters.member.1.ParameterKey", "TableName"),
        ("Parameters.member.1.ParameterValue", &name),
        ("Parameters.member.2.ParameterKey", "DeletionProtection"),
        ("Parameters.member.2.ParameterValue", "false"),
        ("Capabilities.member.1", "CAPABILITY_IAM"),
    ];
    let made = cloudformation(&stack).await;
    assert!(made.contains("<StackId>"), "{made}");
    let stack = [("Action", "DescribeStacks"), ("Version", "2010-05-15"), ("StackName", &*name)];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let told = cloudformation(&stack).await;
        if told.contains("<StackStatus>CREATE_COMPLETE<") {
            break;
        }
        assert!(told.contains("<StackStatus>CREATE_IN_PROGRESS<"), "{told}");
        assert!(tokio::time::Instant::now() < deadline, "the stack is not made");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    let config =
        DynamoConfig::new(&name).expect("valid").sdk_config(sdk_config()).endpoint(Ministack::endpoint());
    let store = DynamoStore::open_with(config.clone()).await.expect("the table is as it has to be");
    DynamoProjections::open_with(config.clone()).await.expect("the table is as it has to be");
    // ministack leaves this out of a table that CloudFormation makes; the linter has seen it.
    match DynamoSnapshots::open_with(config.clone()).await {
        Err(OpenError::Differs { what: "time to live", .. }) => {
            expire(config.tables().snapshots_table()).await;
        }
        other => drop(other.expect("the table is as it has to be")),
    }
    DynamoSnapshots::open_with(config).await.expect("the table is as it has to be");
    let id = EventId::from_bytes(*CommandId::named(Timestamp::now(), "a").as_bytes());
    let event =
        NewEvent::new(id, EventType::new("Made").expect("valid"), Payload::from_json("1").expect("JSON"));
    let stream = StreamId::new("thing", 1).expect("valid");
    let batch = AppendBatch::new(stream, ExpectedVersion::NoStream, vec![event]).expect("valid");
    drop(store.append(batch).await.expect("stored"));
    let mut subscription = store.feed().subscribe(None);
    match subscription.next().await {
        Some(Ok(FeedItem::Event(delivery))) => assert_eq!(delivery.event().id(), id),
        other => panic!("expected the event, got {other:?}"),
    }
}
