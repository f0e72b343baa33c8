//! Where events are published for others, and what the read models are then made of.

#[cfg(feature = "aws")]
mod aws;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use nexus_core::{
    EventFeed, EventPublisher, JoinedFeed, LogBus, PathName, Query, Relay, Routes, RunningRelay,
};
use nexus_sqlite::SqliteStore;

#[cfg(feature = "aws")]
pub use self::aws::{Channels, Sent};
use crate::read_models::ReadModels;
use crate::shop::Shop;

/// What must be fast, and what may be cheap.
const FAST: &str = "fast";
const CHEAP: &str = "cheap";

/// Which events take which of them.
const ROUTES: &str = include_str!("../routes.json");

/// Where published events say that they come from.
const SOURCE: &str = "/order";

/// `local`, `local:DIRECTORY`, or with the feature `aws` `aws` and `aws://NAME?region=REGION&endpoint=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// Files in a directory.
    Local(PathBuf),
    /// A stream of Kinesis, and a topic with queues.
    #[cfg(feature = "aws")]
    Aws(Channels),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{address:?} is no bus: {reason}")]
pub struct InvalidBus {
    address: String,
    reason: String,
}

impl FromStr for BusAddress {
    type Err = InvalidBus;

    fn from_str(text: &str) -> Result<Self, InvalidBus> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match (kind, rest) {
            ("local", "") => Ok(Self::Local(".".into())),
            ("local", directory) => Ok(Self::Local(directory.into())),
            ("aws", rest) if rest.is_empty() || rest.starts_with("//") => {
                aws(rest.strip_prefix("//").unwrap_or("order"))
                    .map_err(|reason| InvalidBus { address: text.to_owned(), reason })
            }
            _ => {
                let reason = "expected local, local:DIRECTORY, aws or aws://NAME?region=REGION&endpoint=URL";
                Err(InvalidBus { address: text.to_owned(), reason: reason.to_owned() })
            }
        }
    }
}

#[cfg(feature = "aws")]
fn aws(channels: &str) -> Result<BusAddress, String> {
    channels.parse().map(BusAddress::Aws)
}

#[cfg(not(feature = "aws"))]
fn aws(_: &str) -> Result<BusAddress, String> {
    Err("this program was built without AWS: build it with --features aws".to_owned())
}

/// Two paths, and for each read model a feed of what takes either.
#[derive(Clone)]
pub struct Bus {
    paths: Vec<(PathName, Arc<dyn EventPublisher>)>,
    feeds: BTreeMap<&'static str, Arc<dyn EventFeed>>,
    #[cfg(feature = "aws")]
    sent: Option<Sent>,
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("paths", &self.paths).field("feeds", &self.feeds).finish()
    }
}

impl BusAddress {
    /// Opens it; what is not there is made.
    pub async fn open(&self) -> anyhow::Result<Bus> {
        match self {
            Self::Local(directory) => Bus::local(directory).await,
            #[cfg(feature = "aws")]
            Self::Aws(channels) => channels.open().await,
        }
    }
}

impl Bus {
    /// A file for each path. Whoever reads knows what it has read.
    async fn local(directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("could not make directory {}", directory.display()))?;
        let open = async |path: &str| {
            let file = directory.join(format!("order-{path}.db"));
            anyhow::Ok(Arc::new(LogBus::new(SqliteStore::open(&file).await?, SOURCE)?))
        };
        let (fast, cheap) = (open(FAST).await?, open(CHEAP).await?);
        let feed = |_| {
            let feeds = [fast.feed(Query::all()), cheap.feed(Query::all())];
            Arc::new(JoinedFeed::of(feeds.map(|feed| Arc::new(feed) as Arc<dyn EventFeed>)))
        };
        let feeds = ReadModels::NAMES.map(|name| (name, feed(name) as Arc<dyn EventFeed>)).into();
        Ok(Self {
            paths: vec![(PathName::new(FAST)?, fast), (PathName::new(CHEAP)?, cheap)],
            feeds,
            #[cfg(feature = "aws")]
            sent: None,
        })
    }

    /// What a read model is made of, if it is one of those.
    pub(crate) fn feed(&self, projection: &str) -> Option<&Arc<dyn EventFeed>> {
        self.feeds.get(projection)
    }

    /// What was sent by AWS, and what that costs.
    #[cfg(feature = "aws")]
    pub fn sent(&self) -> Option<&Sent> {
        self.sent.as_ref()
    }

    /// Takes the shop's events to their paths.
    pub(crate) async fn relay(&self, shop: &Shop) -> anyhow::Result<RunningRelay> {
        let routes: Routes = serde_json::from_str(ROUTES).context("routes.json is wrong")?;
        let relay = match shop.feed() {
            Some(feed) => Relay::following("order", feed.clone(), routes, shop.read_models.clone()),
            None => Relay::new("order", shop.log()?.store().clone(), routes, shop.read_models.clone()),
        };
        let relay =
            self.paths.iter().fold(relay, |relay, (name, path)| relay.path(name.clone(), path.clone()));
        relay.start().await.context("could not start the relay")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_local_or_aws() {
        assert_eq!("local".parse(), Ok(BusAddress::Local(".".into())));
        assert_eq!("local:a:b".parse(), Ok(BusAddress::Local("a:b".into())));
        for text in ["", "kinesis", "aws:x", "aws:/x"] {
            let error = text.parse::<BusAddress>().unwrap_err().to_string();
            assert!(error.contains("expected local"), "{text}: {error}");
        }
    }

    #[test]
    fn the_routes_can_be_read() {
        serde_json::from_str::<Routes>(ROUTES).unwrap();
    }
}
