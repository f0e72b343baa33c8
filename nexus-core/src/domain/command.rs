use serde::Serialize;
use serde::de::DeserializeOwned;

/// Something an aggregate is asked to do, by a name and a version, so that it can be stored, sent and governed.
///
/// Derive it, next to serde's traits:
///
/// ```
/// use nexus_core::Command;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Command)]
/// struct Pay { cents: u64 }
///
/// #[derive(Serialize, Deserialize, Command)]
/// #[command(name = "SendParcel", version = 2)] // the Rust type was renamed, its shape changed
/// struct Ship { carrier: String }
///
/// assert_eq!((Pay::NAME, Pay::VERSION), ("Pay", 1));
/// assert_eq!((Ship::NAME, Ship::VERSION), ("SendParcel", 2));
/// ```
pub trait Command: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name it is known by outside this program: that of the type, unless told otherwise.
    const NAME: &'static str;

    /// The version of its shape, from 1.
    const VERSION: u32;
}
