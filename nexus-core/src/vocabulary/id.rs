use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid, Version};

use super::StreamId;

/// A text that is no UUID where one was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no {what}: it takes a UUID, such as \"01938b2e-7c1d-7f00-8000-2f6a1b9c0d3e\"")]
pub struct InvalidId {
    what: &'static str,
    found: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The sixteen bytes, big-endian, so that version 7 ids sort by time.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The same as a UUID.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }

            /// When the id was made, to the millisecond, where it says so (UUID version 7).
            pub fn time(&self) -> Option<Timestamp> {
                time_of(&self.0)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Uuid {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| InvalidId { what: $what, found: text.to_owned() })
            }
        }
    };
}

id! {
    /// Identifies one event, in every store and on every bus. Stored once: see rule 4 of
    /// [`EventStore`](crate::EventStore).
    ///
    /// Any UUID is accepted; version 7 is what Nexus makes, since ids that grow with time index well.
    EventId, "event id"
}

id! {
    /// Identifies one command, so that sending it again has no second effect.
    CommandId, "command id"
}

id! {
    /// Groups everything that followed from one request, across aggregates and services.
    CorrelationId, "correlation id"
}

impl EventId {
    /// The id of the event at `index` among those that `command` appends to `stream`.
    ///
    /// It keeps the command id's time where that is a UUID of version 7; the other 74 bits are those of bytes 6 to 15 of
    /// SHA-256 over command id, stream id, a zero byte and the index as four bytes, so that the same command always makes the same ids and
    /// one unique index serves repeated events and repeated commands alike. A command id without a time gives a
    /// UUID of version 8, made of the hash alone.
    #[must_use]
    pub fn derived(command: CommandId, stream: &StreamId, index: u32) -> Self {
        let mut hash = Sha256::new();
        hash.update(command.as_bytes());
        hash.update(stream.as_str().as_bytes());
        hash.update([0]); // no stream id contains it, so nothing else hashes alike
        hash.update(index.to_be_bytes());
        Self(shaped(command.time(), &hash.finalize()))
    }
}

impl CommandId {
    /// The id of a command that is known by a name, such as a line of a file or a key that a client sends.
    ///
    /// The same time and name always give the same id: a UUID of version 7 with the time's milliseconds and 74 bits of
    /// bytes 6 to 15 of SHA-256 over the name. Such ids start in 1970; an earlier time becomes part of what is hashed,
    /// for a UUID of version 8.
    #[must_use]
    pub fn named(at: Timestamp, name: &str) -> Self {
        let mut hash = Sha256::new();
        if at.as_millisecond() < 0 {
            hash.update(at.as_millisecond().to_be_bytes());
        }
        hash.update(name.as_bytes());
        Self(shaped(Some(at), &hash.finalize()))
    }
}

/// Every correlation starts with a command, and is known by its id.
impl From<CommandId> for CorrelationId {
    fn from(command: CommandId) -> Self {
        Self(command.0)
    }
}

fn time_of(uuid: &Uuid) -> Option<Timestamp> {
    if uuid.get_version() != Some(Version::SortRand) {
        return None;
    }
    let (seconds, nanoseconds) = uuid.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

fn shaped(time: Option<Timestamp>, hash: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    let millis = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    match millis {
        Some(millis) => {
            let mut random = [0; 10];
            random.copy_from_slice(&bytes[6..]);
            Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
        }
        None => Builder::from_custom_bytes(bytes).into_uuid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn derived_ids_are_stable_and_keep_the_time() {
        let command = CommandId::named(at("2026-11-23T10:00:00.123Z"), "a");
        let stream = StreamId::new("order", 1).unwrap();
        let first = EventId::derived(command, &stream, 0);
        assert_eq!(first, EventId::derived(command, &stream, 0));
        assert_eq!(first.time(), Some(at("2026-11-23T10:00:00.123Z")));
        // Stored: this id may never change.
        assert_eq!(first.to_string(), "01a207d9-217b-78fb-8f53-607e3a0f0c2c");
        assert_ne!(first, EventId::derived(command, &stream, 1));
        assert_ne!(first, EventId::derived(command, &StreamId::new("order", 2).unwrap(), 0));
    }

    #[test]
    fn a_command_id_without_time_gives_event_ids_without_time() {
        let command = CommandId::from_bytes([7; 16]);
        let event = EventId::derived(command, &StreamId::new("order", 1).unwrap(), 0);
        assert_eq!(event.as_uuid().get_version_num(), 8);
        assert_eq!(event.time(), None);
    }

    #[test]
    fn names_before_1970_are_told_apart_by_their_times() {
        let named = |text| CommandId::named(at(text), "a");
        assert_ne!(named("1969-01-01T00:00:00Z"), named("1968-01-01T00:00:00Z"));
        assert_eq!(named("1969-01-01T00:00:00Z").time(), None);
    }

    #[test]
    fn ids_round_trip_as_text() {
        let id = EventId::from_bytes([1; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        let message = "order-1".parse::<EventId>().unwrap_err().to_string();
        assert!(message.contains("\"order-1\" is no event id"), "{message}");
    }
}
