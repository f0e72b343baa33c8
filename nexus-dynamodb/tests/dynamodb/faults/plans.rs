//! What goes wrong, and how often.

use std::time::Duration;

use nexus_services::{Fault, PassingRequest};
use serde_json::{Value, json};

/// Chance that comes out the same every time.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        // https://en.wikipedia.org/wiki/Xorshift
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }

    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn error(kind: &str, more: &[(&str, Value)]) -> Fault {
    let mut body =
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{kind}"), "message": "on purpose" });
    for (name, value) in more {
        body[*name] = value.clone();
    }
    Fault::Answer(400, body.to_string())
}

pub(crate) fn throttle(mut dice: Dice, percent: u64) -> impl FnMut(PassingRequest<'_>) -> Fault + Send {
    move |request| {
        if !dice.percent(percent) {
            return Fault::None;
        }
        match request.operation {
            "GetRecords" | "DescribeStream" | "GetShardIterator" => error("LimitExceededException", &[]),
            "PutItem" if dice.one_in(2) => error("ThrottlingException", &[]),
            _ => error("ProvisionedThroughputExceededException", &[]),
        }
    }
}

pub(crate) fn conflict(mut dice: Dice, percent: u64) -> impl FnMut(PassingRequest<'_>) -> Fault + Send {
    move |request| match request.operation {
        "PutItem" | "DeleteItem" if dice.percent(percent) => error("TransactionConflictException", &[]),
        "TransactWriteItems" if dice.percent(percent) => {
            let reasons =
                json!([{ "Code": "None" }, { "Code": "TransactionConflict", "Message": "on purpose" }]);
            error("TransactionCanceledException", &[("CancellationReasons", reasons)])
        }
        "TransactWriteItems" if dice.percent(percent / 4) => error("TransactionInProgressException", &[]),
        _ => Fault::None,
    }
}

/// Requests are carried out, and nobody hears of it.
pub(crate) fn lose_answers(mut dice: Dice, percent: u64) -> impl FnMut(PassingRequest<'_>) -> Fault + Send {
    move |_| if dice.percent(percent) { Fault::CutAfter } else { Fault::None }
}

pub(crate) fn cut_and_slow(mut dice: Dice, percent: u64) -> impl FnMut(PassingRequest<'_>) -> Fault + Send {
    move |_| {
        if !dice.percent(percent) {
            return Fault::None;
        }
        match dice.below(4) {
            0 => Fault::CutBefore,
            1 => Fault::DelayBefore(Duration::from_millis(50)),
            2 => Fault::DelayAfter(Duration::from_millis(50)),
            // Longer than it is waited for: it is sent again, and then the first one arrives.
            _ => Fault::DelayBefore(Duration::from_millis(700)),
        }
    }
}

pub(crate) fn expire(mut dice: Dice, percent: u64) -> impl FnMut(PassingRequest<'_>) -> Fault + Send {
    move |request| match request.operation {
        "GetRecords" if dice.percent(percent) => error("ExpiredIteratorException", &[]),
        _ => Fault::None,
    }
}

/// What a shard iterator is replaced by that comes after records which are gone.
const AFTER_A_LOSS: &str = "after-a-loss-on-purpose";

/// Records are gone before they were read: whoever asks for what comes after them is told, by [`told_of_a_loss`].
pub(crate) fn trim(mut dice: Dice, percent: u64) -> impl FnMut(PassingRequest<'_>) -> Fault + Send {
    move |request| {
        if request.operation != "GetRecords" || !dice.percent(percent) {
            return Fault::None;
        }
        Fault::Rewrite(Box::new(|answer| {
            let records = answer.get_mut("Records").and_then(Value::as_array_mut);
            let Some(records) = records.filter(|records| !records.is_empty()) else { return };
            for record in records {
                // Passed over, as what is gone would be.
                record["eventName"] = json!("REMOVE");
            }
            answer["NextShardIterator"] = json!(AFTER_A_LOSS);
        }))
    }
}

/// That records are gone, where they are: also when nothing else goes wrong any more.
pub(crate) fn told_of_a_loss(request: PassingRequest<'_>) -> Option<Fault> {
    let is_after_one = String::from_utf8_lossy(request.body).contains(AFTER_A_LOSS);
    is_after_one.then(|| error("TrimmedDataAccessException", &[]))
}

/// Records come in any order, and twice.
pub(crate) fn shake(dice: Dice) -> impl FnMut(PassingRequest<'_>) -> Fault + Send {
    let mut dice = dice;
    move |request| {
        if request.operation != "GetRecords" {
            return Fault::None;
        }
        let mut dice = Dice::new(dice.below(u64::MAX));
        Fault::Rewrite(Box::new(move |answer| {
            let Some(records) = answer.get_mut("Records").and_then(Value::as_array_mut) else { return };
            let count = records.len() as u64;
            for index in 0..records.len() {
                let other = usize::try_from(dice.below(count)).expect("small");
                // Each keeps its number: the place in the shard is that of the last one.
                swap(records, index, other);
                if dice.one_in(5) {
                    let again = records[other].clone();
                    records.insert(0, again);
                }
            }
        }))
    }
}

fn swap(records: &mut [Value], one: usize, other: usize) {
    let numbers = [one, other].map(|index| records[index]["dynamodb"]["SequenceNumber"].clone());
    records.swap(one, other);
    for (index, number) in [one, other].into_iter().zip(numbers) {
        records[index]["dynamodb"]["SequenceNumber"] = number;
    }
}
