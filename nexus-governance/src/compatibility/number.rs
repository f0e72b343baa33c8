//! Numbers as JSON Schema compares them: exactly.

use std::collections::HashSet;

use num_rational::BigRational;
use num_traits::{FromPrimitive, One, Signed, ToPrimitive, Zero};
use serde_json::{Number, Value};

pub(super) type Rational = BigRational;

/// The number that is written: a fraction by its shortest decimal text, which is how a person reads it.
pub(super) fn rational(number: &Number) -> Option<Rational> {
    if let Some(number) = number.as_u64() {
        return BigRational::from_u64(number);
    }
    if let Some(number) = number.as_i64() {
        return BigRational::from_i64(number);
    }
    let float = number.as_f64()?;
    if float.fract() == 0.0 { BigRational::from_float(float) } else { decimal(&number.to_string()) }
}

/// A text such as `-1.25e-7`.
fn decimal(text: &str) -> Option<Rational> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mantissa = format!("{whole}{fraction}").parse::<num_bigint::BigInt>().ok()?;
    let exponent = exponent - i32::try_from(fraction.len()).ok()?;
    let power = num_traits::pow(num_bigint::BigInt::from(10), exponent.unsigned_abs() as usize);
    let mantissa = BigRational::from_integer(mantissa);
    let power = BigRational::from_integer(power);
    Some(if exponent < 0 { mantissa / power } else { mantissa * power })
}

/// The JSON number that is exactly this one, if there is one.
pub(super) fn written(number: &Rational) -> Option<Value> {
    if number.is_integer() {
        let whole = number.to_integer();
        if let Some(number) = whole.to_u64() {
            return Some(number.into());
        }
        if let Some(number) = whole.to_i64() {
            return Some(number.into());
        }
    }
    let float = Number::from_f64(number.to_f64()?)?;
    (rational(&float).as_ref() == Some(number)).then_some(Value::Number(float))
}

/// The same value with its numbers written in one way: `1.0` as `1`.
pub(crate) fn normal(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            rational(number).and_then(|number| written(&number)).unwrap_or_else(|| value.clone())
        }
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), normal(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        _ => value.clone(),
    }
}

pub(super) fn is_multiple(number: &Rational, of: &Rational) -> bool {
    !of.is_zero() && (number / of).is_integer()
}

/// What is asked of a number.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    low: Option<Bound>,
    high: Option<Bound>,
    multiples: Vec<Rational>,
    others: Vec<Rational>,
    excluded: HashSet<Rational>,
}

#[derive(Clone, Debug)]
struct Bound {
    at: Rational,
    is_open: bool,
}

/// What is known of the numbers that are asked for.
#[derive(Debug)]
pub(super) enum Answer {
    /// This is one.
    Number(Value),
    /// There is none.
    None,
    /// None was found.
    Unknown,
}

/// Beyond this, what is a multiple of a fraction is a matter of rounding.
const EXACT: i64 = 1_000_000_000_000;

impl Numbers {
    pub(super) fn at_least(&mut self, at: &Rational, is_open: bool) {
        let is_closer = self.low.as_ref().is_none_or(|low| at > &low.at || (at == &low.at && is_open));
        if is_closer {
            self.low = Some(Bound { at: at.clone(), is_open });
        }
    }

    pub(super) fn at_most(&mut self, at: &Rational, is_open: bool) {
        let is_closer = self.high.as_ref().is_none_or(|high| at < &high.at || (at == &high.at && is_open));
        if is_closer {
            self.high = Some(Bound { at: at.clone(), is_open });
        }
    }

    pub(super) fn multiple_of(&mut self, of: Rational, is_one: bool) {
        if is_one { self.multiples.push(of) } else { self.others.push(of) }
    }

    pub(super) fn exclude(&mut self, numbers: impl Iterator<Item = Rational>) {
        self.excluded.extend(numbers);
    }

    fn is_inside(&self, number: &Rational) -> bool {
        self.low.as_ref().is_none_or(|low| number > &low.at || (number == &low.at && !low.is_open))
            && self
                .high
                .as_ref()
                .is_none_or(|high| number < &high.at || (number == &high.at && !high.is_open))
    }

    fn fits(&self, number: &Rational) -> bool {
        self.is_inside(number)
            && self.multiples.iter().all(|of| is_multiple(number, of))
            && !self.others.iter().any(|of| is_multiple(number, of))
            && !self.excluded.contains(number)
    }

    /// One that fits, or that there is none; and how many steps that took.
    pub(super) fn solve(&self) -> (Answer, u64) {
        let (answer, steps) = self.searched();
        (answer, steps + self.excluded.len() as u64 / 8)
    }

    fn searched(&self) -> (Answer, u64) {
        if let (Some(low), Some(high)) = (&self.low, &self.high)
            && (low.at > high.at || (low.at == high.at && (low.is_open || high.is_open)))
        {
            return (Answer::None, 1);
        }
        let has_fractions = self.multiples.iter().chain(&self.others).any(|of| !of.is_integer());
        match self.step() {
            Some(step) => {
                let (answer, tries) = self.on_grid(&step, has_fractions);
                (answer, 1 + u64::from(tries) * self.tests() / 8)
            }
            None => (self.anywhere(), 1 + TRIES_BETWEEN as u64 * self.tests() / 8),
        }
    }

    /// How much has to be looked at to tell whether a number fits.
    fn tests(&self) -> u64 {
        (1 + self.multiples.len() + self.others.len()) as u64
    }

    /// The distance of the numbers that are multiples of all that is asked for.
    fn step(&self) -> Option<Rational> {
        self.multiples.iter().cloned().reduce(|one, other| {
            // Of fractions in lowest terms: the least common multiple over the greatest common divisor.
            let numer = num_integer::lcm(one.numer().clone(), other.numer().clone());
            let denom = num_integer::gcd(one.denom().clone(), other.denom().clone());
            BigRational::new(numer, denom)
        })
    }

    fn on_grid(&self, step: &Rational, has_fractions: bool) -> (Answer, u32) {
        let bounded = |at: &Bound| at.at.abs() <= BigRational::from_integer(EXACT.into());
        let is_exact = !has_fractions
            || (self.low.as_ref().is_some_and(bounded) && self.high.as_ref().is_some_and(bounded));
        let none = if is_exact { Answer::None } else { Answer::Unknown };
        if self.others.iter().any(|of| is_multiple(step, of)) {
            return (none, 0);
        }
        let first = self.low.as_ref().map(|low| (&low.at / step).ceil() * step);
        let last = self.high.as_ref().map(|high| (&high.at / step).floor() * step);
        let (start, direction) = match (first, last) {
            (Some(first), _) => (first, step.clone()),
            (None, Some(last)) => (last, -step.clone()),
            (None, None) => (BigRational::zero(), step.clone()),
        };
        // Which of them are multiples of something else repeats itself.
        let turn = self.others.iter().map(|of| {
            let ratio = of / step;
            ratio.numer().abs()
        });
        let turn = turn.fold(num_bigint::BigInt::one(), num_integer::lcm);
        let needed = turn * num_bigint::BigInt::from(self.excluded.len() + 1) + num_bigint::BigInt::from(2);
        let tries = needed.to_u32().map_or(TRIES, |needed| needed.min(TRIES));
        let mut number = start;
        let mut is_written = true;
        for tried in 0..tries {
            let is_past = self.high.as_ref().is_some_and(|high| number > high.at)
                || self.low.as_ref().is_some_and(|low| number < low.at);
            if is_past {
                return (if is_written { none } else { Answer::Unknown }, tried);
            }
            if self.fits(&number) {
                match written(&number) {
                    Some(found) => return (Answer::Number(found), tried),
                    None => is_written = false,
                }
            }
            number += &direction;
        }
        let is_all = is_written && needed.to_u32().is_some_and(|needed| needed <= TRIES);
        (if is_all { none } else { Answer::Unknown }, tries)
    }

    /// Without multiples, what lies between two numbers is never used up.
    fn anywhere(&self) -> Answer {
        let half = BigRational::new(1.into(), 2.into());
        let (low, high) = match (&self.low, &self.high) {
            (Some(low), Some(high)) => (low.at.clone(), high.at.clone()),
            (Some(low), None) => (low.at.clone(), &low.at + BigRational::from_integer(16.into())),
            (None, Some(high)) => (&high.at - BigRational::from_integer(16.into()), high.at.clone()),
            (None, None) => (BigRational::zero(), BigRational::from_integer(16.into())),
        };
        let mut tried =
            vec![low.clone(), high.clone(), low.ceil(), &low.floor() + BigRational::one(), &low + &half];
        let mut width = &high - &low;
        // Numbers that are no multiple of much.
        for _ in 0..TRIES_BETWEEN {
            width *= &half;
            tried.push(&low + &width);
            tried.push(&high - &width);
            let hundredth = BigRational::new(1.into(), 100.into());
            tried.push(((&low + &width) / &hundredth).floor() * &hundredth);
        }
        for number in &tried {
            if self.fits(number)
                && let Some(found) = written(number)
            {
                return Answer::Number(found);
            }
        }
        let is_point = matches!((&self.low, &self.high), (Some(low), Some(high)) if low.at == high.at);
        if is_point && !self.has_fractions() { Answer::None } else { Answer::Unknown }
    }

    fn has_fractions(&self) -> bool {
        self.others.iter().any(|of| !of.is_integer())
    }
}

const TRIES: u32 = 10_000;
const TRIES_BETWEEN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_read_and_written_exactly() {
        for text in ["0", "-3", "1.5", "0.1", "1e-7", "18446744073709551615", "1e300", "-2.5e-3"] {
            let value: Value = serde_json::from_str(text).unwrap();
            let Value::Number(number) = &value else { panic!() };
            let back = written(&rational(number).unwrap()).unwrap();
            assert_eq!(back.as_f64(), value.as_f64(), "{text}");
        }
        assert_eq!(normal(&json!({ "a": [1.0, 2.5] })), json!({ "a": [1, 2.5] }));
    }
}
