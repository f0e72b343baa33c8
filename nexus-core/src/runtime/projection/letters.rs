//! Events that a projection could not take in, and those of the same streams that wait behind them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::vocabulary::{RecordedEvent, StreamId, StreamVersion};

/// An event that a projection could not take in, or one of the same stream that waits behind it.
///
/// The letters of a stream are dealt with in the order of their versions; other streams go on meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event, as it was delivered.
    pub event: RecordedEvent,
    /// What is to become of it.
    pub state: LetterState,
    /// How often it was tried; 0 where it waits behind another.
    pub tries: u32,
    /// What the last try said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it first failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failed: Option<Timestamp>,
    /// When it last failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failed: Option<Timestamp>,
    /// When it is tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
    /// What its trying does, where the build before this one has left the event's effect undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owed: Option<Owed>,
}

/// What is left to do with an event, where that is not what it would be otherwise: the build before this one has not come to its effect, or has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Owed {
    /// This build has handled the event: only the effect is left.
    Effect,
    /// It has not handled it, either.
    Both,
    /// None: this build has only not handled it. The one that served then has seen to the effect.
    Nothing,
}

/// What is to become of a [`DeadLetter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LetterState {
    /// It failed, and is tried again by itself.
    Retrying,
    /// It failed as often as it may: a person has to retry or skip it.
    Dead,
    /// It was never tried: an earlier event of its stream comes first.
    Waiting,
}

impl DeadLetter {
    pub(super) fn waiting(event: RecordedEvent, owed: Option<Owed>) -> Self {
        Self {
            event,
            state: LetterState::Waiting,
            tries: 0,
            error: None,
            first_failed: None,
            last_failed: None,
            next_try: None,
            owed,
        }
    }

    /// A letter of the build before this one, of which the effect is left: the first of its stream is due.
    pub(super) fn owing(self, is_first: bool, now: Timestamp) -> Self {
        let state = if is_first { LetterState::Retrying } else { LetterState::Waiting };
        Self { state, tries: 0, next_try: is_first.then_some(now), owed: Some(Owed::Effect), ..self }
    }

    pub(super) fn failed(
        event: RecordedEvent,
        error: String,
        now: Timestamp,
        next: Option<Timestamp>,
        owed: Option<Owed>,
    ) -> Self {
        Self::waiting(event, owed).failed_again(error, now, next)
    }

    /// The same after one more try; without a `next` one it is dead.
    pub(super) fn failed_again(self, error: String, now: Timestamp, next: Option<Timestamp>) -> Self {
        Self {
            state: if next.is_some() { LetterState::Retrying } else { LetterState::Dead },
            tries: self.tries + 1,
            error: Some(error),
            first_failed: self.first_failed.or(Some(now)),
            last_failed: Some(now),
            next_try: next,
            ..self
        }
    }

    pub(super) fn key(&self) -> String {
        key(self.event.stream(), self.event.version())
    }
}

/// The stream id has no control characters, so all letters of a stream, and of no other, start with this.
pub(super) fn prefix(stream: &StreamId) -> String {
    format!("{stream}\u{1}")
}

pub(super) fn key(stream: &StreamId, version: StreamVersion) -> String {
    format!("{stream}\u{1}{:019}", version.get())
}

/// What a person wants to be done with the first letter of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) wish: Wish,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) by: Option<String>,
    pub(super) at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Wish {
    /// Try all of them, in order.
    Retry,
    /// Give up the one of this version, and go on with those behind it.
    Skip(StreamVersion),
}

/// A letter that a person gave up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SkippedLetter {
    /// What was given up.
    pub letter: DeadLetter,
    /// By whom, where they said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When they asked for it.
    pub at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_in_the_order_of_their_versions_and_streams_do_not_mix() {
        let (one, other): (StreamId, StreamId) = ("order-1".parse().unwrap(), "order-11".parse().unwrap());
        let version = |number| StreamVersion::new(number).unwrap();
        assert!(key(&one, version(9)) < key(&one, version(10)));
        assert!(key(&one, StreamVersion::LAST) < key(&other, version(1)));
        assert!(!key(&other, version(1)).starts_with(&prefix(&one)));
    }
}
