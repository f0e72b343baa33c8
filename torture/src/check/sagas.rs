use std::collections::BTreeMap;

use nexus_core::SagaState;

use super::Evidence;
use crate::account::{AccountEvent, By};

/// What a transfer did: how often it was paid out, paid in, and paid back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    out: u32,
    paid_in: u32,
    back: u32,
}

/// Each transfer was carried out once, or undone; and no money came or went.
pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut done: BTreeMap<u64, Done> = BTreeMap::new();
    for (_, event) in evidence.accounts() {
        match event {
            AccountEvent::Withdrawn { by: By::Transfer(transfer), .. } => {
                done.entry(transfer).or_default().out += 1;
            }
            AccountEvent::Deposited { by: By::Transfer(transfer), .. } => {
                done.entry(transfer).or_default().paid_in += 1;
            }
            AccountEvent::Deposited { by: By::Refund(transfer), .. } => {
                done.entry(transfer).or_default().back += 1;
            }
            _ => {}
        }
    }
    for (transfer, state) in &evidence.sagas {
        let done = done.remove(transfer).unwrap_or_default();
        let is_right = match state {
            Some(SagaState::Completed) => done == Done { out: 1, paid_in: 1, back: 0 },
            Some(SagaState::Compensated) => done.paid_in == 0 && done.out == done.back && done.out <= 1,
            _ => false,
        };
        if !is_right {
            wrong.push(format!("transfer {transfer} is {state:?}, and has done {done:?}"));
        }
    }
    wrong.extend(
        done.iter()
            .map(|(transfer, done)| format!("transfer {transfer} was not asked for, and has done {done:?}")),
    );
    wrong
}
