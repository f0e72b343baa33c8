//! Tables that are not there, or not what they have to be.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};
use nexus_dynamodb::{
    DynamoConfig, DynamoSnapshots, DynamoStore, OpenError, TableNames, TableOptions, create_tables,
};

use crate::support::{Dynoxide, Server, config, house, sdk_config};

fn client() -> aws_sdk_dynamodb::Client {
    let config = sdk_config().into_builder().endpoint_url(Dynoxide::endpoint()).build();
    aws_sdk_dynamodb::Client::new(&config)
}

#[tokio::test]
async fn a_table_that_is_missing_is_named() {
    let config = config::<Dynoxide>();
    let table = config.tables().events_table().to_owned();
    let error = DynamoStore::open_with(config).await.unwrap_err();
    assert!(matches!(&error, OpenError::Missing { table: named } if *named == table), "{error}");
    assert!(error.to_string().contains("create_tables"), "{error}");
}

#[tokio::test]
async fn tables_are_made_once_with_their_tags() {
    let config = config::<Dynoxide>();
    let options = TableOptions::default().tag("team", "shop").protected();
    for _ in 0..2 {
        create_tables(&config, &options).await.unwrap();
    }
    let client = client();
    let table = client.describe_table().table_name(config.tables().events_table()).send().await.unwrap();
    let table = table.table.unwrap();
    assert_eq!(table.deletion_protection_enabled, Some(true));
    let tags = client.list_tags_of_resource().resource_arn(table.table_arn.unwrap()).send().await.unwrap();
    let tags: Vec<_> = tags.tags().iter().map(|tag| (tag.key(), tag.value())).collect();
    assert_eq!(tags, [("team", "shop")]);
    DynamoStore::open_with(config).await.unwrap();
}

/// As many programs start at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_by_several_at_once() {
    let config = config::<Dynoxide>();
    let makers: Vec<_> = (0..4)
        .map(|_| {
            let config = config.clone();
            tokio::spawn(async move { create_tables(&config, &TableOptions::default()).await })
        })
        .collect();
    for maker in makers {
        maker.await.unwrap().unwrap();
    }
    DynamoSnapshots::open_with(config).await.unwrap();
}

/// Whoever was making them has died in between.
#[tokio::test]
async fn what_making_tables_did_not_come_to_is_made_up_for() {
    let config = house::<Dynoxide>().await;
    let table = config.tables().snapshots_table();
    let never = TimeToLiveSpecification::builder().enabled(false).attribute_name("x").build().unwrap();
    client().update_time_to_live().table_name(table).time_to_live_specification(never).send().await.unwrap();
    let error = DynamoSnapshots::open_with(config.clone()).await.unwrap_err();
    assert!(error.to_string().contains("time to live is off"), "{error}");
    create_tables(&config, &TableOptions::default()).await.unwrap();
    DynamoSnapshots::open_with(config).await.unwrap();
}

#[tokio::test]
async fn what_differs_is_named() {
    let config = config::<Dynoxide>();
    let table = config.tables().events_table();
    let attribute =
        |name, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap();
    // Right but for its stream, and then wrong altogether.
    for (sort, kind, what) in [
        ("v", ScalarAttributeType::N, "stream is off"),
        ("version", ScalarAttributeType::S, "sort key is version (S)"),
    ] {
        let client = client();
        let call = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        let call = call.key_schema(key("s", KeyType::Hash)).key_schema(key(sort, KeyType::Range));
        let call = call.attribute_definitions(attribute("s", ScalarAttributeType::S).unwrap());
        call.attribute_definitions(attribute(sort, kind).unwrap()).send().await.unwrap();
        for error in [
            DynamoStore::open_with(config.clone()).await.unwrap_err(),
            create_tables(&config, &TableOptions::default()).await.unwrap_err(),
        ] {
            assert!(error.to_string().contains(what), "{error}");
        }
        client.delete_table().table_name(table).send().await.unwrap();
    }
}

#[test]
fn names_are_checked_where_they_enter() {
    for name in ["", "ab", "a b", "a/b", &"x".repeat(256)] {
        assert!(DynamoConfig::new(name).unwrap_err().to_string().contains("3 to 255"), "{name}");
    }
    assert!(TableNames::of("shop").unwrap().projections("!").is_err());
    // With what is added to it.
    assert!(TableNames::of(&"x".repeat(250)).is_err());
}

#[tokio::test]
async fn nobody_there_is_an_error_that_says_so() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = config::<Dynoxide>().endpoint(format!("http://{free}"));
    let config = config.retry_for(std::time::Duration::from_millis(300));
    let error = DynamoStore::open_with(config).await.unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error:?}");
    assert!(format!("{error:?}").contains("refused"), "{error:?}");
}
