//! Takes events from a log or a feed to buses, each by the path that a router chooses.
//!
//! A relay is a projection whose read model is what waits to be published: leases, checkpoints and dead letters are those of projections.
//! What a path does not take at once is set aside in the transaction that notes the checkpoint, and carried after by a task of that path, so
//! that the others go on; until it is empty, whatever comes for the path is set aside behind it.

mod backlog;
mod carrier;
mod error;
mod path;
mod publishing;
mod recent;
mod removing;
mod runner;
mod running;

pub use backlog::{PathBacklog, RelayBacklog};
pub use error::RelayError;
pub use runner::Relay;
pub use running::{PathStatus, RelayStatus, RunningRelay};
