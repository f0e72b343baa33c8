use std::collections::{BTreeMap, HashMap};

use super::Evidence;
use crate::account::AccountEvent;
use crate::worker::Balance;

/// The read model has taken in each event once; each effect has happened once at least, none before that of the event before it.
pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut balances: BTreeMap<String, Balance> = BTreeMap::new();
    for event in evidence.log.iter().filter(|event| event.stream().category() == "account") {
        balances.entry(event.stream().id().to_owned()).or_default().version = event.version().get();
    }
    for (event, decided) in evidence.accounts() {
        let cents = &mut balances.entry(event.stream().id().to_owned()).or_default().cents;
        match decided {
            AccountEvent::Deposited { cents: paid, .. } => *cents += paid,
            AccountEvent::Withdrawn { cents: paid, .. } => *cents -= paid.min(*cents),
            AccountEvent::TransferAsked { .. } => {}
        }
    }
    for (account, balance) in &balances {
        let found = evidence.balances.get(account);
        if found != Some(balance) {
            wrong
                .push(format!("the read model has {found:?} of account {account}: it should be {balance:?}"));
        }
    }
    wrong.extend(effects(evidence));
    wrong
}

fn effects(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut first: HashMap<(&str, u64), u64> = HashMap::new();
    for effect in evidence.effects.iter().flatten() {
        let at = first.entry((&effect.stream, effect.version)).or_insert(effect.at);
        *at = effect.at.min(*at);
    }
    for event in evidence.log.iter().filter(|event| event.stream().category() == "ledger") {
        let (stream, version) = (event.stream().as_str(), event.version().get());
        let Some(at) = first.get(&(stream, version)) else {
            wrong.push(format!("version {version} of {stream} had no effect"));
            continue;
        };
        if first.get(&(stream, version - 1)).is_some_and(|before| before > at) {
            wrong.push(format!("version {version} of {stream} had its effect before the one before it"));
        }
    }
    wrong
}
