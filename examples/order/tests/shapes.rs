//! What the shop stores stays readable: its persisted shapes are in `nexus.lock.json`.

use nexus_core::ShapeLock;
use nexus_core::testing::check_shapes;
use order::inventory::{InventoryEvent, Receive, Release, Reserve};
use order::order::{
    AddLine, Cancel, CheckOut, Deliver, Dispatch, Order, OrderEvent, Pay, Place, Refund, RemoveLine, Ship,
};
use order::payment::{Charge, Dispute, GiveBack, PaymentEvent};

#[test]
fn persisted_shapes_are_locked() {
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
    check_shapes(concat!(env!("CARGO_MANIFEST_DIR"), "/nexus.lock.json"), &shapes);
}
