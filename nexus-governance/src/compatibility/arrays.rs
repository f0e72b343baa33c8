//! Arrays: how many items there are, where those are that have to be there, and what each has to fit.

use std::sync::Arc;

use serde_json::Value;

use super::formula::Literal;
use super::node::{ArrayTest, Node, NodeId};
use super::search::{Best, Goal, Outcome, Search, State, TOO_MUCH};

/// How long an array is made.
const LONGEST: u64 = 300;

/// What is asked of an array.
#[derive(Clone, Debug, Default)]
struct Arrays {
    items: Vec<(Vec<NodeId>, NodeId)>,
    at: Vec<(usize, Goal)>,
    from: Vec<(usize, Goal)>,
    counts: Vec<(NodeId, u64, Option<u64>)>,
    min: u64,
    max: Option<u64>,
    is_unique: bool,
    is_repeating: bool,
}

/// What each item of an array in the making has to fit.
type Making = Vec<Vec<Goal>>;

impl Search<'_> {
    /// Whether the condition can be met beside those that concern all items.
    pub(super) fn item_agrees(&mut self, state: &State, literal: &Literal) -> bool {
        let mut literals: Vec<Literal> = state
            .literals
            .iter()
            .filter(|other| !matches!(other, Literal::Item(..) | Literal::ItemFrom(..)))
            .cloned()
            .collect();
        literals.push(literal.clone());
        !self.array(&literals).is_none()
    }

    pub(super) fn array(&mut self, literals: &[Literal]) -> Outcome {
        let mut asked = Arrays::default();
        for literal in literals {
            match literal {
                Literal::AtLeast(least) => asked.min = asked.min.max(*least),
                Literal::AtMost(most) => asked.max = Some(asked.max.map_or(*most, |max| max.min(*most))),
                Literal::Item(index, goal) => asked.at.push((*index, *goal)),
                Literal::ItemFrom(index, goal) => asked.from.push((*index, *goal)),
                Literal::Count(item, min, max) => asked.counts.push((*item, *min, *max)),
                Literal::Test(id, fits) => match (self.arena.node(*id), fits) {
                    (Node::Array(ArrayTest::Items { prefix, rest }), true) => {
                        asked.items.push((prefix.clone(), *rest));
                    }
                    (Node::Array(ArrayTest::Unique), true) => asked.is_unique = true,
                    (Node::Array(ArrayTest::Unique), false) => asked.is_repeating = true,
                    _ => {}
                },
                _ => {}
            }
        }
        // Those that reach least far first: then the items that any of them can choose from are alike for all that follow.
        asked.from.sort_by_key(|(from, _)| std::cmp::Reverse(*from));
        self.of_some_length(&asked)
    }

    /// An array that fits is no longer than what has to be in it: others of its items could be left out.
    fn of_some_length(&mut self, asked: &Arrays) -> Outcome {
        let least = asked.at.iter().map(|(index, _)| *index as u64 + 1).chain([asked.min]).max().unwrap_or(0);
        let needed = asked.counts.iter().fold(0_u64, |sum, (_, min, _)| sum.saturating_add(*min));
        let prefix = asked.items.iter().map(|(prefix, _)| prefix.len() as u64).max().unwrap_or(0);
        let from = asked.from.iter().map(|(index, _)| *index as u64).max().unwrap_or(0);
        let repeated = if asked.is_repeating { 2 } else { 0 };
        let more = needed.saturating_add(asked.from.len() as u64).saturating_add(repeated);
        let most = least.max(prefix).max(from).saturating_add(more);
        let most = asked.max.map_or(most, |max| most.min(max));
        if least > LONGEST {
            return if asked.max.is_some_and(|max| max < least) {
                Outcome::None
            } else {
                Outcome::unknown("an array has to have a great many items")
            };
        }
        let mut best = Best::new();
        for length in least..=most.min(LONGEST) {
            let making: Making =
                (0..length).map(|index| self.of_all(asked, usize::try_from(index).unwrap_or(0))).collect();
            if best.take(self.with_items(asked, 0, making)) {
                return best.into_outcome();
            }
        }
        if most > LONGEST {
            best.take(Outcome::unknown("an array has to have a great many items"));
        }
        best.into_outcome()
    }

    fn of_all(&self, asked: &Arrays, index: usize) -> Vec<Goal> {
        let of = |(prefix, rest): &(Vec<NodeId>, NodeId)| (prefix.get(index).copied().unwrap_or(*rest), true);
        let at = asked.at.iter().filter(|(at, _)| *at == index).map(|(_, goal)| *goal);
        asked.items.iter().map(of).chain(at).collect()
    }

    /// Gives each item that has to be somewhere its place.
    fn with_items(&mut self, asked: &Arrays, index: usize, making: Making) -> Outcome {
        if !self.spend(1 + making.len() as u64) {
            return Outcome::unknown(TOO_MUCH);
        }
        let Some((from, goal)) = asked.from.get(index).copied() else {
            return self.with_counts(asked, 0, making);
        };
        let mut best = Best::new();
        for place in distinct_places(&making, from..making.len()) {
            let mut making = making.clone();
            making[place].push(goal);
            if self.solve(&making[place]).is_none() {
                continue;
            }
            if best.take(self.with_items(asked, index + 1, making)) {
                break;
            }
        }
        best.into_outcome()
    }

    /// Decides which items are among those that are counted.
    fn with_counts(&mut self, asked: &Arrays, index: usize, making: Making) -> Outcome {
        let Some((item, min, max)) = asked.counts.get(index).copied() else {
            return self.with_pair(asked, making);
        };
        let length = making.len() as u64;
        if min > length {
            return Outcome::None;
        }
        if min == 0 && max.is_none_or(|max| max >= length) {
            return self.with_counts(asked, index + 1, making);
        }
        // Where there is no upper bound the others may fit or not.
        let (least, most) = match max {
            Some(max) => (min, max.min(length)),
            None => (min, min),
        };
        let mut best = Best::new();
        for count in least..=most {
            let choice = Choice { item, is_bounded: max.is_some(), left: count };
            if best.take(self.chosen(asked, index, making.clone(), 0, choice)) {
                break;
            }
        }
        best.into_outcome()
    }

    fn chosen(
        &mut self,
        asked: &Arrays,
        index: usize,
        making: Making,
        place: usize,
        choice: Choice,
    ) -> Outcome {
        if !self.spend(1 + making.len() as u64) {
            return Outcome::unknown(TOO_MUCH);
        }
        let remaining = (making.len() - place) as u64;
        if choice.left > remaining {
            return Outcome::None;
        }
        if place == making.len() {
            return self.with_counts(asked, index + 1, making);
        }
        let mut best = Best::new();
        if choice.left > 0 {
            let mut with = making.clone();
            with[place].push((choice.item, true));
            if !self.solve(&with[place]).is_none() {
                let rest = Choice { left: choice.left - 1, ..choice };
                if best.take(self.chosen(asked, index, with, place + 1, rest)) {
                    return best.into_outcome();
                }
            }
        }
        if choice.left < remaining {
            let mut without = making;
            if choice.is_bounded {
                without[place].push((choice.item, false));
            }
            if !choice.is_bounded || !self.solve(&without[place]).is_none() {
                best.take(self.chosen(asked, index, without, place + 1, choice));
            }
        }
        best.into_outcome()
    }

    /// Where an item has to be there twice, decides which.
    fn with_pair(&mut self, asked: &Arrays, making: Making) -> Outcome {
        if asked.is_unique && asked.is_repeating {
            return Outcome::None;
        }
        if !asked.is_repeating {
            return self.filled(asked, &making, None);
        }
        let mut best = Best::new();
        for one in 0..making.len() {
            for other in one + 1..making.len() {
                if !self.spend(1 + making.len() as u64) {
                    return Outcome::unknown(TOO_MUCH);
                }
                if best.take(self.filled(asked, &making, Some((one, other)))) {
                    return best.into_outcome();
                }
            }
        }
        best.into_outcome()
    }

    fn filled(&mut self, asked: &Arrays, making: &Making, pair: Option<(usize, usize)>) -> Outcome {
        let mut items: Vec<Value> = Vec::with_capacity(making.len());
        let mut doubt: Option<Arc<str>> = None;
        for (index, goals) in making.iter().enumerate() {
            if let Some((one, other)) = pair
                && other == index
            {
                items.push(items[one].clone());
                continue;
            }
            let mut goals = goals.clone();
            if let Some((one, other)) = pair
                && one == index
            {
                goals.extend(&making[other]);
            }
            let mut outcome = self.solve(&goals);
            if asked.is_unique && matches!(&outcome, Outcome::Found(value) if items.contains(value)) {
                let others = self.arena.values(items.clone());
                goals.push((others, false));
                outcome = match self.solve(&goals) {
                    // Those before it could be others.
                    Outcome::None => Outcome::unknown("no items were found that are all different"),
                    found => found,
                };
            }
            match outcome {
                Outcome::Found(value) => items.push(value),
                Outcome::Unknown(value, reason) => {
                    doubt = Some(reason);
                    items.push(value.unwrap_or(Value::Null));
                }
                Outcome::None => return Outcome::None,
            }
        }
        let outcome = self.built(Value::Array(items));
        match doubt {
            Some(reason) => outcome.doubted(&reason),
            None => outcome,
        }
    }
}

/// Which items are among those that are counted: so many are left to be chosen, and the others may fit, too, unless the
/// count has an upper bound.
#[derive(Clone, Copy)]
struct Choice {
    item: NodeId,
    is_bounded: bool,
    left: u64,
}

/// One place of each run of items that are asked the same.
fn distinct_places(making: &Making, range: std::ops::Range<usize>) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    for place in range {
        if places.last().is_none_or(|last| making[*last] != making[place]) {
            places.push(place);
        }
    }
    places
}
