use std::fmt;

use super::Direction;
use crate::compatibility::Witness;
use crate::invalid::InvalidSchema;
use crate::schema::{CompatibilityMode, InvalidSchemaId, SchemaId, SemanticVersion};

/// Why a schema cannot be registered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Objection {
    /// It is no schema, or none that can be used safely.
    Invalid(InvalidSchema),
    /// It refers to something of ours that does not exist.
    BadReference {
        /// What it refers to.
        uri: String,
        /// What is wrong with that.
        error: InvalidSchemaId,
    },
    /// It refers to a draft, which may still change.
    RefersToDraft {
        /// The draft.
        schema: SchemaId,
    },
    /// This version is released already, and says something else.
    Released,
    /// A version between others says nothing to those behind it.
    NotNewest {
        /// The newest of its major version.
        newest: SemanticVersion,
    },
    /// It does not go together with an earlier version.
    Incompatible {
        /// Which.
        with: SchemaId,
        /// Who cannot read what.
        direction: Direction,
        /// A document that shows it.
        witness: Box<Witness>,
        /// What asks for it.
        mode: CompatibilityMode,
    },
    /// It is not known whether it goes together with an earlier version.
    Undecided {
        /// Which.
        with: SchemaId,
        /// Who could perhaps not read what.
        direction: Direction,
        /// Why that is not known.
        reason: String,
        /// What asks for it.
        mode: CompatibilityMode,
    },
    /// Events of the earlier major version are stored, and the lock file tells of no upcaster.
    NoUpcaster {
        /// The earlier major version.
        from: u32,
        /// Whether there is a lock file at all.
        has_lock: bool,
    },
}

impl Objection {
    /// Where in the schema the fault is, as a JSON Pointer.
    pub fn pointer(&self) -> &str {
        match self {
            Self::Invalid(error) => error.pointer(),
            // What the witness points to may stand in the earlier version, at the same place.
            Self::Incompatible { witness, .. } => &witness.pointer,
            Self::Released | Self::NotNewest { .. } | Self::NoUpcaster { .. } => "/x-nexus/version",
            Self::BadReference { .. } | Self::RefersToDraft { .. } | Self::Undecided { .. } => "",
        }
    }

    /// A name that does not change, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Invalid(_) | Self::BadReference { .. } => "invalid-schema",
            Self::RefersToDraft { .. } => "draft-reference",
            Self::Released => "released-schema-altered",
            Self::NotNewest { .. } => "version-not-newest",
            Self::Incompatible { .. } => "incompatible",
            Self::Undecided { .. } => "undecided",
            Self::NoUpcaster { .. } => "no-upcaster",
        }
    }

    /// What can be done about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Invalid(_) | Self::BadReference { .. } => "mend the schema".to_owned(),
            Self::RefersToDraft { schema } => format!("release {schema} first: `nexus-governance schema register FILE`"),
            Self::Released => "undo the change, and write it as a new version".to_owned(),
            Self::NotNewest { newest } => format!("call it {}", newest.next_minor()),
            Self::Incompatible { .. } => {
                "change it so that the witness is read, or give it the next major version, and the event an upcaster".to_owned()
            }
            Self::Undecided { .. } => {
                "say it in simpler keywords; or, after you have looked at it yourself, register it with compatibility NONE \
                 under the next major version"
                    .to_owned()
            }
            Self::NoUpcaster { has_lock: true, .. } => {
                "implement `Upcast` for the earlier shape, list it in `#[event(upcast(…))]`, and run the test that keeps the \
                 lock file"
                    .to_owned()
            }
            Self::NoUpcaster { has_lock: false, .. } => {
                "keep a lock file beside the registry, by a test that calls `check_shapes`: it tells of the upcasters".to_owned()
            }
        }
    }
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(f, "it is no schema that can be registered: {error}"),
            Self::BadReference { uri, error } => write!(f, "it refers to {uri:?}: {error}"),
            Self::RefersToDraft { schema } => {
                write!(f, "it refers to {schema}, a draft, which may still change")
            }
            Self::Released => f.write_str("this version is released, and says something else"),
            Self::NotNewest { newest } => {
                write!(f, "{newest} is registered already: a new version has to be newer than that")
            }
            Self::Incompatible { with, direction, witness, mode } => {
                let (document, message) = (&witness.document, &witness.message);
                match direction {
                    Direction::Backward => write!(
                        f,
                        "{document} was written by {with}, and is no longer read: {message} ({mode})"
                    ),
                    Direction::Forward => write!(
                        f,
                        "{document} is written by it, and {with} does not read that: {message} ({mode})"
                    ),
                }
            }
            Self::Undecided { with, direction, reason, mode } => match direction {
                Direction::Backward => {
                    write!(f, "it is not known whether it reads all that {with} wrote: {reason} ({mode})")
                }
                Direction::Forward => {
                    write!(f, "it is not known whether {with} reads all that it writes: {reason} ({mode})")
                }
            },
            Self::NoUpcaster { from, has_lock: true } => {
                write!(f, "events of version {from} are stored, and by the lock file nothing upcasts them")
            }
            Self::NoUpcaster { from, has_lock: false } => {
                write!(
                    f,
                    "events of version {from} are stored, and there is no lock file that tells of an upcaster"
                )
            }
        }
    }
}
