use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;

use crate::vocabulary::{Actor, Category, StoreError, StreamId};

/// Which part of the past is asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HistoryScope {
    /// One stream.
    Stream(StreamId),
    /// All streams of a category.
    Category(Category),
    /// All streams.
    Everything,
}

impl HistoryScope {
    /// The category that it is within; `None` where it is in more than one.
    pub fn category(&self) -> Option<&str> {
        match self {
            Self::Stream(stream) => Some(stream.category()),
            Self::Category(category) => Some(category.as_str()),
            Self::Everything => None,
        }
    }
}

impl fmt::Display for HistoryScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(stream) => write!(f, "stream {stream}"),
            Self::Category(category) => write!(f, "category {category}"),
            Self::Everything => f.write_str("everything"),
        }
    }
}

/// Whether a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryDecision {
    /// It may.
    Allowed,
    /// It may not, for this reason; the client is told.
    Denied(String),
}

/// Decides who may ask what about the past: [`RoleAccess`], or a policy of yours.
#[async_trait]
pub trait HistoryAccess: fmt::Debug + Send + Sync + 'static {
    /// Whether `client` may read `scope`.
    ///
    /// # Errors
    /// What is needed for the decision cannot be had: the client is not answered.
    async fn decide(&self, client: &Actor, scope: &HistoryScope) -> Result<HistoryDecision, StoreError>;
}

/// Lets roles read: all streams, or those of some categories. What no role of a client is granted it may not read.
///
/// ```
/// use nexus_core::{Category, RoleAccess};
///
/// let access = RoleAccess::default().everything("auditor").category("support", Category::new("order")?);
/// # Ok::<(), nexus_core::InvalidStreamId>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RoleAccess {
    grants: BTreeMap<String, Grant>,
}

#[derive(Clone, Debug, Default)]
struct Grant {
    everything: bool,
    categories: BTreeSet<Category>,
}

impl RoleAccess {
    /// Who has this role may read all streams.
    #[must_use]
    pub fn everything(mut self, role: impl Into<String>) -> Self {
        self.grants.entry(role.into()).or_default().everything = true;
        self
    }

    /// Who has this role may read the streams of this category.
    #[must_use]
    pub fn category(mut self, role: impl Into<String>, category: Category) -> Self {
        self.grants.entry(role.into()).or_default().categories.insert(category);
        self
    }
}

#[async_trait]
impl HistoryAccess for RoleAccess {
    async fn decide(&self, client: &Actor, scope: &HistoryScope) -> Result<HistoryDecision, StoreError> {
        let includes = |grant: &Grant| {
            let within = |category| grant.categories.iter().any(|granted| granted.as_str() == category);
            grant.everything || scope.category().is_some_and(within)
        };
        if client.roles().filter_map(|role| self.grants.get(role)).any(includes) {
            return Ok(HistoryDecision::Allowed);
        }
        let enough = self.grants.iter().filter(|(_, grant)| includes(grant)).map(|(role, _)| role.as_str());
        let enough: Vec<&str> = enough.collect();
        Ok(HistoryDecision::Denied(match enough.as_slice() {
            [] => format!("no role may read {scope}"),
            roles => format!("to read {scope} takes the role {}", roles.join(" or ")),
        }))
    }
}
