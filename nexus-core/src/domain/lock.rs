mod difference;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Aggregate, Command, DomainEvent, FormerKind, Shape};
use difference::differences;

/// The persisted shapes of a program: those of its events, commands and snapshots, by name and version.
///
/// Written to a file that is committed, it tells when a shape has changed that is already stored: see
/// [`check_shapes`](crate::testing::check_shapes). The file is JSON, and can be read without the program:
///
/// ```json
/// {
///   "nexus_lock": 1,
///   "events": { "OrderPlaced": { "1": { "read": "upcast", "shape": { "type": "object" } } } },
///   "commands": { "Pay": { "1": { "type": "object" } } },
///   "snapshots": { "order": { "1": { "type": "object" } } }
/// }
/// ```
///
/// Each shape is a JSON Schema (2020-12) of what is stored: see [`Shape`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShapeLock {
    nexus_lock: u32,
    /// By stored name and version.
    #[serde(default)]
    pub events: Versions<LockedEvent>,
    /// By name and version.
    #[serde(default)]
    pub commands: Versions<Shape>,
    /// By category and snapshot version.
    #[serde(default)]
    pub snapshots: Versions<Shape>,
    /// The digests of released schemas, by what they are of, such as `event/OrderPlaced/1.0.0`: `nexus-governance` keeps and
    /// compares them, so that a schema that was released cannot be altered unnoticed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub schemas: BTreeMap<String, String>,
}

type Versions<T> = BTreeMap<String, BTreeMap<u32, T>>;

/// The version of the file's format.
const FORMAT: u32 = 1;

/// A kind of event in a [`ShapeLock`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedEvent {
    /// How the program reads it.
    pub read: WayOfReading,
    /// What its payload looks like.
    pub shape: Shape,
}

/// How a program reads a stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WayOfReading {
    /// As it is.
    Directly,
    /// Through an [`Upcast`](crate::Upcast).
    Upcast,
}

/// What is no lock file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidLock {
    /// It is no JSON of that form.
    #[error(
        "it is no lock file: expected JSON with \"nexus_lock\", \"events\", \"commands\" and \"snapshots\""
    )]
    Malformed(#[source] serde_json::Error),
    /// A newer version of this crate wrote it.
    #[error("the lock file has format {found}, written by a newer nexus-core: this one knows {FORMAT}")]
    Future {
        /// The format it has.
        found: u32,
    },
}

impl Default for ShapeLock {
    /// Nothing is stored.
    fn default() -> Self {
        let (events, commands, snapshots, schemas) = Default::default();
        Self { nexus_lock: FORMAT, events, commands, snapshots, schemas }
    }
}

impl ShapeLock {
    /// With all events of `E`, and those that it upcasts.
    #[must_use]
    pub fn events<E: DomainEvent + DeserializeOwned + JsonSchema>(mut self) -> Self {
        let direct = Shape::of_events::<E>().into_iter();
        let direct = direct.map(|(kind, shape)| (kind, LockedEvent { read: WayOfReading::Directly, shape }));
        let upcast = |former: &FormerKind<E>| {
            let locked = LockedEvent { read: WayOfReading::Upcast, shape: former.shape() };
            (*former.kind(), locked)
        };
        for (kind, locked) in direct.chain(E::FORMER.iter().map(upcast)) {
            let versions = self.events.entry(kind.name().to_owned()).or_default();
            versions.insert(kind.version().get(), locked);
        }
        self
    }

    /// With the command `C`.
    #[must_use]
    pub fn command<C: Command + JsonSchema>(mut self) -> Self {
        self.commands.entry(C::NAME.to_owned()).or_default().insert(C::VERSION, Shape::of::<C>());
        self
    }

    /// With the snapshots of `A`.
    #[must_use]
    pub fn snapshot<A: Aggregate + JsonSchema>(mut self) -> Self {
        let versions = self.snapshots.entry(A::CATEGORY.to_owned()).or_default();
        versions.insert(A::SNAPSHOT_VERSION, Shape::of::<A>());
        self
    }

    /// What a lock file says.
    ///
    /// # Errors
    /// The text is no lock file, or one of a newer format.
    pub fn from_json(text: &str) -> Result<Self, InvalidLock> {
        #[derive(Deserialize)]
        struct Format {
            nexus_lock: u32,
        }
        let Format { nexus_lock: found } = serde_json::from_str(text).map_err(InvalidLock::Malformed)?;
        if found > FORMAT {
            return Err(InvalidLock::Future { found });
        }
        serde_json::from_str(text).map_err(InvalidLock::Malformed)
    }

    /// The text of a lock file, the same for the same shapes.
    pub fn to_json(&self) -> String {
        // Maps of texts and numbers can always be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// What cannot be, if what is locked in `self` is stored, and `now` is the program: a shape that changed under its name
    /// and version, or one that nothing reads any more.
    pub fn changes(&self, now: &Self) -> Vec<ShapeChange> {
        let mut changes = Vec::new();
        for (name, version, locked) in each(&self.events) {
            let change = |what| ShapeChange { thing: StoredThing::Event, name: name.clone(), version, what };
            match now.events.get(name).and_then(|versions| versions.get(&version)) {
                Some(found) => {
                    changes.extend(differences(&locked.shape, &found.shape).into_iter().map(change));
                }
                None => changes.push(change("nothing reads it any more".to_owned())),
            }
        }
        for (thing, locked, now) in [
            (StoredThing::Command, &self.commands, &now.commands),
            (StoredThing::Snapshot, &self.snapshots, &now.snapshots),
        ] {
            for (name, version, shape) in each(locked) {
                let change = |what| ShapeChange { thing, name: name.clone(), version, what };
                let latest = now.get(name).and_then(|versions| versions.last_key_value());
                match now.get(name).and_then(|versions| versions.get(&version)) {
                    Some(found) => changes.extend(differences(shape, found).into_iter().map(change)),
                    None if latest.is_some_and(|(latest, _)| *latest > version) => {}
                    None => changes.push(change("it is gone".to_owned())),
                }
            }
        }
        changes
    }

    /// What is locked in either; earlier versions of commands and snapshots stay.
    #[must_use]
    pub fn and(mut self, now: &Self) -> Self {
        merge(&mut self.events, &now.events);
        merge(&mut self.commands, &now.commands);
        merge(&mut self.snapshots, &now.snapshots);
        self.schemas.extend(now.schemas.iter().map(|(of, digest)| (of.clone(), digest.clone())));
        self
    }

    /// How many shapes it has.
    pub fn len(&self) -> usize {
        each(&self.events).count() + each(&self.commands).count() + each(&self.snapshots).count()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn each<T>(versions: &Versions<T>) -> impl Iterator<Item = (&String, u32, &T)> {
    versions.iter().flat_map(|(name, of)| of.iter().map(move |(version, locked)| (name, *version, locked)))
}

fn merge<T: Clone>(into: &mut Versions<T>, from: &Versions<T>) {
    for (name, version, locked) in each(from) {
        into.entry(name.clone()).or_default().insert(version, locked.clone());
    }
}

/// What kind of thing is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoredThing {
    /// An event.
    Event,
    /// A command.
    Command,
    /// A snapshot.
    Snapshot,
}

impl fmt::Display for StoredThing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "event",
            Self::Command => "command",
            Self::Snapshot => "snapshot of",
        })
    }
}

/// A change to a shape that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeChange {
    /// An event, a command, or a snapshot.
    pub thing: StoredThing,
    /// Its stored name, or the category.
    pub name: String,
    /// The version under which it is stored.
    pub version: u32,
    /// Field and change, in words.
    pub what: String,
}

impl ShapeChange {
    /// What can be done about it.
    pub fn remedy(&self) -> &'static str {
        match self.thing {
            StoredThing::Event => {
                "give the event its next version (`#[event(version = …)]`), keep the stored shape as a struct that \
                 implements `Upcast`, and list that (`#[event(upcast(…))]`)"
            }
            StoredThing::Command => "give the command its next version (`#[command(version = …)]`)",
            StoredThing::Snapshot => "raise the aggregate's `SNAPSHOT_VERSION`",
        }
    }
}

impl fmt::Display for ShapeChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thing, name, version, what } = self;
        write!(f, "{thing} {name}, version {version}: {what}")
    }
}
