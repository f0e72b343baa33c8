//! The cases of [`EventStore`](crate::EventStore), one function each.

mod atomicity;
mod capability;
mod condition;
mod reading;
mod repeat;
mod version;

pub use self::atomicity::*;
pub use self::capability::*;
pub use self::condition::*;
pub use self::reading::*;
pub use self::repeat::*;
pub use self::version::*;
pub use super::model::answers_agree_with_the_model;
