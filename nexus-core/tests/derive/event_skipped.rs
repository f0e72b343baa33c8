use nexus_core::DomainEvent;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum OrderEvent {
    Placed,
    #[serde(skip)]
    Forgotten,
}

#[derive(Serialize, Deserialize, DomainEvent)]
#[serde(untagged)]
enum AccountEvent {
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

fn main() {}
