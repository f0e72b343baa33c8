use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::{InvalidSemanticVersion, SemanticVersion};

/// What a schema is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SchemaKind {
    /// The payload of an event.
    Event,
    /// A command.
    Command,
    /// A part that other schemas refer to.
    Type,
}

impl SchemaKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Event, Self::Command, Self::Type];

    /// `event`, `command` or `type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Command => "command",
            Self::Type => "type",
        }
    }
}

impl fmt::Display for SchemaKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Names one version of one schema, shown as `event/OrderPlaced/1.0.0`.
///
/// Other characters of the name than `a–z A–Z 0–9 _ . ~ -` are percent-encoded, so that it is part of a path and of a URI alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SchemaId {
    /// What it is of.
    pub kind: SchemaKind,
    /// The stored name of the event or command.
    pub name: String,
    /// Which version.
    pub version: SemanticVersion,
}

/// What names no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchemaId {
    /// It has other parts.
    #[error(
        "{found:?} names no schema: expected event, command or type, a name and a version, such as \"event/OrderPlaced/1.0.0\""
    )]
    Parts {
        /// What it is.
        found: String,
    },
    /// The name cannot be that of an event or a command.
    #[error("{found:?} is no name of a schema: it takes 1 to 255 bytes without control characters")]
    Name {
        /// What it is.
        found: String,
    },
    /// The version is none.
    #[error(transparent)]
    Version(#[from] InvalidSemanticVersion),
}

/// What stands for itself in a path and in a URI.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'~').remove(b'-');

/// How the URI of a registered schema starts.
const SCHEME: &str = "nexus:";

impl SchemaId {
    /// The version of the schema of what has that name.
    ///
    /// # Errors
    /// The name is empty, longer than 255 bytes, or has control characters.
    pub fn new(
        kind: SchemaKind,
        name: impl Into<String>,
        version: SemanticVersion,
    ) -> Result<Self, InvalidSchemaId> {
        let name = name.into();
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            return Err(InvalidSchemaId::Name { found: name });
        }
        Ok(Self { kind, name, version })
    }

    /// The name as a part of a path: not one that is hidden, or leads upwards.
    pub(crate) fn encoded(name: &str) -> String {
        let encoded = utf8_percent_encode(name, PLAIN).to_string();
        match encoded.strip_prefix('.') {
            Some(rest) => format!("%2E{rest}"),
            None => encoded,
        }
    }

    /// What the part of a path names.
    pub(crate) fn decoded(part: &str) -> Option<String> {
        percent_decode_str(part).decode_utf8().ok().map(Into::into)
    }

    /// How other schemas refer to it: `nexus:type/Money/1.0.0`.
    pub fn uri(&self) -> String {
        format!("{SCHEME}{self}")
    }

    /// The schema that a URI names, if that is one of ours.
    pub(crate) fn from_uri(uri: &str) -> Option<Result<Self, InvalidSchemaId>> {
        uri.strip_prefix(SCHEME).map(str::parse)
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, Self::encoded(&self.name), self.version)
    }
}

impl FromStr for SchemaId {
    type Err = InvalidSchemaId;

    fn from_str(text: &str) -> Result<Self, InvalidSchemaId> {
        let parts = || InvalidSchemaId::Parts { found: text.to_owned() };
        let mut each = text.split('/');
        let (Some(kind), Some(name), Some(version), None) =
            (each.next(), each.next(), each.next(), each.next())
        else {
            return Err(parts());
        };
        let kind = SchemaKind::ALL.into_iter().find(|of| of.as_str() == kind).ok_or_else(parts)?;
        Self::new(kind, Self::decoded(name).ok_or_else(parts)?, version.parse()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_characters_is_part_of_a_path() {
        for name in ["OrderPlaced", "order.placed", "a/b", "..", ".hidden", "ü%2F#?", "$saga"] {
            let id = SchemaId::new(SchemaKind::Event, name, SemanticVersion::first_of(1)).unwrap();
            assert_eq!(id.to_string().parse(), Ok(id.clone()));
            assert_eq!(id.to_string().matches('/').count(), 2, "{id}");
            assert_eq!(SchemaId::from_uri(&id.uri()), Some(Ok(id)));
        }
        assert_eq!(SchemaId::encoded(".."), "%2E.");
        for text in ["event/A", "events/A/1.0.0", "event//1.0.0", "event/A/1.0", "event/A/1.0.0/b"] {
            assert!(text.parse::<SchemaId>().is_err(), "{text}");
        }
    }
}
