//! What can happen to an order: the language that both sides of the shop share.

mod event;
mod former;
mod id;
mod line;
mod state;

pub use event::OrderEvent;
pub use former::{Settled, ShippedV1, Viewed};
pub use id::{InvalidOrderId, OrderId};
pub use line::{Line, Sku};
pub use state::State;
