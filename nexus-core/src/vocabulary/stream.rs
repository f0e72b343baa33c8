use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Slice;

/// Names one stream: a category and an id, shown and stored as `order-42`.
///
/// The category ends at the first `-`; the id may contain more of them. A `StreamId` that exists is valid:
///
/// - the category has 1 to 64 of `a–z A–Z 0–9 _ .` and starts with a letter;
/// - the id is not empty and has no control characters;
/// - both together, with the `-`, have at most 255 bytes, so that every backend can use them as a key.
///
/// Categories that start with `$` belong to Nexus itself (sagas, registry): [`StreamId::new`] refuses them.
///
/// ```
/// use nexus_core::StreamId;
///
/// let stream = StreamId::new("order", 42)?;
/// assert_eq!(stream.to_string(), "order-42");
/// assert_eq!(stream, "order-42".parse()?);
/// assert_eq!((stream.category(), stream.id()), ("order", "42"));
/// # Ok::<(), nexus_core::InvalidStreamId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId {
    text: Arc<str>,
    category_length: u8,
}

/// Why a text is no [`StreamId`] or [`Category`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStreamId {
    /// The category has other characters, or is empty or too long.
    #[error(
        "{0:?} is no category: it takes 1 to 64 of the characters a-z, A-Z, 0-9, '_' and '.', a letter first"
    )]
    Category(String),
    /// The category starts with `$`.
    #[error("the category {0:?} is reserved: categories that start with '$' belong to Nexus")]
    Reserved(String),
    /// The id is empty or has control characters.
    #[error("{0:?} is no stream id: it takes one or more characters, none of them a control character")]
    Id(String),
    /// Category and id are too long together.
    #[error("the stream id {text:?} has {length} bytes: category, '-' and id take 255 at most", length = .text.len())]
    TooLong {
        /// The whole text.
        text: String,
    },
    /// There is no `-`.
    #[error("{0:?} is no stream id: expected a category, '-' and an id, such as \"order-42\"")]
    NoCategory(String),
}

const LONGEST: usize = 255;

impl StreamId {
    /// The stream of `category` that belongs to `id`.
    pub fn new(category: &str, id: impl fmt::Display) -> Result<Self, InvalidStreamId> {
        if category.starts_with('$') {
            return Err(InvalidStreamId::Reserved(category.to_owned()));
        }
        Self::join(category, id)
    }

    /// A stream of one of Nexus's own categories; `category` is given with its `$`.
    ///
    /// For crates of Nexus and its extensions: a user's aggregate takes [`StreamId::new`].
    pub fn reserved(category: &str, id: impl fmt::Display) -> Result<Self, InvalidStreamId> {
        if !category.starts_with('$') {
            return Err(InvalidStreamId::Category(category.to_owned()));
        }
        Self::join(category, id)
    }

    fn join(category: &str, id: impl fmt::Display) -> Result<Self, InvalidStreamId> {
        // Checked before joining: a '-' in the category would move the boundary.
        check_category(category)?;
        format!("{category}-{id}").parse()
    }

    /// What comes before the first `-`.
    pub fn category(&self) -> &str {
        &self.text[..usize::from(self.category_length)]
    }

    /// What comes after the first `-`.
    pub fn id(&self) -> &str {
        &self.text[usize::from(self.category_length) + 1..]
    }

    /// Category, `-` and id.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The slice this stream belongs to.
    pub fn slice(&self) -> Slice {
        Slice::of(&self.text)
    }
}

impl FromStr for StreamId {
    type Err = InvalidStreamId;

    /// Parses what [`fmt::Display`] shows; accepts `$` categories, which stored streams may have.
    fn from_str(text: &str) -> Result<Self, InvalidStreamId> {
        let Some((category, id)) = text.split_once('-') else {
            return Err(InvalidStreamId::NoCategory(text.to_owned()));
        };
        check_category(category)?;
        // Plain ASCII, the usual case, is checked bytewise.
        let has_control = id.bytes().any(|byte| byte < b' ' || byte == 0x7f)
            || (!id.is_ascii() && id.chars().any(char::is_control));
        if id.is_empty() || has_control {
            return Err(InvalidStreamId::Id(id.to_owned()));
        }
        if text.len() > LONGEST {
            return Err(InvalidStreamId::TooLong { text: text.to_owned() });
        }
        let category_length =
            u8::try_from(category.len()).map_err(|_| InvalidStreamId::Category(category.to_owned()))?;
        Ok(Self { text: text.into(), category_length })
    }
}

fn check_category(category: &str) -> Result<(), InvalidStreamId> {
    let name = category.strip_prefix('$').unwrap_or(category);
    let valid = (1..=64).contains(&category.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    if valid { Ok(()) } else { Err(InvalidStreamId::Category(category.to_owned())) }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.text)
    }
}

impl TryFrom<String> for StreamId {
    type Error = InvalidStreamId;

    fn try_from(text: String) -> Result<Self, InvalidStreamId> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(stream: StreamId) -> String {
        stream.as_str().to_owned()
    }
}

/// The first part of a [`StreamId`]: the kind of aggregate its streams belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Category(Arc<str>);

impl Category {
    /// A category by the rules of [`StreamId`]; those with `$` are accepted, since reading them is allowed.
    pub fn new(name: &str) -> Result<Self, InvalidStreamId> {
        check_category(name).map(|()| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for Category {
    type Error = InvalidStreamId;

    fn try_from(name: String) -> Result<Self, InvalidStreamId> {
        Self::new(&name)
    }
}

impl From<Category> for String {
    fn from(category: Category) -> String {
        category.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_category_ends_at_the_first_hyphen() {
        let stream: StreamId = "order-2026-11-23".parse().unwrap();
        assert_eq!((stream.category(), stream.id()), ("order", "2026-11-23"));
        assert_eq!(stream, StreamId::new("order", "2026-11-23").unwrap());
    }

    #[test]
    fn what_is_no_stream_id_is_refused_with_the_reason() {
        for (text, reason) in [
            ("order", "expected a category"),
            ("-1", "is no category"),
            ("or der-1", "is no category"),
            ("1order-1", "is no category"),
            ("order-", "one or more characters"),
            ("order-a\nb", "control character"),
            ("order-a\u{85}b", "control character"),
        ] {
            let message = text.parse::<StreamId>().unwrap_err().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
        }
        let long = format!("order-{}", "x".repeat(250));
        assert!(long.parse::<StreamId>().unwrap_err().to_string().contains("256 bytes"));
    }

    #[test]
    fn reserved_categories_are_for_nexus() {
        assert_eq!(StreamId::new("$saga", 1), Err(InvalidStreamId::Reserved("$saga".into())));
        let stream = StreamId::reserved("$saga", 1).unwrap();
        assert_eq!("$saga-1".parse(), Ok(stream));
        assert!(StreamId::reserved("saga", 1).is_err());
    }

    #[test]
    fn a_hyphen_cannot_be_smuggled_into_the_category() {
        assert!(StreamId::new("or-der", 1).is_err());
    }

    #[test]
    fn ids_may_be_any_readable_unicode() {
        let stream = StreamId::new("kunde", "Ægir · 東京").unwrap();
        assert_eq!(stream.to_string().parse(), Ok(stream));
    }
}
