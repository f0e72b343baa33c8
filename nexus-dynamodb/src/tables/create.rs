use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, Projection, ProjectionType, StreamSpecification, StreamViewType, Tag,
    TimeToLiveSpecification,
};
use nexus_core::BoxError;

use super::check::{EXPIRY, OFF};
use super::{Layout, check, of_events, of_projections, of_snapshots};
use crate::client::Client;
use crate::config::DynamoConfig;
use crate::error::{OpenError, told};

/// How tables are made.
///
/// ```
/// use nexus_dynamodb::TableOptions;
///
/// let options = TableOptions::default().tag("team", "shop").recoverable().protected();
/// ```
#[derive(Clone, Debug, Default)]
pub struct TableOptions {
    tags: Vec<(String, String)>,
    recoverable: bool,
    protected: bool,
}

impl TableOptions {
    /// With a tag more.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }

    /// The tables can be brought back to any second of the last 35 days, at a price by size.
    #[must_use]
    pub fn recoverable(self) -> Self {
        Self { recoverable: true, ..self }
    }

    /// The tables cannot be deleted before somebody takes that back.
    #[must_use]
    pub fn protected(self) -> Self {
        Self { protected: true, ..self }
    }
}

/// Makes the tables that `config` names, with capacity on demand, and waits until they can be used. Those that are there already are
/// checked, and otherwise left as they are, but for what making them may not have come to: expiry, and recovery where it is asked for. Several
/// programs may call it at once, and again.
///
/// `deploy/dynamodb.yaml` has the same tables as a CloudFormation template.
///
/// # Errors
/// A table of the name is something else ([`OpenError::Differs`]), or DynamoDB refuses or does not answer.
pub async fn create_tables(config: &DynamoConfig, options: &TableOptions) -> Result<(), OpenError> {
    let client = config.client().await;
    let tables = &config.tables;
    for (table, layout) in [
        (tables.events_table(), of_events()),
        (tables.projections_table(), of_projections()),
        (tables.snapshots_table(), of_snapshots()),
    ] {
        create(&client, table, &layout, options).await?;
        // Neither can be said while the table is being made, nor is it known whether who has made it could say so.
        let made = Layout { expires: None, ..layout.clone() };
        check(&client, table, &made).await?;
        expire(&client, table, &layout).await?;
        if options.recoverable {
            make_recoverable(&client, table).await?;
        }
        check(&client, table, &layout).await?;
    }
    Ok(())
}

async fn create(
    client: &Client,
    table: &str,
    layout: &Layout,
    options: &TableOptions,
) -> Result<(), OpenError> {
    let failed =
        |source: BoxError| OpenError::Unavailable { attempted: format!("make table {table}"), source };
    let unbuilt = |error: aws_sdk_dynamodb::error::BuildError| failed(error.into());
    let mut call = client
        .dynamo
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .deletion_protection_enabled(options.protected);
    let key = |(name, _): &(&str, _), kind| {
        KeySchemaElement::builder().attribute_name(*name).key_type(kind).build().map_err(unbuilt)
    };
    let (partition, sort) = (&layout.partition_key, &layout.sort_key);
    call = call.key_schema(key(partition, KeyType::Hash)?).key_schema(key(sort, KeyType::Range)?);
    let indexed = layout.index.iter().flat_map(|index| [&index.partition_key, &index.sort_key]);
    for (name, attribute) in [partition, sort].into_iter().chain(indexed) {
        let attribute =
            AttributeDefinition::builder().attribute_name(*name).attribute_type(attribute.clone());
        call = call.attribute_definitions(attribute.build().map_err(unbuilt)?);
    }
    if let Some(index) = &layout.index {
        let projection = Projection::builder()
            .projection_type(ProjectionType::Include)
            .non_key_attributes(index.includes)
            .build();
        let index = GlobalSecondaryIndex::builder()
            .index_name(index.name)
            .key_schema(key(&index.partition_key, KeyType::Hash)?)
            .key_schema(key(&index.sort_key, KeyType::Range)?)
            .projection(projection);
        call = call.global_secondary_indexes(index.build().map_err(unbuilt)?);
    }
    if layout.streams {
        let stream =
            StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
        call = call.stream_specification(stream.build().map_err(unbuilt)?);
    }
    for (key, value) in &options.tags {
        call = call.tags(Tag::builder().key(key).value(value).build().map_err(unbuilt)?);
    }
    match call.send().await {
        Err(error)
            if !error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception) =>
        {
            Err(failed(told(error)))
        }
        _ => Ok(()),
    }
}

/// Has items expire, where they do not yet.
async fn expire(client: &Client, table: &str, layout: &Layout) -> Result<(), OpenError> {
    let Some(attribute) = layout.expires else { return Ok(()) };
    let attempted = || format!("have items of table {table} expire");
    let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute).build();
    let expiry =
        expiry.map_err(|error| OpenError::Unavailable { attempted: attempted(), source: error.into() })?;
    let mut retries = client.retry.start();
    loop {
        let differs = match check(client, table, layout).await {
            Err(differs @ OpenError::Differs { what: EXPIRY, .. }) => differs,
            checked => return checked.map(drop),
        };
        // Another attribute is somebody's choice.
        if !matches!(&differs, OpenError::Differs { found, .. } if found == OFF) {
            return Err(differs);
        }
        let call = client.dynamo.update_time_to_live().table_name(table);
        match call.time_to_live_specification(expiry.clone()).send().await {
            Ok(_) => return Ok(()),
            // Somebody else is about to.
            Err(_) if retries.again().await => {}
            Err(error) => return Err(OpenError::Unavailable { attempted: attempted(), source: told(error) }),
        }
    }
}

/// Has backups made, unless they are; DynamoDB may not take that just after it has made the table.
async fn make_recoverable(client: &Client, table: &str) -> Result<(), OpenError> {
    let attempted = || format!("make table {table} recoverable");
    let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
    let recovery =
        recovery.map_err(|error| OpenError::Unavailable { attempted: attempted(), source: error.into() })?;
    let mut retries = client.retry.start();
    loop {
        let call = client.dynamo.update_continuous_backups().table_name(table);
        match call.point_in_time_recovery_specification(recovery.clone()).send().await {
            Ok(_) => return Ok(()),
            Err(_) if retries.again().await => {}
            Err(error) => return Err(OpenError::Unavailable { attempted: attempted(), source: told(error) }),
        }
    }
}
