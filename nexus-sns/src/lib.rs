//! The queue bus of Nexus on Amazon SNS and SQS: events are published to a topic, which hands each to any number of queues.
//!
//! ```no_run
//! use nexus_core::{MemoryProjections, MemoryStore, PathName, Relay, Routes};
//! use nexus_sns::{QueueOptions, SnsConfig, SnsPublisher, create_queue, create_topic};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! # let (log, notes) = (MemoryStore::new(), MemoryProjections::new());
//! let config = SnsConfig::default().region("eu-central-1").source("/shop")?;
//! let topic = create_topic(&config, "shop-events").await?; // or by the template in deploy/
//! let queue = create_queue(&config, "mails", &QueueOptions::of(&topic).types(["OrderPaid"])).await?;
//! let cheap = PathName::new("cheap")?;
//! let relay = Relay::new("shop", log, Routes::otherwise(cheap.clone()), notes)
//!     .path(cheap, SnsPublisher::open(config, &topic).await?)
//!     .start()
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//!
//! Those of [`EventPublisher`](nexus_core::EventPublisher) and [`EventFeed`](nexus_core::EventFeed): at least once. A standard topic and its queues have no order,
//! and say so; a FIFO topic (`….fifo`) and its FIFO queues have that of each stream of events.
//!
//! Tried on a stand-in, not on the real service yet. `deploy/buses.yaml` has topic and queues as a CloudFormation template, with alarms and least-privilege roles.
//!
//! # Who takes events in
//!
//! | | effect | repeats | what fails |
//! | --- | --- | --- | --- |
//! | [`QueueConsumer`] | an [`EventHandler`](nexus_core::EventHandler), at least once | dropped for 10 minutes, by this process | 5 tries, then the queue's dead-letter queue: [`DeadLetterQueue`] |
//! | [`ProjectionRunner::receiving`](nexus_core::ProjectionRunner::receiving) on a [`QueueFeed`] | a read model, exactly once | dropped for 4 days, whoever reads | the read model's dead letters |
//! | [`ProjectionRunner::following`](nexus_core::ProjectionRunner::following) on it | the same, each stream in its order, with the store at hand | dropped for good | the same |
//!
//! # Metrics
//!
//! | counter | labels | counts |
//! | --- | --- | --- |
//! | `nexus_sns_retried_messages_total` | `topic` | messages that SNS did not take at first |
//! | `nexus_sns_unreadable_messages_total` | `queue` | messages of a feed that are no event |
//! | `nexus_sns_consumed_events_total` | `queue`, `outcome`: `handled`, `repeated`, `failed`, `dead` | what a [`QueueConsumer`] was given: `failed` each time that is tried again |
//!
//! # What travels
//!
//! A message is an event as [`CloudEvents`](nexus_core::CloudEvents). Its attributes `type`, `category` and `version` (of the schema, a number) are for filter policies,
//! so that a queue gets only what it asks for.

#![warn(missing_docs)]

mod arn;
mod client;
mod config;
mod consumer;
mod dead_letters;
mod error;
mod feed;
mod message;
mod publisher;
mod queue;
mod setup;

pub use arn::{InvalidTopic, TopicArn};
pub use aws_config;
pub use config::SnsConfig;
pub use consumer::{QueueConsumer, RunningConsumer};
pub use dead_letters::{
    DeadLetterArchive, DeadLetterError, DeadLetterQueue, DeadMessage, DeadMessages, JsonLinesArchive,
};
pub use error::OpenError;
pub use feed::QueueFeed;
pub use message::read as events_of_message;
pub use publisher::{PublishedCounts, SnsPublisher};
pub use setup::{InvalidQueue, QueueOptions, QueueUrl, create_queue, create_topic};
