//! Texts that some patterns match and others do not: their automata side by side, the shortest texts first.

use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use super::{Answer, Dfa, Progress, Texts};

/// How many combined states are looked at.
pub(super) const STATES: usize = 60_000;

/// All automata at once, with the count of characters.
pub(super) struct Product<'a> {
    pub(super) automata: Vec<(Rc<Dfa>, bool)>,
    pub(super) texts: &'a Texts,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Combined {
    progress: Vec<Progress>,
    /// Up to the bound beyond which it makes no difference.
    characters: u64,
    /// The excluded texts that begin like this one, and how far; none where none does.
    excluded: Option<(Vec<usize>, usize)>,
    /// What has to follow for the last character to be whole.
    rest: Rest,
}

/// What of a character in UTF-8 is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rest {
    bytes: u8,
    low: u8,
    high: u8,
}

impl Rest {
    const NOTHING: Self = Self { bytes: 0, low: 0x80, high: 0xbf };

    /// After this byte; none where it cannot be.
    fn after(self, byte: u8) -> Option<Self> {
        if self.bytes > 0 {
            let is_next = (self.low..=self.high).contains(&byte);
            return is_next.then_some(Self { bytes: self.bytes - 1, ..Self::NOTHING });
        }
        let (bytes, low, high) = match byte {
            0..=0x7f => (0, 0x80, 0xbf),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xe1..=0xec | 0xee..=0xef => (2, 0x80, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            _ => return None,
        };
        Some(Self { bytes, low, high })
    }
}

impl Product<'_> {
    /// The answer, and how many states were looked at.
    pub(super) fn shortest(&self) -> (Answer, usize) {
        let start: Option<Vec<Progress>> =
            self.automata.iter().map(|(automaton, _)| Progress::start(automaton)).collect();
        let Some(progress) = start else { return (Answer::Unknown, 0) };
        let all = (0..self.texts.excluded.len()).collect();
        let start = Combined { progress, characters: 0, excluded: Some((all, 0)), rest: Rest::NOTHING };
        let bytes = self.representatives();
        let mut seen = HashSet::from([start.clone()]);
        // Each state with the place of the one before it.
        let mut reached: Vec<(Option<usize>, u8)> = vec![(None, 0)];
        let mut waiting = VecDeque::from([(0_usize, start)]);
        while let Some((index, state)) = waiting.pop_front() {
            match self.is_accepted(&state) {
                Some(true) => {
                    return (text(&reached, index).map_or(Answer::Unknown, Answer::Text), seen.len());
                }
                Some(false) => {}
                None => return (Answer::Unknown, seen.len()),
            }
            for byte in &bytes {
                let next = match self.after(&state, *byte) {
                    Step::To(next) => next,
                    Step::Nowhere => continue,
                    Step::Unknown => return (Answer::Unknown, seen.len()),
                };
                if seen.contains(&next) {
                    continue;
                }
                if seen.len() >= STATES {
                    return (Answer::Unknown, seen.len());
                }
                seen.insert(next.clone());
                reached.push((Some(index), *byte));
                waiting.push_back((reached.len() - 1, next));
            }
        }
        (Answer::None, seen.len())
    }

    /// Bytes that all automata take alike are tried once; those that read well come first.
    fn representatives(&self) -> Vec<u8> {
        let is_excluded: HashSet<u8> = self.texts.excluded.iter().flat_map(|text| text.bytes()).collect();
        let mut seen = HashSet::new();
        let by_looks = (b'a'..=b'z').chain(b'0'..=b'9').chain(b'A'..=b'Z').chain(b' '..=b'~');
        let others = (0..=u8::MAX).filter(|byte| !(b' '..=b'~').contains(byte));
        by_looks
            .chain(others)
            .filter(|byte| {
                let classes: Vec<u8> =
                    self.automata.iter().map(|(automaton, _)| automaton.byte_classes().get(*byte)).collect();
                // The bytes of a character are told apart by what may follow them, too.
                let utf8 = (Rest::NOTHING.after(*byte), *byte & 0xf0);
                seen.insert((classes, utf8, is_excluded.contains(byte).then_some(*byte)))
            })
            .collect()
    }

    fn after(&self, state: &Combined, byte: u8) -> Step {
        let Some(rest) = state.rest.after(byte) else { return Step::Nowhere };
        let is_start = state.rest.bytes == 0;
        let mut characters = state.characters + u64::from(is_start);
        match self.texts.max {
            Some(max) if characters > max => return Step::Nowhere,
            Some(_) => {}
            None => characters = characters.min(self.texts.min),
        }
        let mut progress = Vec::with_capacity(state.progress.len());
        for ((automaton, fits), before) in self.automata.iter().zip(&state.progress) {
            match before.after(automaton, byte) {
                None => return Step::Unknown,
                // It will not be accepted any more.
                Some(Progress::Matched) if !fits => return Step::Nowhere,
                Some(Progress::Dead) if *fits => return Step::Nowhere,
                Some(next) => progress.push(next),
            }
        }
        let excluded = state.excluded.as_ref().and_then(|(texts, length)| {
            let is_like = |index: &usize| self.texts.excluded[*index].as_bytes().get(*length) == Some(&byte);
            let left: Vec<usize> = texts.iter().copied().filter(is_like).collect();
            (!left.is_empty()).then_some((left, length + 1))
        });
        Step::To(Combined { progress, characters, excluded, rest })
    }

    fn is_accepted(&self, state: &Combined) -> Option<bool> {
        if state.rest.bytes > 0 || state.characters < self.texts.min {
            return Some(false);
        }
        let is_excluded = state.excluded.as_ref().is_some_and(|(texts, length)| {
            texts.iter().any(|index| self.texts.excluded[*index].len() == *length)
        });
        if is_excluded {
            return Some(false);
        }
        for ((automaton, fits), progress) in self.automata.iter().zip(&state.progress) {
            if progress.at_end(automaton)? != *fits {
                return Some(false);
            }
        }
        Some(true)
    }
}

enum Step {
    To(Combined),
    Nowhere,
    Unknown,
}

fn text(reached: &[(Option<usize>, u8)], mut index: usize) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some((Some(before), byte)) = reached.get(index) {
        bytes.push(*byte);
        index = *before;
    }
    bytes.reverse();
    String::from_utf8(bytes).ok()
}
