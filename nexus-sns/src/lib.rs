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
//! Tried on a stand-in, not on the real service yet.
//!
//! # What travels
//!
//! A message is an event as [`CloudEvents`](nexus_core::CloudEvents). Its attributes `type`, `category` and `version` (of the schema, a number) are for filter policies,
//! so that a queue gets only what it asks for.

#![warn(missing_docs)]

mod arn;
mod client;
mod config;
mod error;
mod feed;
mod message;
mod publisher;
mod setup;

pub use arn::{InvalidTopic, TopicArn};
pub use aws_config;
pub use config::SnsConfig;
pub use error::OpenError;
pub use feed::QueueFeed;
pub use publisher::{PublishedCounts, SnsPublisher};
pub use setup::{InvalidQueue, QueueOptions, QueueUrl, create_queue, create_topic};
