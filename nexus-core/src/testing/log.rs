//! The cases of [`EventLog`](crate::EventLog), one function each.

mod order;
mod query;
mod waiting;

pub use self::order::*;
pub use self::query::*;
pub use self::waiting::*;
pub use super::model::{concurrent_writers_agree_with_the_model, queries_agree_with_the_model};
