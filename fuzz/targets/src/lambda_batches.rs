use aws_lambda_events::event::dynamodb::Event as TableEvent;
use aws_lambda_events::event::kinesis::KinesisEvent;
use aws_lambda_events::event::sqs::SqsEvent;
use nexus_lambda::HandedBatch;
use serde_json::{Value, json};

use crate::recorded::look_at;

/// What a function is called with: text as a message's body, as a record's data, and as a table's item. What is around it the runtime has read before.
pub fn lambda_batches(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let message = json!({ "messageId": "1", "body": text, "attributes": {}, "messageAttributes": {} });
    if let Ok(event) = serde_json::from_value::<SqsEvent>(json!({ "Records": [message.clone(), message] })) {
        HandedBatch::of_queue(event).events().for_each(look_at);
    }
    let record = json!({ "kinesis": {
        "approximateArrivalTimestamp": 1_795_000_000.0, "data": "", "partitionKey": "order-42",
        "sequenceNumber": "1", "kinesisSchemaVersion": "1.0",
    }});
    if let Ok(mut event) = serde_json::from_value::<KinesisEvent>(json!({ "Records": [record] })) {
        event.records.iter_mut().for_each(|record| record.kinesis.data.0 = bytes.to_vec());
        HandedBatch::of_stream(event).events().for_each(look_at);
    }
    if let Ok(image) = serde_json::from_str::<Value>(text) {
        let change = json!({
            "eventID": "1", "eventName": "INSERT", "awsRegion": "any",
            "dynamodb": { "Keys": {}, "NewImage": image, "SequenceNumber": "1", "SizeBytes": 10 },
        });
        if let Ok(event) = serde_json::from_value::<TableEvent>(json!({ "Records": [change] })) {
            HandedBatch::of_table(event).events().for_each(look_at);
        }
    }
}
