//! Regular expressions as automata: whether a text can match some and not others, and the shortest that does.

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

type Dfa = dense::DFA<Vec<u32>>;

/// The memory that an automaton may take, in bytes.
const LARGEST: usize = 4 << 20;

/// How many combined states are looked at.
const STATES: usize = 60_000;

/// What was compiled so far.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    automata: HashMap<String, Option<Rc<Dfa>>>,
}

/// What is asked of a text.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    pub(super) min: u64,
    pub(super) max: Option<u64>,
    pub(super) patterns: Vec<(String, bool)>,
    pub(super) excluded: Vec<String>,
}

/// What is known of the texts that are asked for.
#[derive(Debug)]
pub(super) enum Answer {
    Text(String),
    None,
    Unknown,
}

impl Patterns {
    fn automaton(&mut self, pattern: &str) -> Option<Rc<Dfa>> {
        if let Some(known) = self.automata.get(pattern) {
            return known.clone();
        }
        let compiled = compiled(pattern).map(Rc::new);
        self.automata.insert(pattern.to_owned(), compiled.clone());
        compiled
    }

    /// Whether the pattern occurs in the text; none where it cannot be told.
    pub(super) fn matches(&mut self, pattern: &str, text: &str) -> Option<bool> {
        let automaton = self.automaton(pattern)?;
        let mut progress = Progress::start(&automaton)?;
        for byte in text.bytes() {
            progress = progress.after(&automaton, byte)?;
        }
        progress.at_end(&automaton)
    }

    /// A text as is asked for, one of the shortest.
    pub(super) fn solve(&mut self, texts: &Texts) -> Answer {
        if texts.max.is_some_and(|max| max < texts.min) {
            return Answer::None;
        }
        if texts.patterns.is_empty() && texts.excluded.is_empty() {
            return plain(texts.min);
        }
        let mut automata = Vec::with_capacity(texts.patterns.len());
        for (pattern, fits) in &texts.patterns {
            match self.automaton(pattern) {
                Some(automaton) => automata.push((automaton, *fits)),
                None => return Answer::Unknown,
            }
        }
        // A state counts characters up to the bounds: those that are far away would be too many.
        if texts.min.max(texts.max.unwrap_or(0)) > STATES as u64 {
            return match texts.patterns[..] {
                [] => plain_but(texts),
                _ => Answer::Unknown,
            };
        }
        Product { automata, texts }.shortest()
    }
}

fn plain(length: u64) -> Answer {
    match usize::try_from(length) {
        Ok(length) if length <= LARGEST => Answer::Text("a".repeat(length)),
        _ => Answer::Unknown,
    }
}

/// Of long texts there are more than can be excluded.
fn plain_but(texts: &Texts) -> Answer {
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let Ok(length) = usize::try_from(texts.min.max(1)) else { return Answer::Unknown };
    if length > LARGEST {
        return Answer::Unknown;
    }
    let mut tried = letters.iter().map(|letter| letter.repeat(length));
    tried.find(|text| !texts.excluded.contains(text)).map_or(Answer::Unknown, Answer::Text)
}

fn compiled(pattern: &str) -> Option<Dfa> {
    // As the validator reads it.
    let translated = jsonschema_regex::to_rust_regex(pattern).ok()?;
    let config = dense::Config::new()
        .match_kind(MatchKind::All)
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(LARGEST))
        .determinize_size_limit(Some(LARGEST))
        .minimize(false);
    let syntax = regex_automata::util::syntax::Config::new().nest_limit(200);
    let limits = regex_automata::nfa::thompson::Config::new().nfa_size_limit(Some(LARGEST));
    dense::Builder::new().configure(config).syntax(syntax).thompson(limits).build(&translated).ok()
}

/// How far a pattern has come in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Progress {
    At(StateID),
    Matched,
    /// It does not match any more, whatever follows.
    Dead,
}

impl Progress {
    fn start(automaton: &Dfa) -> Option<Self> {
        let start = automaton.start_state(&start::Config::new().anchored(Anchored::No)).ok()?;
        Self::of(automaton, start)
    }

    fn of(automaton: &Dfa, state: StateID) -> Option<Self> {
        if automaton.is_quit_state(state) {
            None
        } else if automaton.is_match_state(state) {
            Some(Self::Matched)
        } else if automaton.is_dead_state(state) {
            Some(Self::Dead)
        } else {
            Some(Self::At(state))
        }
    }

    fn after(self, automaton: &Dfa, byte: u8) -> Option<Self> {
        match self {
            Self::At(state) => Self::of(automaton, automaton.next_state(state, byte)),
            settled => Some(settled),
        }
    }

    fn at_end(self, automaton: &Dfa) -> Option<bool> {
        match self {
            Self::At(state) => {
                Self::of(automaton, automaton.next_eoi_state(state)).map(|end| end == Self::Matched)
            }
            Self::Matched => Some(true),
            Self::Dead => Some(false),
        }
    }
}

/// All automata at once, with the count of characters.
struct Product<'a> {
    automata: Vec<(Rc<Dfa>, bool)>,
    texts: &'a Texts,
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
    fn shortest(&self) -> Answer {
        let start: Option<Vec<Progress>> =
            self.automata.iter().map(|(automaton, _)| Progress::start(automaton)).collect();
        let Some(progress) = start else { return Answer::Unknown };
        let all = (0..self.texts.excluded.len()).collect();
        let start = Combined { progress, characters: 0, excluded: Some((all, 0)), rest: Rest::NOTHING };
        let bytes = self.representatives();
        let mut seen = HashSet::from([start.clone()]);
        // Each state with the place of the one before it.
        let mut reached: Vec<(Option<usize>, u8)> = vec![(None, 0)];
        let mut waiting = VecDeque::from([(0_usize, start)]);
        while let Some((index, state)) = waiting.pop_front() {
            match self.is_accepted(&state) {
                Some(true) => return text(&reached, index).map_or(Answer::Unknown, Answer::Text),
                Some(false) => {}
                None => return Answer::Unknown,
            }
            for byte in &bytes {
                let next = match self.after(&state, *byte) {
                    Step::To(next) => next,
                    Step::Nowhere => continue,
                    Step::Unknown => return Answer::Unknown,
                };
                if seen.contains(&next) {
                    continue;
                }
                if seen.len() >= STATES {
                    return Answer::Unknown;
                }
                seen.insert(next.clone());
                reached.push((Some(index), *byte));
                waiting.push_back((reached.len() - 1, next));
            }
        }
        Answer::None
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

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(patterns: &[(&str, bool)], min: u64, max: Option<u64>, excluded: &[&str]) -> Answer {
        let patterns = patterns.iter().map(|(pattern, fits)| ((*pattern).to_owned(), *fits)).collect();
        let excluded = excluded.iter().map(|text| (*text).to_owned()).collect();
        Patterns::default().solve(&Texts { min, max, patterns, excluded })
    }

    #[test]
    fn the_shortest_text_is_found_or_that_there_is_none() {
        for (patterns, min, max, excluded, expected) in [
            (&[("^[a-z]+$", true), ("^[a-f]+$", false)][..], 0, None, &[][..], Some("g")),
            (&[("^[a-f]+$", true), ("^[a-z]+$", false)], 0, None, &[], None),
            (&[("^a*$", true)], 3, Some(4), &["aaa"], Some("aaaa")),
            (&[("^a*$", true)], 3, Some(4), &["aaa", "aaaa"], None),
            (&[("a", true), ("b", true)], 0, Some(1), &[], None),
            (&[("^é$", true)], 1, Some(1), &[], Some("é")),
            (&[("^[^a-zA-Z0-9 -~]$", true)], 0, Some(1), &[], Some("\0")),
            (&[(r"^\d{3}$", true), ("^[0-9]+$", false)], 0, None, &[], None),
            (&[("", false)], 0, None, &[], None),
            (&[], 0, Some(0), &[""], None),
        ] {
            let found = solve(patterns, min, max, excluded);
            match (expected, &found) {
                (Some(text), Answer::Text(found)) => assert_eq!(found, text, "{patterns:?}"),
                (None, Answer::None) => {}
                _ => panic!("{patterns:?} {min} {max:?} {excluded:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_is_too_much_is_not_known() {
        let huge = "^(([a-z]{1,50}){1,50}){1,50}$";
        assert!(matches!(solve(&[(huge, true)], 0, None, &[]), Answer::Unknown));
        assert!(matches!(solve(&[(r"^(?=a)a$", true)], 0, None, &[]), Answer::Unknown));
    }
}
