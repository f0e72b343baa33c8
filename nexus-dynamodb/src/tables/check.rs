use std::time::Duration;

use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use aws_sdk_dynamodb::types::{KeyType, StreamViewType, TableDescription, TableStatus, TimeToLiveStatus};
use tokio::time::Instant;

use super::{Index, Layout};
use crate::client::Client;
use crate::error::{OpenError, told};

/// What differs where items do not expire as they should.
pub(super) const EXPIRY: &str = "time to live";
pub(super) const OFF: &str = "off";

/// How long it is waited for a table that is being made.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of a table that is as it has to be.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// Names its stream, where it has one.
    pub(crate) stream: Option<String>,
}

/// Looks whether a table is what it has to be; one that is being made is waited for.
pub(crate) async fn check(client: &Client, table: &str, layout: &Layout) -> Result<Checked, OpenError> {
    let started = Instant::now();
    let found = loop {
        let found = describe(client, table).await?;
        match found.table_status() {
            Some(TableStatus::Creating) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Some(TableStatus::Active | TableStatus::Updating) => break found,
            status => {
                let found = status.map_or("unknown", TableStatus::as_str);
                return Err(differs(table, "status", found, "ACTIVE"));
            }
        }
    };
    let key = |table: &TableDescription, kind: &KeyType| {
        let name = table.key_schema().iter().find(|key| key.key_type() == kind)?.attribute_name().to_owned();
        let mut attributes = table.attribute_definitions().iter();
        let attribute = attributes.find(|attribute| attribute.attribute_name() == name)?;
        Some(format!("{name} ({})", attribute.attribute_type().as_str()))
    };
    for (kind, what, (name, attribute)) in [
        (KeyType::Hash, "partition key", layout.partition_key.clone()),
        (KeyType::Range, "sort key", layout.sort_key.clone()),
    ] {
        let needed = format!("{name} ({})", attribute.as_str());
        let found = key(&found, &kind).unwrap_or_else(|| "none".to_owned());
        if found != needed {
            return Err(differs(table, what, found, needed));
        }
    }
    if let Some(index) = &layout.index {
        check_index(table, &found, index)?;
    }
    if layout.streams {
        let specification = found.stream_specification();
        let view = specification
            .filter(|stream| stream.stream_enabled())
            .and_then(|stream| stream.stream_view_type());
        if !matches!(view, Some(StreamViewType::NewImage | StreamViewType::NewAndOldImages)) {
            let found = view.map_or("off", StreamViewType::as_str);
            return Err(differs(table, "stream", found, "NEW_IMAGE"));
        }
    }
    if let Some(attribute) = layout.expires {
        check_expiry(client, table, attribute).await?;
    }
    Ok(Checked { stream: found.latest_stream_arn().map(str::to_owned) })
}

fn check_index(table: &str, found: &TableDescription, index: &Index) -> Result<(), OpenError> {
    let needed = format!("{} by {} and {}", index.name, index.partition_key.0, index.sort_key.0);
    let indexes = found.global_secondary_indexes();
    let described = indexes.iter().find(|described| described.index_name() == Some(index.name));
    let found = described.map_or_else(
        || "not there".to_owned(),
        |described| {
            let key = |kind| described.key_schema().iter().find(|key| *key.key_type() == kind);
            let name = |kind| key(kind).map_or("nothing", |key| key.attribute_name());
            format!("{} by {} and {}", index.name, name(KeyType::Hash), name(KeyType::Range))
        },
    );
    if found == needed { Ok(()) } else { Err(differs(table, "index", found, needed)) }
}

async fn check_expiry(client: &Client, table: &str, attribute: &'static str) -> Result<(), OpenError> {
    let asked = client.dynamo.describe_time_to_live().table_name(table).send().await;
    let answer = asked.map_err(|error| OpenError::Unavailable {
        attempted: format!("ask when items of table {table} expire"),
        source: told(error),
    })?;
    let found = answer.time_to_live_description().and_then(|expiry| {
        let is_on = matches!(
            expiry.time_to_live_status(),
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        );
        expiry.attribute_name().filter(|_| is_on)
    });
    if found == Some(attribute) {
        return Ok(());
    }
    Err(differs(table, EXPIRY, found.unwrap_or(OFF), attribute))
}

async fn describe(client: &Client, table: &str) -> Result<TableDescription, OpenError> {
    let failed = |source| OpenError::Unavailable { attempted: format!("look at table {table}"), source };
    match client.dynamo.describe_table().table_name(table).send().await {
        Ok(answer) => answer.table.ok_or_else(|| failed("DynamoDB told nothing of it".into())),
        Err(error)
            if error.as_service_error().is_some_and(DescribeTableError::is_resource_not_found_exception) =>
        {
            Err(OpenError::Missing { table: table.to_owned() })
        }
        Err(error) => Err(failed(told(error))),
    }
}

fn differs(
    table: &str,
    what: &'static str,
    found: impl Into<String>,
    needed: impl Into<String>,
) -> OpenError {
    OpenError::Differs { table: table.to_owned(), what, found: found.into(), needed: needed.into() }
}
