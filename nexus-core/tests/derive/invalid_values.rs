use nexus_core::{Command, DomainEvent};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum OrderEvent {
    #[event(name = "")]
    Placed,
    #[event(version = 0)]
    Paid,
}

#[derive(Serialize, Deserialize, DomainEvent)]
#[event(version = 0)]
struct Shipped;

#[derive(Serialize, Deserialize, DomainEvent)]
struct Delivered(#[event(tag)] u32);

#[derive(Serialize, Deserialize, Command)]
#[command(name = "Pay", name = "PayOrder")]
struct Pay;

fn main() {}
