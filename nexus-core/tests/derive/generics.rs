use nexus_core::{Command, DomainEvent};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
enum OrderEvent<T> {
    Placed(T),
}

#[derive(Serialize, Deserialize, Command)]
struct Pay<'a> {
    currency: &'a str,
}

fn main() {}
