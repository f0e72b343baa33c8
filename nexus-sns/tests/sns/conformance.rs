//! The public suite, on a topic and a queue of its own for each case.

use std::sync::Arc;

use nexus_core::EventFeed;
use nexus_core::testing::PublisherFixture;
use nexus_sns::{SnsPublisher, TopicArn};

use crate::support::{Kind, config, feed, queue, topic};

async fn publisher(topic: &TopicArn) -> SnsPublisher {
    SnsPublisher::open(config(), topic).await.expect("the topic is there")
}

struct Standard(TopicArn);

impl PublisherFixture for Standard {
    type Publisher = SnsPublisher;

    async fn start() -> Self {
        Self(topic(Kind::Standard).await)
    }

    async fn publisher(&self) -> SnsPublisher {
        publisher(&self.0).await
    }

    async fn consumer(&self) -> Arc<dyn EventFeed> {
        Arc::new(feed(&queue(&self.0).await).await)
    }
}

struct Fifo(TopicArn);

impl PublisherFixture for Fifo {
    type Publisher = SnsPublisher;

    async fn start() -> Self {
        Self(topic(Kind::Fifo).await)
    }

    async fn publisher(&self) -> SnsPublisher {
        publisher(&self.0).await
    }

    async fn consumer(&self) -> Arc<dyn EventFeed> {
        Arc::new(feed(&queue(&self.0).await).await)
    }
}

mod standard {
    nexus_core::event_publisher_conformance!(super::Standard);
}

mod fifo {
    nexus_core::event_publisher_conformance!(super::Fifo);
}
