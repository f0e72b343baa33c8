use std::collections::HashMap;

use aws_lambda_events::event::dynamodb::EventRecord;
use nexus_core::{RecordedEvent, StoreError};
use nexus_dynamodb::AttributeValue;

/// The events that a change of a table has stored. Nothing that is stored is ever changed: what somebody else changes or removes is not ours.
pub(crate) fn events_of(record: EventRecord) -> Result<Vec<RecordedEvent>, StoreError> {
    if record.event_name != "INSERT" {
        tracing::warn!(keys = ?record.change.keys, "an item of the table of events was changed or removed by somebody else");
        return Ok(Vec::new());
    }
    let image: HashMap<String, serde_dynamo::AttributeValue> = record.change.new_image.into_inner();
    nexus_dynamodb::events_of_item(image.into_iter().filter_map(plain).collect())
}

/// The kinds of values that items of events have.
fn plain((name, value): (String, serde_dynamo::AttributeValue)) -> Option<(String, AttributeValue)> {
    let value = match value {
        serde_dynamo::AttributeValue::S(text) => AttributeValue::S(text),
        serde_dynamo::AttributeValue::N(number) => AttributeValue::N(number),
        _ => return None,
    };
    Some((name, value))
}
