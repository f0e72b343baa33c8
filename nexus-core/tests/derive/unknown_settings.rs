use nexus_core::{Command, DomainEvent};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum OrderEvent {
    #[event(nmae = "OrderPlaced")]
    Placed,
}

#[derive(Serialize, Deserialize, DomainEvent)]
#[event(name = "Order")]
enum PaymentEvent {
    Paid,
}

#[derive(Serialize, Deserialize, DomainEvent)]
struct Shipped {
    #[event(tagged)]
    order: u32,
}

#[derive(Serialize, Deserialize, Command)]
#[command(prefix = "Order")]
struct Pay;

fn main() {}
