use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// A number that is no [`StreamVersion`] or [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is a whole number from 1 to {}, not {found}", i64::MAX)]
pub struct OutOfRange {
    what: &'static str,
    found: i128,
}

/// Both ordinals count from 1 and stay within `i64`, which every database can hold.
macro_rules! ordinal {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The lowest there is: 1.
            pub const FIRST: Self = Self(NonZeroU64::MIN);

            /// The highest there is: `i64::MAX`.
            pub const LAST: Self = match NonZeroU64::new(i64::MAX as u64) {
                Some(last) => Self(last),
                None => Self::FIRST,
            };

            /// The number, or an error that names the accepted range.
            pub fn new(number: u64) -> Result<Self, OutOfRange> {
                match NonZeroU64::new(number) {
                    Some(number) if number.get() <= i64::MAX as u64 => Ok(Self(number)),
                    _ => Err(OutOfRange { what: $what, found: i128::from(number) }),
                }
            }

            /// The number itself.
            pub const fn get(self) -> u64 {
                self.0.get()
            }

            /// The number as databases hold it.
            pub const fn to_i64(self) -> i64 {
                self.0.get().cast_signed()
            }

            /// The next one; [`Self::LAST`] stays where it is.
            #[must_use]
            pub fn next(self) -> Self {
                self.plus(1)
            }

            /// The one `count` places on, at most [`Self::LAST`].
            #[must_use]
            pub fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count)).min(Self::LAST)
            }

            /// The one before, or `None` before the first.
            pub fn previous(self) -> Option<Self> {
                NonZeroU64::new(self.get() - 1).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for u64 {
            fn from(ordinal: $name) -> u64 {
                ordinal.get()
            }
        }

        impl TryFrom<u64> for $name {
            type Error = OutOfRange;

            fn try_from(number: u64) -> Result<Self, OutOfRange> {
                Self::new(number)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = OutOfRange;

            fn try_from(number: i64) -> Result<Self, OutOfRange> {
                u64::try_from(number)
                    .ok()
                    .and_then(|number| Self::new(number).ok())
                    .ok_or(OutOfRange { what: $what, found: i128::from(number) })
            }
        }

        impl std::str::FromStr for $name {
            type Err = OutOfRange;

            fn from_str(text: &str) -> Result<Self, OutOfRange> {
                text.parse::<i128>()
                    .map_err(|_| OutOfRange { what: $what, found: 0 })
                    .and_then(|number| match u64::try_from(number) {
                        Ok(number) => Self::new(number),
                        Err(_) => Err(OutOfRange { what: $what, found: number }),
                    })
            }
        }
    };
}

ordinal! {
    /// The place of an event in its stream: 1, 2, 3 … without holes.
    ///
    /// A stream that does not exist has no version; where that can be, the type is `Option<StreamVersion>`.
    StreamVersion, "a stream version"
}

ordinal! {
    /// The place of an event in one store's total order. It grows with every event and may have holes.
    ///
    /// Positions of different stores cannot be compared.
    Position, "a position"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_outside_its_range_is_refused_by_name() {
        assert_eq!(StreamVersion::new(1).unwrap(), StreamVersion::FIRST);
        assert_eq!(StreamVersion::new(i64::MAX as u64).unwrap(), StreamVersion::LAST);
        for refused in [0, i64::MAX as u64 + 1, u64::MAX] {
            let message = StreamVersion::new(refused).unwrap_err().to_string();
            assert!(
                message.contains("a stream version") && message.contains(&refused.to_string()),
                "{message}"
            );
        }
        assert!(Position::try_from(-3_i64).unwrap_err().to_string().contains("-3"));
        assert!("two".parse::<Position>().is_err());
    }

    #[test]
    fn counting_on_stops_at_the_last() {
        assert_eq!(StreamVersion::FIRST.next().get(), 2);
        assert_eq!(StreamVersion::LAST.next(), StreamVersion::LAST);
        assert_eq!(StreamVersion::FIRST.previous(), None);
    }
}
