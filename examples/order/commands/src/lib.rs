//! What can be asked of the shop, and the rules by which it answers.
//!
//! Read [`order`] first: it is all that a user of Nexus has to write.

pub mod fulfilment;
pub mod inventory;
pub mod order;
pub mod payment;
