use nexus_core::DomainEvent;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum OrderEvent {
    Placed,
    #[serde(skip)]
    Forgotten,
}

fn main() {}
