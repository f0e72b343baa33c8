use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A word by which events are found across streams, by convention `key:value`, such as `customer:7`.
///
/// One to 255 bytes, no control characters. Queries and append conditions name tags; see
/// [`QueryItem::tags`](crate::QueryItem::tags).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

/// Why a text is no [`Tag`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no tag: it takes 1 to 255 bytes without control characters, such as \"customer:7\"")]
pub struct InvalidTag {
    found: String,
}

impl Tag {
    /// A tag of this text.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidTag> {
        let text = text.as_ref();
        if (1..=255).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTag { found: text.to_owned() })
        }
    }

    /// The tag `key:value`.
    pub fn pair(key: &str, value: impl fmt::Display) -> Result<Self, InvalidTag> {
        Self::new(format!("{key}:{value}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        Self::new(text)
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidTag;

    fn try_from(text: String) -> Result<Self, InvalidTag> {
        Self::new(text)
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> String {
        tag.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_short_and_readable() {
        assert_eq!(Tag::pair("customer", 7).unwrap().as_str(), "customer:7");
        for refused in ["", "a\0b", &"x".repeat(256)] {
            assert!(Tag::new(refused).unwrap_err().to_string().contains("1 to 255 bytes"));
        }
    }
}
