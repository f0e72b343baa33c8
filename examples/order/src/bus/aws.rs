//! The buses of AWS: what must be fast goes by Kinesis, what may be cheap by SNS to SQS.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use nexus_core::{EventFeed, JoinedFeed, PathName};
use nexus_kinesis::{KinesisConfig, KinesisFeed, KinesisPublisher, StreamOptions, create_stream};
use nexus_sns::{QueueFeed, QueueOptions, SnsConfig, SnsPublisher, create_queue, create_topic};

use super::{Bus, CHEAP, FAST, SOURCE};
use crate::costs::Traffic;
use crate::place::Place;
use crate::read_models::ReadModels;

/// A shard bears five requests a second, and each read model asks: three of them, and one to spare.
const POLL_EVERY: Duration = Duration::from_millis(800);

/// `aws://NAME`: the stream `NAME-events`, the topic `NAME-events`, and a queue for each read model, such as `NAME-order-list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channels(Place);

/// What comes after `aws://`.
impl FromStr for Channels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place: Place = text.parse()?;
        let is_valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if place.name.is_empty() || place.name.len() > 60 || !place.name.bytes().all(is_valid) {
            return Err(format!(
                "{:?} cannot name a bus: a name takes 1 to 60 of the characters a-z, A-Z, 0-9, '_' and '-'",
                place.name
            ));
        }
        Ok(Self(place))
    }
}

impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "aws://{}", self.0)
    }
}

/// What a process has sent: the publishers count it.
#[derive(Clone, Debug)]
pub struct Sent {
    pub fast: KinesisPublisher,
    pub cheap: SnsPublisher,
    sns: SnsConfig,
}

impl Sent {
    /// What was sent until now, and what the queues were asked.
    pub fn traffic(&self) -> Traffic {
        let queue_requests = self.sns.queue_requests();
        Traffic { fast: self.fast.counts(), cheap: self.cheap.counts(), queue_requests }
    }
}

impl Channels {
    /// Opens them; what is not there is made.
    pub(super) async fn open(&self) -> anyhow::Result<Bus> {
        let (kinesis, sns) = (self.kinesis()?, self.sns()?);
        create_stream(&kinesis, &StreamOptions::default()).await?;
        let topic = create_topic(&sns, &format!("{}-events", self.0.name)).await?;
        let mut feeds = std::collections::BTreeMap::new();
        for name in ReadModels::NAMES {
            let queue = format!("{}-{name}", self.0.name);
            let queue = create_queue(&sns, &queue, &QueueOptions::of(&topic)).await?;
            let fast = KinesisFeed::open(kinesis.clone()).await?.poll_every(self.poll_every());
            let cheap = QueueFeed::open(sns.clone(), &queue).await?;
            let both = JoinedFeed::of([Arc::new(fast) as Arc<dyn EventFeed>, Arc::new(cheap)]);
            feeds.insert(name, Arc::new(both) as Arc<dyn EventFeed>);
        }
        let fast = KinesisPublisher::open(kinesis).await?;
        let cheap = SnsPublisher::open(sns.clone(), &topic).await?;
        let sent = Sent { fast: fast.clone(), cheap: cheap.clone(), sns };
        let paths = vec![
            (PathName::new(FAST)?, Arc::new(fast) as Arc<dyn nexus_core::EventPublisher>),
            (PathName::new(CHEAP)?, Arc::new(cheap)),
        ];
        Ok(Bus { paths, feeds, sent: Some(sent) })
    }

    /// A stand-in bears any number of requests.
    fn poll_every(&self) -> Duration {
        if self.0.endpoint.is_some() { Duration::from_millis(50) } else { POLL_EVERY }
    }

    fn kinesis(&self) -> anyhow::Result<KinesisConfig> {
        let mut config = KinesisConfig::new(&format!("{}-events", self.0.name))?.source(SOURCE)?;
        if let Some(region) = &self.0.region {
            config = config.region(region);
        }
        if let Some(endpoint) = &self.0.endpoint {
            config = config.endpoint(endpoint);
        }
        Ok(config)
    }

    fn sns(&self) -> anyhow::Result<SnsConfig> {
        let mut config = SnsConfig::default().source(SOURCE)?;
        if let Some(region) = &self.0.region {
            config = config.region(region);
        }
        if let Some(endpoint) = &self.0.endpoint {
            config = config.endpoint(endpoint);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_a_name_and_options() {
        for text in ["shop", "shop?region=eu-central-1", "shop?region=x&endpoint=http://127.0.0.1:8000"] {
            assert_eq!(text.parse::<Channels>().unwrap().to_string(), format!("aws://{text}"));
        }
        for text in ["", "a.b", "shop?zone=x"] {
            assert!(text.parse::<Channels>().is_err(), "{text}");
        }
    }
}
