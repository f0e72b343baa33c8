use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which earlier versions a new one of the same major version has to go together with, and in which direction. The names are
/// Confluent's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum CompatibilityMode {
    /// None: nothing is compared.
    None,
    /// The new version reads what was written by the one before.
    Backward,
    /// The new version reads what was written by any before: what an event store needs, which keeps everything. The default.
    #[default]
    BackwardTransitive,
    /// The version before reads what is written by the new one.
    Forward,
    /// All before read what is written by the new one.
    ForwardTransitive,
    /// Both, with the one before.
    Full,
    /// Both, with any before.
    FullTransitive,
}

/// What is no compatibility mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no compatibility mode: expected NONE, BACKWARD, BACKWARD_TRANSITIVE, FORWARD, FORWARD_TRANSITIVE, FULL or \
     FULL_TRANSITIVE"
)]
pub struct UnknownMode {
    found: String,
}

/// All, with their names.
const NAMES: [(CompatibilityMode, &str); 7] = [
    (CompatibilityMode::None, "NONE"),
    (CompatibilityMode::Backward, "BACKWARD"),
    (CompatibilityMode::BackwardTransitive, "BACKWARD_TRANSITIVE"),
    (CompatibilityMode::Forward, "FORWARD"),
    (CompatibilityMode::ForwardTransitive, "FORWARD_TRANSITIVE"),
    (CompatibilityMode::Full, "FULL"),
    (CompatibilityMode::FullTransitive, "FULL_TRANSITIVE"),
];

impl CompatibilityMode {
    /// Whether the new version has to read what earlier ones wrote.
    pub const fn is_backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether earlier versions have to read what the new one writes.
    pub const fn is_forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether it is about all earlier versions, not only the last.
    pub const fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

impl fmt::Display for CompatibilityMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(NAMES.iter().find(|(mode, _)| mode == self).map_or("", |(_, name)| name))
    }
}

impl FromStr for CompatibilityMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        let found = NAMES.iter().find(|(_, name)| *name == text.to_ascii_uppercase().replace('-', "_"));
        found.map(|(mode, _)| *mode).ok_or_else(|| UnknownMode { found: text.to_owned() })
    }
}
