//! Regular expressions as automata: whether a text can match some and not others, and the shortest that does.

mod product;

use std::collections::HashMap;
use std::rc::Rc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

use product::Product;

type Dfa = dense::DFA<Vec<u32>>;

/// The memory that an automaton may take, in bytes.
const LARGEST: usize = 4 << 20;

/// The memory that all automata may take at a time, in bytes.
const ALL: usize = 64 << 20;

/// How long a text is made.
const LONGEST: usize = 64 << 10;

/// What was compiled so far.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    automata: HashMap<String, Option<Rc<Dfa>>>,
    /// The memory that it took, in bytes; what failed took all that it may.
    taken: usize,
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
    /// For another search, which may need others.
    pub(super) fn renew(&mut self) {
        if self.taken > ALL / 2 {
            *self = Self::default();
        }
    }

    fn automaton(&mut self, pattern: &str) -> Option<Rc<Dfa>> {
        if let Some(known) = self.automata.get(pattern) {
            return known.clone();
        }
        let compiled = if self.taken < ALL { compiled(pattern).map(Rc::new) } else { None };
        self.taken += compiled.as_ref().map_or(LARGEST, |automaton| automaton.memory_usage());
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

    /// A text as is asked for, one of the shortest; and how many steps that took.
    pub(super) fn solve(&mut self, texts: &Texts) -> (Answer, u64) {
        let taken = self.taken;
        let (answer, states) = self.searched(texts);
        let compiled = (self.taken - taken) as u64 / 4_096;
        let parts = (1 + texts.patterns.len()) as u64;
        (answer, 10 * parts + compiled + states as u64 * parts / 4 + texts.excluded.len() as u64 / 8)
    }

    /// The same, and how many combined states were looked at.
    fn searched(&mut self, texts: &Texts) -> (Answer, usize) {
        if texts.max.is_some_and(|max| max < texts.min) {
            return (Answer::None, 0);
        }
        if texts.patterns.is_empty() && texts.excluded.is_empty() {
            return (plain(texts.min), 0);
        }
        let mut automata = Vec::with_capacity(texts.patterns.len());
        for (pattern, fits) in &texts.patterns {
            match self.automaton(pattern) {
                Some(automaton) => automata.push((automaton, *fits)),
                None => return (Answer::Unknown, 0),
            }
        }
        // A state counts characters up to the bounds: those that are far away would be too many.
        if texts.min.max(texts.max.unwrap_or(0)) > product::STATES as u64 {
            let answer = if texts.patterns.is_empty() { plain_but(texts) } else { Answer::Unknown };
            return (answer, 0);
        }
        Product { automata, texts }.shortest()
    }
}

fn plain(length: u64) -> Answer {
    match usize::try_from(length) {
        Ok(length) if length <= LONGEST => Answer::Text("a".repeat(length)),
        _ => Answer::Unknown,
    }
}

/// Of long texts there are more than can be excluded.
fn plain_but(texts: &Texts) -> Answer {
    let letters = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let Ok(length) = usize::try_from(texts.min.max(1)) else { return Answer::Unknown };
    if length > LONGEST {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(patterns: &[(&str, bool)], min: u64, max: Option<u64>, excluded: &[&str]) -> Answer {
        let patterns = patterns.iter().map(|(pattern, fits)| ((*pattern).to_owned(), *fits)).collect();
        let excluded = excluded.iter().map(|text| (*text).to_owned()).collect();
        Patterns::default().solve(&Texts { min, max, patterns, excluded }).0
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
