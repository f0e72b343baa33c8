use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A semantic version: `1.0.0`, without anything behind it.
///
/// - The *major* version is the one that events and commands carry (`schema_version`): it is raised when readers have to know,
///   and an event of an earlier one is upcast.
/// - The *minor* version is raised by changes that the compatibility mode allows.
/// - The *patch* version is raised by words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SemanticVersion {
    /// From 1.
    pub major: u32,
    /// From 0.
    pub minor: u32,
    /// From 0.
    pub patch: u32,
}

/// What is no version of a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no version of a schema: expected three numbers, the first of them 1 or more, such as \"1.0.0\""
)]
pub struct InvalidSemanticVersion {
    found: String,
}

impl SemanticVersion {
    /// The first of a major version.
    pub const fn first_of(major: u32) -> Self {
        Self { major, minor: 0, patch: 0 }
    }

    /// The next that a compatible change may have.
    #[must_use]
    pub const fn next_minor(self) -> Self {
        Self { major: self.major, minor: self.minor + 1, patch: 0 }
    }
}

impl fmt::Display for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for SemanticVersion {
    type Err = InvalidSemanticVersion;

    fn from_str(text: &str) -> Result<Self, InvalidSemanticVersion> {
        let invalid = || InvalidSemanticVersion { found: text.to_owned() };
        let version = semver::Version::parse(text).map_err(|_| invalid())?;
        let number =
            |number: u64| u32::try_from(number).ok().filter(|number| *number < u32::MAX).ok_or_else(invalid);
        if version.major == 0 || !version.pre.is_empty() || !version.build.is_empty() {
            return Err(invalid());
        }
        Ok(Self {
            major: number(version.major)?,
            minor: number(version.minor)?,
            patch: number(version.patch)?,
        })
    }
}

impl TryFrom<String> for SemanticVersion {
    type Error = InvalidSemanticVersion;

    fn try_from(text: String) -> Result<Self, InvalidSemanticVersion> {
        text.parse()
    }
}

impl From<SemanticVersion> for String {
    fn from(version: SemanticVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers_from_one() {
        let version: SemanticVersion = "1.10.2".parse().unwrap();
        assert_eq!(
            (version, version.to_string()),
            (SemanticVersion { major: 1, minor: 10, patch: 2 }, "1.10.2".into())
        );
        assert!("1.9.0".parse::<SemanticVersion>().unwrap() < version);
        for text in [
            "",
            "1",
            "1.0",
            "0.1.0",
            "v1.0.0",
            "1.0.0-rc.1",
            "1.0.0+a",
            "01.0.0",
            "1.0.4294967295",
            "1.0.0.0",
        ] {
            assert!(text.parse::<SemanticVersion>().is_err(), "{text:?}");
        }
    }
}
