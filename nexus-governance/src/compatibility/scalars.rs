//! Numbers and texts.

use serde_json::Value;

use super::formats;
use super::formula::{Literal, NumberBound};
use super::node::{Kind, Node, TextTest};
use super::number::{Answer as NumberAnswer, Numbers, Rational, rational};
use super::patterns::{Answer as TextAnswer, Texts};
use super::search::{Outcome, Search};

impl Search<'_> {
    pub(super) fn scalar(&mut self, kind: Kind, literals: &[Literal]) -> Outcome {
        match kind {
            Kind::Number => self.number(literals),
            _ => self.text(literals),
        }
    }

    fn number(&mut self, literals: &[Literal]) -> Outcome {
        let mut asked = Numbers::default();
        let one = || Rational::from_integer(1.into());
        for literal in literals {
            match literal {
                Literal::Test(id, fits) => match self.arena.node(*id) {
                    Node::Number(test) => match test.bound(*fits) {
                        NumberBound::Low(at, is_open) => asked.at_least(at, is_open),
                        NumberBound::High(at, is_open) => asked.at_most(at, is_open),
                        NumberBound::Multiple(of, fits) => asked.multiple_of(of.clone(), fits),
                    },
                    Node::Values(values) if !fits => {
                        let numbers = values.iter().filter_map(Value::as_number);
                        asked.exclude(numbers.filter_map(rational));
                    }
                    _ => {}
                },
                Literal::Whole(fits) => asked.multiple_of(one(), *fits),
                _ => {}
            }
        }
        let (answer, effort) = asked.solve();
        if !self.spend(effort) {
            return Outcome::unknown(super::search::TOO_MUCH);
        }
        match answer {
            NumberAnswer::Number(number) => Outcome::Found(number),
            NumberAnswer::None => Outcome::None,
            NumberAnswer::Unknown => Outcome::unknown("no number was found, nor that there is none"),
        }
    }

    fn text(&mut self, literals: &[Literal]) -> Outcome {
        let mut texts = Texts::default();
        let mut formats: Vec<(String, bool)> = Vec::new();
        for literal in literals {
            match literal {
                Literal::AtLeast(least) => texts.min = texts.min.max(*least),
                Literal::AtMost(most) => texts.max = Some(texts.max.map_or(*most, |max| max.min(*most))),
                Literal::Test(id, fits) => match self.arena.node(*id) {
                    Node::Text(TextTest::Pattern(pattern)) => texts.patterns.push((pattern.clone(), *fits)),
                    Node::Text(TextTest::Format(format)) => formats.push((format.clone(), *fits)),
                    Node::Values(values) if !fits => {
                        texts.excluded.extend(values.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        let (found, effort) = self.patterns.solve(&texts);
        if !self.spend(effort) {
            return Outcome::unknown(super::search::TOO_MUCH);
        }
        if formats.is_empty() {
            return match found {
                TextAnswer::Text(text) => Outcome::Found(Value::String(text)),
                TextAnswer::None => Outcome::None,
                TextAnswer::Unknown => {
                    Outcome::unknown("a pattern is no plain regular expression, or takes too much memory")
                }
            };
        }
        if matches!(found, TextAnswer::None) {
            return Outcome::None;
        }
        // Formats are told by samples alone.
        let samples = formats::SAMPLES.iter().map(|sample| (*sample).to_owned());
        let candidates = match found {
            TextAnswer::Text(text) => vec![text],
            _ => Vec::new(),
        };
        for text in candidates.into_iter().chain(samples) {
            let fits = formats.iter().all(|(format, fits)| formats::fits(format, &text) == *fits);
            if fits && self.is_as_asked(&texts, &text) {
                return Outcome::Found(Value::String(text));
            }
        }
        let names: Vec<&str> = formats.iter().map(|(format, _)| format.as_str()).collect();
        Outcome::unknown(&format!(
            "no text was found for the format {}, nor that there is none",
            names.join(", ")
        ))
    }

    fn is_as_asked(&mut self, texts: &Texts, text: &str) -> bool {
        let length = text.chars().count() as u64;
        length >= texts.min
            && texts.max.is_none_or(|max| length <= max)
            && !texts.excluded.iter().any(|other| other == text)
            && texts
                .patterns
                .iter()
                .all(|(pattern, fits)| self.patterns.matches(pattern, text) == Some(*fits))
    }
}
