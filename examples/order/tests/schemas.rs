//! What the shop stores stays readable: its schemas are in `schemas/`, its persisted shapes in `nexus.lock.json`.

use nexus_core::ShapeLock;
use nexus_governance::testing::{check_schemas, check_upcasts};
use order::shop::SCHEMAS;
use order_commands::inventory::{InventoryEvent, Receive, Release, Reserve};
use order_commands::order::{
    AddLine, Cancel, CheckOut, Deliver, Dispatch, Order, OrderEvent, Pay, Place, Refund, RemoveLine, Ship,
};
use order_commands::payment::{Charge, Dispute, GiveBack, PaymentEvent};

#[test]
fn schemas_are_registered_and_shapes_are_locked() {
    let shapes = ShapeLock::default()
        .events::<OrderEvent>()
        .events::<InventoryEvent>()
        .events::<PaymentEvent>()
        .command::<Place>()
        .command::<AddLine>()
        .command::<RemoveLine>()
        .command::<Pay>()
        .command::<Ship>()
        .command::<Deliver>()
        .command::<Cancel>()
        .command::<Refund>()
        .command::<CheckOut>()
        .command::<Dispatch>()
        .command::<Receive>()
        .command::<Reserve>()
        .command::<Release>()
        .command::<Charge>()
        .command::<GiveBack>()
        .command::<Dispute>()
        .snapshot::<Order>();
    check_schemas(SCHEMAS, &shapes);
}

#[test]
fn upcasters_lead_to_what_fits() {
    check_upcasts::<OrderEvent>(SCHEMAS);
}
