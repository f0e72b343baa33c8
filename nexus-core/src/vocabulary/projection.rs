use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::SagaName;

/// Names a projection, for good: its checkpoints, dead letters and read models are kept under it.
///
/// One to 64 of `a–z 0–9 _ -`, a letter first, so that it can name files and tables on every system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProjectionName(Arc<str>);

/// A text that is no [`ProjectionName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} cannot name a projection: a name takes 1 to 64 of the characters a-z, 0-9, '_' and '-', a letter first"
)]
pub struct InvalidProjectionName {
    found: String,
}

impl ProjectionName {
    /// The name with this text.
    pub fn new(text: &str) -> Result<Self, InvalidProjectionName> {
        let is_valid = (1..=64).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidProjectionName { found: text.to_owned() }) }
    }

    pub(super) fn of_saga(saga: &SagaName) -> Self {
        Self(format!("saga-{saga}").into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProjectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ProjectionName {
    type Err = InvalidProjectionName;

    fn from_str(text: &str) -> Result<Self, InvalidProjectionName> {
        Self::new(text)
    }
}

impl TryFrom<String> for ProjectionName {
    type Error = InvalidProjectionName;

    fn try_from(text: String) -> Result<Self, InvalidProjectionName> {
        Self::new(&text)
    }
}

impl From<ProjectionName> for String {
    fn from(name: ProjectionName) -> String {
        name.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_a_files() {
        assert_eq!(ProjectionName::new("order_list-2").unwrap().as_str(), "order_list-2");
        for text in ["", "Orders", "../x", "a b", "1a", "a.b", &"x".repeat(65)] {
            assert!(ProjectionName::new(text).unwrap_err().to_string().contains("a letter first"), "{text}");
        }
    }
}
