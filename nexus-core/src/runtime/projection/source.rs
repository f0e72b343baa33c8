use std::sync::Arc;

use crate::port::{EventFeed, EventLog, EventStore};

/// Where a projection's events come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// All streams in one order.
    Log(Arc<dyn EventLog>),
    /// Each stream in its order, as a rule; and where to fetch what is missing.
    Feed { feed: Arc<dyn EventFeed>, store: Arc<dyn EventStore> },
}

impl Source {
    pub(super) fn is_feed(&self) -> bool {
        matches!(self, Self::Feed { .. })
    }

    pub(crate) fn log(&self) -> Option<Arc<dyn EventLog>> {
        match self {
            Self::Log(log) => Some(Arc::clone(log)),
            Self::Feed { .. } => None,
        }
    }
}
