use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// What tells one order from another, such as `1001`; letters, digits, `-` and `.`, 64 at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct OrderId(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no order id: it takes 1 to 64 of the characters a-z, A-Z, 0-9, '-' and '.', such as \"1001\""
)]
pub struct InvalidOrderId(String);

impl OrderId {
    /// The id of an order that was found to exist.
    pub fn known(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl FromStr for OrderId {
    type Err = InvalidOrderId;

    /// The stream's name, as it is shown in places, is accepted, too: `order-1001`.
    fn from_str(text: &str) -> Result<Self, InvalidOrderId> {
        let id = text.strip_prefix("order-").unwrap_or(text);
        let is_valid = (1..=64).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        if is_valid { Ok(Self(id.to_owned())) } else { Err(InvalidOrderId(text.to_owned())) }
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
