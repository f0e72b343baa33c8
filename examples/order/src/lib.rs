//! Customers order CDs: what the command line does with the shop.
//!
//! The shop itself is three crates. Read `order-commands` first: it is all that a user of Nexus has to write. Its events, which both sides
//! share, are in `order-events`, and what is made of them to be looked at in `order-views`.

pub mod address;
pub mod bus;
#[cfg(feature = "aws")]
pub mod costs;
pub mod deadletters;
pub mod events;
pub mod everything;
pub mod first_release;
pub mod history;
pub mod import;
pub mod list;
#[cfg(feature = "aws")]
mod place;
pub mod read_models;
pub mod rebuild;
pub mod replay;
pub mod sagas;
pub mod shop;
pub mod show;
pub mod stats;
pub mod status;
pub mod story;
