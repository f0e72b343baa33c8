//! What the cases about snapshots have in common.

mod kept;
mod sample;
mod state;
mod used;

pub use self::kept::*;
pub use self::state::*;
pub use self::used::*;

use std::future::Future;

use super::StoreFixture;
use crate::port::SnapshotStore;

/// Storage for events and snapshots, for one case of the suite; dropping it cleans up.
pub trait SnapshotFixture: StoreFixture {
    /// The store of snapshots under test.
    type Snapshots: SnapshotStore;

    /// Opens the storage for snapshots once more, as another process would; a store that cannot be shared between processes
    /// gives another handle on the same one.
    fn snapshots(&self) -> impl Future<Output = Self::Snapshots> + Send;
}
