//! Projections at work: leases over slices, transactions of read model and checkpoint, dead letters, rebuilds.
//!
//! Everything but the storage itself is here, once for all backends. What is to be kept (claims, dead letters, how far
//! everything is) is kept in documents next to the read model, and committed with it; see [`notes`] for the collections.

mod absorb;
mod ahead;
mod asking;
mod beside;
mod blocks;
mod board;
mod catalog;
mod chunks;
mod claims;
mod commit;
mod error;
mod heartbeat;
mod letters;
mod notes;
mod outage;
mod parked;
mod parts;
mod projections;
mod rebuild;
mod retry;
mod runner;
mod running;
mod seen;
mod settings;
mod source;
mod state;
mod status;
mod streams;
mod worker;

pub(super) use commit::said;
pub(super) use notes::{Notes, note};
pub(super) use outage::LONGEST_OUTAGE;
pub(super) use running::Holding;
pub(crate) use source::Source;

use crate::port::{ProjectionStore, Space};
use crate::vocabulary::{ProjectionName, StoreError};

pub use error::{ProjectionFailure, ProjectionsError};
pub use letters::{DeadLetter, LetterState, SkippedLetter};
pub use projections::Projections;
pub use rebuild::{Rebuild, RebuildProgress};
pub use retry::RetrySchedule;
pub use runner::ProjectionRunner;
pub use running::RunningProjection;
pub use settings::SwitchWhen;
pub use status::{ProjectionHealth, ProjectionState, ProjectionStatus};

/// Where the read model of a projection is that serves; `None` where nobody has started one of that name.
pub(super) async fn serving_space(
    store: &(impl ProjectionStore + ?Sized),
    name: &ProjectionName,
) -> Result<Option<Space>, StoreError> {
    let entry = catalog::find(store, name).await?.unwrap_or_default();
    Ok(entry.serving().map(|build| build.space(name)))
}

/// So many letters are read at a time.
const PAGE: usize = 200;
