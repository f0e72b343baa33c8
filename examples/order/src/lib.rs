//! Customers order CDs: the domain, and what the command line does with it.
//!
//! Read [`order`] first: it is all that a user of Nexus has to write.

pub mod address;
pub mod deadletters;
pub mod events;
pub mod first_release;
pub mod fulfilment;
pub mod history;
pub mod import;
pub mod inventory;
pub mod list;
pub mod order;
pub mod payment;
pub mod read_models;
pub mod rebuild;
pub mod sagas;
pub mod show;
pub mod stats;
pub mod status;
pub mod story;
