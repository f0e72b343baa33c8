//! The CloudFormation template: as good as the tables that are made by hand.

use std::path::{Path, PathBuf};

use aws_sdk_dynamodb::types::TimeToLiveSpecification;
use futures::StreamExt;
use nexus_core::{
    AppendBatch, CommandId, EventFeed, EventId, EventStore, EventType, ExpectedVersion, FeedItem, NewEvent,
    Payload, StreamId, Timestamp,
};
use nexus_dynamodb::{DynamoConfig, DynamoProjections, DynamoSnapshots, DynamoStore, OpenError};
use nexus_services::Stack;

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
    let parameters = [("TableName", &*name), ("DeletionProtection", "false")];
    Stack::make(&Ministack::endpoint(), &name, &template(), &parameters).expect("the stack is made");

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
