//! What the shop stores stays readable: its persisted shapes are in `nexus.lock.json`.

use nexus_core::ShapeLock;
use nexus_core::testing::check_shapes;
use order::order::{AddLine, Cancel, Deliver, Order, OrderEvent, Pay, Place, Refund, RemoveLine, Ship};

#[test]
fn persisted_shapes_are_locked() {
    let shapes = ShapeLock::default()
        .events::<OrderEvent>()
        .command::<Place>()
        .command::<AddLine>()
        .command::<RemoveLine>()
        .command::<Pay>()
        .command::<Ship>()
        .command::<Deliver>()
        .command::<Cancel>()
        .command::<Refund>()
        .snapshot::<Order>();
    check_shapes(concat!(env!("CARGO_MANIFEST_DIR"), "/nexus.lock.json"), &shapes);
}
