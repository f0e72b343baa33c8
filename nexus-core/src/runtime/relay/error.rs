use crate::runtime::ProjectionsError;
use crate::vocabulary::{InvalidProjectionName, PathName, StoreError};

/// Why a relay could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Its name is no valid one.
    #[error(transparent)]
    InvalidName(#[from] InvalidProjectionName),
    /// A path was chosen that the relay does not have.
    #[error("there is no path {path}: {}", listed(.known))]
    UnknownPath {
        /// What was chosen.
        path: PathName,
        /// The paths there are.
        known: Vec<PathName>,
    },
    /// A path was given twice.
    #[error("path {path} was given twice: each has one publisher")]
    RepeatedPath {
        /// The path.
        path: PathName,
    },
    /// Something waits for a path that the relay does not have any more.
    #[error(
        "{events} events wait for path {path}, which is not given: give it until they are published, or discard them"
    )]
    StillWaiting {
        /// The path.
        path: PathName,
        /// How many events there are.
        events: u64,
    },
    /// The feed has no order that could be kept.
    #[error(
        "the feed delivers in no order: a relay takes events from a log, or from a feed that keeps the order of each stream"
    )]
    Disordered,
    /// There is no such relay.
    #[error("there is no relay {name}: nobody has started one of that name on this store")]
    Unknown {
        /// Its name.
        name: String,
    },
    /// What it does as a projection failed.
    #[error(transparent)]
    Projections(#[from] ProjectionsError),
    /// The store of the relay failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn listed(known: &[PathName]) -> String {
    let known: Vec<&str> = known.iter().map(PathName::as_str).collect();
    match known.is_empty() {
        true => "none was given".to_owned(),
        false => format!("those given are {}", known.join(", ")),
    }
}
