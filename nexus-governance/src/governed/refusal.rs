use std::fmt;

use super::Violation;
use crate::schema::{SchemaId, SchemaKind, SemanticVersion};

/// Why an event or a command was refused: the source of [`StoreError::Refused`](nexus_core::StoreError::Refused) and of
/// [`CommandRefusal::Refused`](nexus_core::CommandRefusal::Refused).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaRefusal {
    /// It has no schema.
    Unregistered {
        /// An event, or a command.
        kind: SchemaKind,
        /// Its stored name.
        name: String,
        /// Its schema version.
        version: u32,
        /// Which versions of it have one.
        registered: Vec<SemanticVersion>,
    },
    /// It does not fit its schema.
    Unfit {
        /// The schema.
        schema: SchemaId,
        /// What is wrong with it; there is at least one, and ten at most.
        violations: Vec<Violation>,
        /// How many more there are.
        more: usize,
    },
    /// Its payload cannot be looked at as what readers take it for.
    Ambiguous {
        /// The schema.
        schema: SchemaId,
        /// What is wrong with it: a field that is there twice.
        reason: String,
    },
}

impl fmt::Display for SchemaRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unregistered { kind, name, version, registered } => {
                write!(f, "{kind} {name} of version {version} has no registered schema")?;
                match &registered[..] {
                    [] => write!(f, ": register {kind}/{}/{version}.0.0", SchemaId::encoded(name)),
                    known => {
                        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
                        write!(f, ": there are {}", known.join(", "))
                    }
                }
            }
            Self::Unfit { schema, violations, more } => {
                write!(f, "it does not fit {schema}: ")?;
                for (index, violation) in violations.iter().enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{violation}")?;
                }
                if *more > 0 { write!(f, "; and {more} more") } else { Ok(()) }
            }
            Self::Ambiguous { schema, reason } => write!(f, "it cannot be compared with {schema}: {reason}"),
        }
    }
}

impl std::error::Error for SchemaRefusal {}
