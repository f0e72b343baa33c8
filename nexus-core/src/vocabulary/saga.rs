use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Category, InvalidStreamId, ProjectionName, StreamId};

/// The category of the streams that sagas keep their progress in.
const CATEGORY: &str = "$saga";

/// Names a kind of saga, for good: its progress is kept under it.
///
/// One to 58 of `a–z 0–9 _`, a letter first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SagaName(Arc<str>);

/// Tells one saga from others of its kind, such as by the id of an order.
///
/// One to 180 bytes, no control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SagaId(Arc<str>);

/// Why a text is no [`SagaName`] or [`SagaId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSagaId {
    /// It cannot name a kind of saga.
    #[error(
        "{0:?} cannot name a saga: a name takes 1 to 58 of the characters a-z, 0-9 and '_', a letter first"
    )]
    Name(String),
    /// It cannot tell one saga from another.
    #[error("{0:?} is no saga id: it takes 1 to 180 bytes without control characters, such as \"1001\"")]
    Id(String),
}

impl SagaName {
    /// The name with this text.
    pub fn new(text: &str) -> Result<Self, InvalidSagaId> {
        let is_valid = (1..=58).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        if is_valid { Ok(Self(text.into())) } else { Err(InvalidSagaId::Name(text.to_owned())) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The projection that starts such sagas and keeps their status: `saga-` and the name.
    pub fn projection(&self) -> ProjectionName {
        ProjectionName::of_saga(self)
    }

    /// The category of the streams of all sagas.
    pub(crate) fn category() -> Result<Category, InvalidStreamId> {
        Category::new(CATEGORY)
    }

    /// The stream that a saga's progress is kept in, such as `$saga-fulfilment-1001`.
    pub fn stream(&self, id: &SagaId) -> Result<StreamId, InvalidStreamId> {
        StreamId::reserved(CATEGORY, format_args!("{self}-{id}"))
    }

    /// Which saga of this kind a stream belongs to, if it does.
    pub fn saga_of(&self, stream: &StreamId) -> Option<SagaId> {
        let id = Some(stream).filter(|stream| stream.category() == CATEGORY)?.id();
        let (name, id) = id.split_once('-')?;
        if name == self.as_str() { SagaId::new(id).ok() } else { None }
    }
}

impl SagaId {
    /// The id that `id` is shown as.
    pub fn new(id: impl fmt::Display) -> Result<Self, InvalidSagaId> {
        let text = id.to_string();
        if (1..=180).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidSagaId::Id(text))
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SagaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SagaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SagaId({})", self.0)
    }
}

impl FromStr for SagaName {
    type Err = InvalidSagaId;

    fn from_str(text: &str) -> Result<Self, InvalidSagaId> {
        Self::new(text)
    }
}

impl FromStr for SagaId {
    type Err = InvalidSagaId;

    fn from_str(text: &str) -> Result<Self, InvalidSagaId> {
        Self::new(text)
    }
}

impl TryFrom<String> for SagaName {
    type Error = InvalidSagaId;

    fn try_from(text: String) -> Result<Self, InvalidSagaId> {
        Self::new(&text)
    }
}

impl TryFrom<String> for SagaId {
    type Error = InvalidSagaId;

    fn try_from(text: String) -> Result<Self, InvalidSagaId> {
        Self::new(text)
    }
}

impl From<SagaName> for String {
    fn from(name: SagaName) -> String {
        name.0.as_ref().to_owned()
    }
}

impl From<SagaId> for String {
    fn from(id: SagaId) -> String {
        id.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saga_is_found_by_its_stream() {
        let (name, id) = (SagaName::new("fulfilment").unwrap(), SagaId::new("a-1").unwrap());
        let stream = name.stream(&id).unwrap();
        assert_eq!(stream.to_string(), "$saga-fulfilment-a-1");
        assert_eq!(name.saga_of(&stream), Some(id.clone()));
        assert_eq!(SagaName::new("fulfil").unwrap().saga_of(&stream), None);
        assert_eq!(name.saga_of(&"order-fulfilment-1".parse().unwrap()), None);
        assert_eq!(name.projection().as_str(), "saga-fulfilment");
    }

    #[test]
    fn names_and_ids_always_make_streams() {
        let (name, id) = ("n".repeat(58), "i".repeat(180));
        let (name, id) = (SagaName::new(&name).unwrap(), SagaId::new(id).unwrap());
        assert_eq!(name.stream(&id).unwrap().as_str().len(), 245);
        assert_eq!(name.projection().as_str().len(), 63);
        for text in ["", "Big", "1a", "a-b", "ä", &"n".repeat(59)] {
            assert!(SagaName::new(text).is_err(), "{text:?}");
        }
        for text in ["", "a\nb", &"i".repeat(181)] {
            assert!(SagaId::new(text).is_err(), "{text:?}");
        }
    }
}
