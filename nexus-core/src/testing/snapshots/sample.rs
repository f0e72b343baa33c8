//! Aggregates whose state tells every event that was missed, or applied twice, or in another order; in three releases of
//! their code.

use std::borrow::Cow;
use std::error::Error;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::domain::{Aggregate, Command, CommandContext, CommandHandler, DomainEvent, EventKind};
use crate::vocabulary::Payload;

/// A number came in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted(pub(super) u32);

impl DomainEvent for Counted {
    const KINDS: &'static [EventKind] = &[EventKind::new("Counted", 1)];

    fn kind(&self) -> &'static EventKind {
        &Self::KINDS[0]
    }

    fn encode(&self) -> Result<Payload, serde_json::Error> {
        Payload::of(&self.0)
    }

    fn decode(_: &'static EventKind, payload: &Payload) -> Result<Self, serde_json::Error> {
        payload.decode().map(Self)
    }
}

/// Take these numbers in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Count(pub(super) Vec<u32>);

impl Command for Count {
    const NAME: &'static str = "Count";
    const VERSION: u32 = 1;
}

/// The last number was this one already.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Again(pub(super) u32);

impl std::fmt::Display for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} came last already", self.0)
    }
}

impl Error for Again {}

/// A release of the code: what it multiplies by, which snapshot version it has, which fields it writes.
macro_rules! release {
    ($(#[$doc:meta])* $name:ident, $factor:literal, $snapshot:literal, { $($extra:ident),* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub(super) struct $name {
            pub(super) digest: u64,
            pub(super) count: u64,
            last: Option<u32>,
            $($extra: u64,)*
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "properties": {
                        "digest": { "type": "integer" }, "count": { "type": "integer" },
                        "last": { "type": ["integer", "null"] },
                        $(stringify!($extra): { "type": "integer" },)*
                    }
                })
            }
        }

        impl Aggregate for $name {
            const CATEGORY: &'static str = "tally";
            const SNAPSHOT_VERSION: u32 = $snapshot;
            type Id = u8;
            type Event = Counted;

            fn apply(&mut self, Counted(number): &Counted) {
                self.digest = self.digest.wrapping_mul($factor).wrapping_add(u64::from(*number) + 1);
                self.count += 1;
                self.last = Some(*number);
                $(self.$extra += u64::from(*number);)*
            }
        }

        impl CommandHandler<Count> for $name {
            type Rejection = Again;

            fn handle(&self, Count(numbers): &Count, _: &CommandContext) -> Result<Vec<Counted>, Again> {
                match numbers.first() {
                    Some(first) if self.last == Some(*first) => Err(Again(*first)),
                    _ => Ok(numbers.iter().copied().map(Counted).collect()),
                }
            }
        }
    };
}

release!(
    /// As it was first.
    First, 31, 1, {}
);
release!(
    /// It means something else by the same fields, and says so.
    Second, 37, 2, {}
);
release!(
    /// It has another field, and says nothing.
    Third, 31, 1, { sum }
);
