use aws_lambda_events::event::dynamodb::Event as TableEvent;
use aws_lambda_events::event::kinesis::KinesisEvent;
use aws_lambda_events::event::sqs::SqsEvent;
use nexus_lambda::HandedBatch;

use crate::recorded::look_at;

/// What a function is called with.
pub fn lambda_batches(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<SqsEvent>(bytes) {
        HandedBatch::of_queue(event).events().for_each(look_at);
    }
    if let Ok(event) = serde_json::from_slice::<KinesisEvent>(bytes) {
        HandedBatch::of_stream(event).events().for_each(look_at);
    }
    if let Ok(event) = serde_json::from_slice::<TableEvent>(bytes) {
        HandedBatch::of_table(event).events().for_each(look_at);
    }
}
