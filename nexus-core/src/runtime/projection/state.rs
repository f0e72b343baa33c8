//! What holds for a build as a whole.

use serde::{Deserialize, Serialize};

use super::blocks::Block;
use super::claims::Claim;
use super::notes::STATE;
use crate::port::{Documents, ProjectionStore, Space};
use crate::vocabulary::{Category, Position, RecordedEvent, Slice, StoreError};

/// The one note of its kind.
const KEY: &str = "build";

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Whether the projection has made its read model ready.
    pub(super) prepared: bool,
    pub(super) effects: Effects,
    /// All blocks before this one were found complete.
    pub(super) complete: Block,
    /// Why the projection stopped by itself, the last time it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    #[serde(default, skip_serializing_if = "Follows::is_log")]
    pub(super) follows: Follows,
}

/// Where the events come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Follows {
    /// A log: how far it is is a position.
    #[default]
    Log,
    /// A feed, of which it takes the streams of these categories; none: of all.
    Feed(Vec<Category>),
}

impl Follows {
    fn is_log(&self) -> bool {
        *self == Self::Log
    }

    /// Whether who has followed the one can follow the other.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.is_log() == other.is_log()
    }

    pub(super) fn word(&self) -> &'static str {
        if self.is_log() { "a log" } else { "a feed" }
    }

    /// Whether streams of the category are followed.
    pub(super) fn includes(&self, category: &str) -> bool {
        match self {
            Self::Feed(categories) if !categories.is_empty() => {
                categories.iter().any(|followed| followed.as_str() == category)
            }
            Self::Feed(_) | Self::Log => true,
        }
    }
}

impl State {
    pub(super) async fn read(notes: &mut dyn Documents) -> Result<Self, StoreError> {
        Ok(STATE.read(notes, KEY).await?.unwrap_or_default())
    }

    /// As it was last committed; `None` where nothing holds yet.
    pub(super) async fn find(
        store: &(impl ProjectionStore + ?Sized),
        space: &Space,
    ) -> Result<Option<Self>, StoreError> {
        STATE.find(store, space, KEY).await
    }

    pub(super) async fn write(&self, notes: &mut dyn Documents) -> Result<(), StoreError> {
        STATE.write(notes, KEY, self).await
    }
}

/// Which events have effects elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effects {
    /// All of them.
    #[default]
    On,
    /// None: what is built anew has had its effects.
    Off,
    /// Those after what the build before has handled.
    After(Vec<Mark>),
}

/// How far a range of slices was handled by the build before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) through: Option<Position>,
}

impl Effects {
    pub(super) fn after(claims: &[Claim]) -> Self {
        let mark = |claim: &Claim| Mark { first: claim.first, last: claim.last, through: claim.cursor };
        Self::After(claims.iter().map(mark).collect())
    }

    pub(super) fn of(&self, event: &RecordedEvent) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
            Self::After(marks) => event.position() > through(marks, event.slice()),
        }
    }
}

pub(super) fn through(marks: &[Mark], slice: Slice) -> Option<Position> {
    let slice = slice.get();
    marks.iter().find(|mark| (mark.first..=mark.last).contains(&slice)).and_then(|mark| mark.through)
}
