use nexus_core::DomainEvent;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum OrderEvent {
    Placed { cents: u64 },
    #[event(name = "OrderPlaced")]
    Submitted { cents: u64 },
}

fn main() {}
