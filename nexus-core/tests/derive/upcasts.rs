use nexus_core::{Command, DomainEvent, EventKind, RecordedEvent, Upcast};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct PlacedV1 {}

impl Upcast for PlacedV1 {
    const KIND: EventKind = EventKind::new("OrderPlaced", 1);
    type Next = PlacedV2;
    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = PlacedV2> {
        [PlacedV2 {}]
    }
}

#[derive(Deserialize, JsonSchema)]
struct PlacedV2 {}

impl Upcast for PlacedV2 {
    const KIND: EventKind = EventKind::new("OrderPlaced", 2);
    type Next = PaidEvent;
    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = PaidEvent> {
        [PaidEvent::Paid]
    }
}

/// The step after the first is not listed.
#[derive(Serialize, Deserialize, DomainEvent)]
#[event(upcast(PlacedV1))]
enum OrderEvent {
    #[event(version = 3)]
    Placed,
}

/// Version 2 is read twice.
#[derive(Serialize, Deserialize, DomainEvent)]
#[event(upcast(PlacedV2))]
enum PaidEvent {
    #[event(name = "OrderPlaced", version = 2)]
    Paid,
}

#[derive(Serialize, Deserialize, Command)]
#[command(upcast(PlacedV1))]
struct Pay;

fn main() {}
