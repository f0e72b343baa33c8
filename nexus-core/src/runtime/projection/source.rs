use std::sync::Arc;

use crate::port::{EventFeed, EventLog, EventStore};

/// Where a projection's events come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// All streams in one order.
    Log(Arc<dyn EventLog>),
    /// Each stream in its order, as a rule; and where to fetch what is missing.
    Feed { feed: Arc<dyn EventFeed>, store: Arc<dyn EventStore> },
    /// Each stream in its order, which is relied on: nothing is noted of streams, and an event may come again.
    AsDelivered(Arc<dyn EventFeed>),
    /// In no order, and again at any time: the ids of events are noted.
    Unordered(Arc<dyn EventFeed>),
}

impl Source {
    pub(super) fn is_feed(&self) -> bool {
        match self {
            Self::Log(_) => false,
            Self::Feed { .. } | Self::AsDelivered(_) | Self::Unordered(_) => true,
        }
    }

    /// The feed, where it is one.
    pub(super) fn feed(&self) -> Option<&Arc<dyn EventFeed>> {
        match self {
            Self::Log(_) => None,
            Self::Feed { feed, .. } | Self::AsDelivered(feed) | Self::Unordered(feed) => Some(feed),
        }
    }

    /// Whether a read model can be made of it once more, beside another.
    pub(super) fn can_be_followed_again(&self) -> bool {
        match self {
            Self::Log(_) => true,
            Self::Feed { feed, .. } => feed.can_be_read_again(),
            Self::AsDelivered(_) | Self::Unordered(_) => false,
        }
    }

    /// Whether what was taken in of it is there again after a crash.
    pub(super) fn keeps_events(&self) -> bool {
        match self {
            Self::Log(_) => true,
            Self::Feed { feed, .. } | Self::AsDelivered(feed) | Self::Unordered(feed) => {
                feed.can_be_read_again()
            }
        }
    }

    /// Whether it is noted how far each stream has come.
    pub(super) fn notes_versions(&self) -> bool {
        matches!(self, Self::Feed { .. })
    }

    pub(crate) fn log(&self) -> Option<Arc<dyn EventLog>> {
        match self {
            Self::Log(log) => Some(Arc::clone(log)),
            Self::Feed { .. } | Self::AsDelivered(_) | Self::Unordered(_) => None,
        }
    }
}
