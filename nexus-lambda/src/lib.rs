//! Nexus in AWS Lambda: a relay or a projection that is fed from the batches with which a function is called.
//!
//! The event source mapping reports what failed ([`ReportBatchItemFailures`](https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html)):
//! switch that on, or what was not taken in is gone.
//!
//! ```no_run
//! use std::time::Duration;
//! use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
//! use nexus_core::{DocumentTx, FeedOrdering, HandedFeed, Projection, ProjectionRunner, ReadModelStore};
//! use nexus_lambda::HandedBatch;
//!
//! async fn take_in(
//!     event: SqsEvent,
//!     mails: impl Projection<DocumentTx>,
//!     read_models: impl ReadModelStore<DocumentTx>,
//! ) -> Result<SqsBatchResponse, Box<dyn std::error::Error>> {
//!     let feed = HandedFeed::new(FeedOrdering::None);
//!     let running = ProjectionRunner::receiving(mails, feed.clone(), read_models).start().await?;
//!     let failed = HandedBatch::of_queue(event).hand_to(&feed, Duration::from_secs(20)).await;
//!     running.stop().await?;
//!     Ok(failed.of_queue())
//! }
//! ```
//!
//! # Guarantees
//!
//! - What is not reported as failed was taken in: what a projection makes of it is committed, or it is with the projection's dead letters; what a relay makes of it is
//!   published, or waits in the relay's store, and is published by later calls: wait for that ([`carried`](nexus_core::RunningRelay::carried)) before the relay is stopped, and
//!   have the function called now and then with an empty batch, too, or what waits for a path that was down waits for the next event.
//! - What was taken in and comes again is known again by [`receiving`](nexus_core::ProjectionRunner::receiving) by its id, by
//!   [`following`](nexus_core::ProjectionRunner::following) by its version. A relay publishes it again.
//! - Of a stream, a table or a FIFO queue nothing is taken in that comes after a record that is no event; of a stream and a table the first record that failed is
//!   reported, and Lambda goes on from there, so that nothing overtakes it.
//! - What Lambda has tried as often as its mapping says, whatever the reason was, it gives up: give a stream's mapping no limit but its age, and an alarm, or it passes
//!   over events when a store was down for a while.
//! - A read model that is fed in this way cannot be made once more, or in a new version: give it a new name, and make it from the store.
//!
//! # How many at a time
//!
//! A projection and a relay work under a lease: of several functions at a time one works, and others wait for it, as long as their patience lasts. Keep
//! them few: a queue's mapping takes a `MaximumConcurrency` of 2 at least. A reserved concurrency is no means to that: what Lambda has received and may not
//! run counts as a try. Stop what runs before the function returns: what is stopped gives up its lease at once, and what is frozen with its lease is waited for.

#![warn(missing_docs)]

mod batch;
#[cfg(feature = "dynamodb")]
mod dynamodb;

pub use aws_lambda_events;
pub use batch::{Failed, HandedBatch};
