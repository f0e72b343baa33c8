use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names one of the ways that events take to their consumers, such as `fast` or `cheap`.
///
/// One to 32 of `a–z 0–9 _ -`, a letter first: it is kept with what waits to be published, and is a label of metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PathName(Arc<str>);

/// A text that is no [`PathName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} cannot name a path: a name takes 1 to 32 of the characters a-z, 0-9, '_' and '-', a letter first"
)]
pub struct InvalidPathName {
    found: String,
}

impl PathName {
    /// The name with this text.
    pub fn new(text: &str) -> Result<Self, InvalidPathName> {
        let is_valid = (1..=32).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidPathName { found: text.to_owned() }) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for PathName {
    type Err = InvalidPathName;

    fn from_str(text: &str) -> Result<Self, InvalidPathName> {
        Self::new(text)
    }
}

impl TryFrom<String> for PathName {
    type Error = InvalidPathName;

    fn try_from(text: String) -> Result<Self, InvalidPathName> {
        Self::new(&text)
    }
}

impl From<PathName> for String {
    fn from(name: PathName) -> String {
        name.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_named_in_small_letters() {
        assert_eq!(PathName::new("fast-2").unwrap().as_str(), "fast-2");
        for text in ["", "Fast", "a/b", "1a", "a b", &"x".repeat(33)] {
            assert!(PathName::new(text).unwrap_err().to_string().contains("a letter first"), "{text}");
        }
    }
}
