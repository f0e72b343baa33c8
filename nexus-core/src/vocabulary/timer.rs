use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names a timer among others, such as `reminder/invoice-42`.
///
/// One to 500 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimerName(Arc<str>);

/// A text that is no [`TimerName`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} cannot name a timer: a name takes 1 to 500 bytes without control characters, such as \"reminder/42\""
)]
pub struct InvalidTimerName {
    found: String,
}

impl TimerName {
    /// The name that `name` is shown as.
    pub fn new(name: impl fmt::Display) -> Result<Self, InvalidTimerName> {
        let text = name.to_string();
        if (1..=500).contains(&text.len()) && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidTimerName { found: text })
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TimerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TimerName {
    type Err = InvalidTimerName;

    fn from_str(text: &str) -> Result<Self, InvalidTimerName> {
        Self::new(text)
    }
}

impl TryFrom<String> for TimerName {
    type Error = InvalidTimerName;

    fn try_from(text: String) -> Result<Self, InvalidTimerName> {
        Self::new(text)
    }
}

impl From<TimerName> for String {
    fn from(name: TimerName) -> String {
        name.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_readable() {
        assert_eq!(TimerName::new(42).unwrap().as_str(), "42");
        for text in ["", "a\u{0}", "a\nb", &"n".repeat(501)] {
            assert!(TimerName::new(text).is_err(), "{text:?}");
        }
    }
}
