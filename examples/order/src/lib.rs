//! Customers order CDs: the domain, and what the command line does with it.
//!
//! Read [`order`] first: it is all that a user of Nexus has to write.

pub mod address;
pub mod history;
pub mod import;
pub mod order;
pub mod show;
pub mod stats;
pub mod story;
