use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use super::Payload;

/// Names a collection of documents in a read model, such as `orders`.
///
/// One to 64 of `a–z A–Z 0–9 _ . -`, a letter first. Names that start with `$` belong to Nexus.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Collection(Arc<str>);

/// Finds a document in its [`Collection`]: any text of 1 to 1,024 bytes, without U+0000, which not every database can keep.
/// Keys are in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentKey(Arc<str>);

/// A document as it is listed: JSON under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its key.
    pub key: DocumentKey,
    /// Its content.
    pub content: Payload,
}

/// Which documents of a collection are listed, in the order of their keys.
///
/// ```
/// use nexus_core::{DocumentKey, KeyRange};
///
/// let first_page = KeyRange::prefixed("1997-").limit(50);
/// let next_page = first_page.clone().after(DocumentKey::new("1997-02-11")?);
/// # Ok::<(), nexus_core::InvalidDocumentName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    prefix: String,
    after: Option<DocumentKey>,
    limit: usize,
}

/// Why a text is no [`Collection`] or [`DocumentKey`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDocumentName {
    /// The collection has other characters, or is empty or too long.
    #[error(
        "{0:?} is no collection: it takes 1 to 64 of the characters a-z, A-Z, 0-9, '_', '.' and '-', a letter first"
    )]
    Collection(String),
    /// The key is empty or too long.
    #[error("a key of {length} bytes was given for a document: it takes 1 to 1024")]
    Key {
        /// How long it is.
        length: usize,
    },
    /// The key has a character that not every database can keep.
    #[error("the key {0:?} of a document has U+0000 in it: any other character is taken")]
    NullCharacter(String),
}

impl Collection {
    /// The collection of this name.
    pub fn new(name: &str) -> Result<Self, InvalidDocumentName> {
        Self::checked(name, name)
    }

    /// A collection of Nexus's own; `name` is given with its `$`.
    pub(crate) fn reserved(name: &str) -> Result<Self, InvalidDocumentName> {
        Self::checked(name, name.strip_prefix('$').unwrap_or_default())
    }

    fn checked(name: &str, visible: &str) -> Result<Self, InvalidDocumentName> {
        let is_valid = (1..=64).contains(&name.len())
            && visible.starts_with(|first: char| first.is_ascii_alphabetic())
            && visible.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
        if is_valid { Ok(Self(name.into())) } else { Err(InvalidDocumentName::Collection(name.to_owned())) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of Nexus's own, which is no part of a read model.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl DocumentKey {
    /// The key with this text.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidDocumentName> {
        let text = text.as_ref();
        if !(1..=1_024).contains(&text.len()) {
            return Err(InvalidDocumentName::Key { length: text.len() });
        }
        if text.contains('\0') {
            return Err(InvalidDocumentName::NullCharacter(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl KeyRange {
    /// How many documents are listed at a time, unless told otherwise: 100.
    pub const LIMIT: usize = 100;

    /// All documents.
    pub fn all() -> Self {
        Self::prefixed("")
    }

    /// Those whose key starts with `prefix`.
    pub fn prefixed(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), after: None, limit: Self::LIMIT }
    }

    /// Only those after `key`, which is usually the last of the page before.
    #[must_use]
    pub fn after(self, key: DocumentKey) -> Self {
        Self { after: Some(key), ..self }
    }

    /// At most `documents`.
    #[must_use]
    pub fn limit(self, documents: usize) -> Self {
        Self { limit: documents, ..self }
    }

    /// What each key starts with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the keys start: right after the last seen, or with the prefix, whatever comes later. For backends that look keys
    /// up in an index: given both, some go through all keys from the lower one on.
    pub fn start(&self) -> Bound<&str> {
        match &self.after {
            Some(after) if after.as_str() >= self.prefix.as_str() => Bound::Excluded(after.as_str()),
            _ => Bound::Included(&self.prefix),
        }
    }

    /// The first text after all that start with the prefix; `None` where there is no such text. For backends that look keys up
    /// in an index.
    pub fn end(&self) -> Option<String> {
        let mut text = self.prefix.clone();
        while let Some(last) = text.pop() {
            // There are no characters between D7FF and E000.
            let next =
                if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
            if let Some(next) = next {
                text.push(next);
                return Some(text);
            }
        }
        None
    }

    /// The key that all others come after.
    pub fn last_seen(&self) -> Option<&DocumentKey> {
        self.after.as_ref()
    }

    /// How many are listed at most.
    pub fn max_documents(&self) -> usize {
        self.limit
    }

    /// Whether `key` is within the range: what every backend has to agree with.
    pub fn includes(&self, key: &str) -> bool {
        key.starts_with(&self.prefix) && self.after.as_ref().is_none_or(|after| after.as_str() < key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        assert_eq!(Collection::new("daily-revenue.v2").unwrap().as_str(), "daily-revenue.v2");
        for name in ["", "$claims", "1st", "a b", &"x".repeat(65)] {
            assert!(Collection::new(name).unwrap_err().to_string().contains("a letter first"), "{name}");
        }
        assert!(Collection::reserved("$claims").unwrap().is_reserved());
        assert!(Collection::reserved("claims").is_err());
        assert!(DocumentKey::new("").unwrap_err().to_string().contains("1 to 1024"));
        assert!(DocumentKey::new("x".repeat(1_025)).is_err());
        assert!(DocumentKey::new("a\0b").unwrap_err().to_string().contains("U+0000"));
    }

    #[test]
    fn a_range_is_after_a_key_and_below_a_prefix() {
        let range = KeyRange::prefixed("b").after(DocumentKey::new("bb").unwrap());
        let included: Vec<&str> =
            ["a", "b", "bb", "bba", "bc", "c"].into_iter().filter(|key| range.includes(key)).collect();
        assert_eq!(included, ["bba", "bc"]);
    }

    #[test]
    fn a_prefix_ends_where_the_next_text_begins() {
        for (prefix, end) in
            [("", None), ("a", Some("b")), ("a\u{10ffff}", Some("b")), ("\u{d7ff}", Some("\u{e000}"))]
        {
            assert_eq!(KeyRange::prefixed(prefix).end().as_deref(), end);
        }
        assert_eq!(KeyRange::prefixed("\u{10ffff}").end(), None);
    }
}
