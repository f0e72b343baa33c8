use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

#[cfg(feature = "dynamodb")]
use aws_lambda_events::event::dynamodb::Event as TableEvent;
#[cfg(feature = "kinesis")]
use aws_lambda_events::event::kinesis::KinesisEvent;
#[cfg(feature = "sqs")]
use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
#[cfg(feature = "kinesis")]
use aws_lambda_events::event::streams::KinesisEventResponse;
#[cfg(feature = "dynamodb")]
use aws_lambda_events::event::streams::{DynamoDbBatchItemFailure, DynamoDbEventResponse};
#[cfg(feature = "kinesis")]
use nexus_core::CloudEvents;
use nexus_core::{HandedFeed, HandedRecord, RecordedEvent};

#[cfg(feature = "dynamodb")]
use crate::dynamodb;

/// The records with which a function is called.
#[derive(Clone, Debug, Default)]
pub struct HandedBatch {
    /// What each record is known as, in order.
    ids: Vec<String>,
    records: Vec<HandedRecord>,
    /// What is no event; and what must not overtake it.
    left: BTreeSet<String>,
    is_ordered: bool,
}

/// What was not taken in of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What each record is known as, in order.
    ids: Vec<String>,
}

impl HandedBatch {
    /// The messages of a queue, as [`SnsPublisher`](nexus_sns::SnsPublisher) has published them.
    #[cfg(feature = "sqs")]
    pub fn of_queue(event: SqsEvent) -> Self {
        // The messages of a FIFO queue have a group.
        let is_ordered =
            event.records.iter().any(|message| message.attributes.contains_key("MessageGroupId"));
        let mut batch = Self { is_ordered, ..Self::default() };
        for message in event.records {
            let events = nexus_sns::events_of_message(message.body.as_deref().unwrap_or_default());
            batch.add(message.message_id.unwrap_or_default(), events);
        }
        batch
    }

    /// The records of a Kinesis stream, as `KinesisPublisher` of nexus-kinesis has published them.
    #[cfg(feature = "kinesis")]
    pub fn of_stream(event: KinesisEvent) -> Self {
        let mut batch = Self { is_ordered: true, ..Self::default() };
        for record in event.records.into_iter().map(|record| record.kinesis) {
            batch.add(record.sequence_number, CloudEvents::decode(&record.data));
        }
        batch
    }

    /// The changes of a table of events, as its stream tells them. What is no commit, such as what somebody has removed, is passed over.
    #[cfg(feature = "dynamodb")]
    pub fn of_table(event: TableEvent) -> Self {
        let mut batch = Self { is_ordered: true, ..Self::default() };
        for record in event.records {
            let id = record.change.sequence_number.clone().unwrap_or_default();
            batch.add(id, dynamodb::events_of(record));
        }
        batch
    }

    fn add<E: Error + 'static>(&mut self, id: String, events: Result<Vec<RecordedEvent>, E>) {
        self.ids.push(id.clone());
        if self.is_ordered && !self.left.is_empty() {
            self.left.insert(id);
            return;
        }
        match events {
            Ok(events) => self.records.push(HandedRecord::new(id, events)),
            Err(error) => {
                tracing::error!(
                    record = id,
                    error = &error as &dyn Error,
                    "a record is no event: it is reported as failed"
                );
                self.left.insert(id);
            }
        }
    }

    /// Its events, in order.
    pub fn events(&self) -> impl Iterator<Item = &RecordedEvent> {
        self.records.iter().flat_map(HandedRecord::events)
    }

    /// Hands it over, and waits until it is taken in, for as long as `patience`: less than the function itself may take.
    pub async fn hand_to(self, feed: &HandedFeed, patience: Duration) -> Failed {
        let Self { ids, records, mut left, .. } = self;
        left.extend(feed.hand_over(records, patience).await);
        Failed { ids: ids.into_iter().filter(|id| left.contains(id)).collect() }
    }
}

impl Failed {
    /// Whether all was taken in.
    pub fn is_none(&self) -> bool {
        self.ids.is_empty()
    }

    /// What they are known as, in order.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// What a function that is called by a queue answers: they come again, and no others.
    #[cfg(feature = "sqs")]
    pub fn of_queue(self) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        response.set_failures(self.ids);
        response
    }

    /// What a function that is called by a Kinesis stream answers: the first comes again, and all after it.
    #[cfg(feature = "kinesis")]
    pub fn of_stream(self) -> KinesisEventResponse {
        let mut response = KinesisEventResponse::default();
        response.set_failures(self.ids.into_iter().take(1));
        response
    }

    /// What a function that is called by the stream of a table answers: the first comes again, and all after it.
    #[cfg(feature = "dynamodb")]
    pub fn of_table(self) -> DynamoDbEventResponse {
        let (mut response, mut failure) =
            (DynamoDbEventResponse::default(), DynamoDbBatchItemFailure::default());
        failure.item_identifier = self.ids.into_iter().next();
        if failure.item_identifier.is_some() {
            response.batch_item_failures.push(failure);
        }
        response
    }
}
