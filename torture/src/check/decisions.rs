use std::collections::HashMap;

use super::Evidence;
use crate::account::AccountEvent;
use crate::history::{Answer, Op};

/// Every decision was made on the state that all events before it lead to; and every refusal on one that was the last at some time while it was
/// asked for.
pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    // Of each account the balance after each of its events.
    let mut balances: HashMap<String, Vec<u64>> = HashMap::new();
    for (event, decided) in evidence.accounts() {
        let balances = balances.entry(event.stream().to_string()).or_default();
        let before = balances.last().copied().unwrap_or(0);
        let (after, is_possible) = match decided {
            AccountEvent::Deposited { cents, after, .. } => (after, after == before + cents),
            AccountEvent::Withdrawn { cents, after, .. } => (after, after + cents == before),
            AccountEvent::TransferAsked { after, .. } => (after, after == before),
        };
        if !is_possible {
            let (stream, version) = (event.stream(), event.version());
            wrong.push(format!(
                "version {version} of {stream} was decided on another state than {before} cents: {decided:?}"
            ));
        }
        balances.push(after);
    }
    for request in &evidence.requests {
        let (Op::Withdraw { account, .. }, Some((at, Answer::Refused { cents, events }))) =
            (&request.op, &request.answered)
        else {
            continue;
        };
        let stream = format!("account-{account}");
        let known = balances.get(&stream).map(Vec::as_slice).unwrap_or_default();
        let was = usize::try_from(*events).ok().and_then(|events| match events {
            0 => Some(0),
            events => known.get(events - 1).copied(),
        });
        if was != Some(*cents) {
            wrong.push(format!(
                "{stream} refused at {cents} cents after {events} events, when it had {was:?}"
            ));
        }
        if let Some(later) = told_of_later(evidence, &stream, *events, request.asked_at) {
            wrong.push(format!(
                "{stream} refused on event {events}, when {later} had been told of before it was asked ({at})"
            ));
        }
    }
    wrong
}

/// A version after so many events of which somebody knew by then. What is made void is an event, too, and changes no account: an account with few of
/// them is compared by versions.
fn told_of_later(evidence: &Evidence, stream: &str, events: u64, by: u64) -> Option<u64> {
    let applied = evidence
        .streams
        .get(stream)?
        .iter()
        .filter(|event| event.event_type().as_str().starts_with("Account"));
    let version = match events {
        0 => 0,
        events => applied.map(|event| event.version().get()).nth(usize::try_from(events - 1).ok()?)?,
    };
    evidence.requests.iter().find_map(|request| match &request.answered {
        Some((at, Answer::Stored { streams, .. })) if *at < by => streams
            .iter()
            .filter(|stored| stored.stream == stream && !stored.events.is_empty())
            .map(|stored| stored.first)
            .find(|first| *first > version),
        _ => None,
    })
}
