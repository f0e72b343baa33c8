//! Brings the domain and the ports together.

mod as_of;
mod batch;
mod decide;
mod error;
mod execute;
mod options;
mod receipt;
mod repository;
mod request;
mod retry;

pub use as_of::AsOf;
pub use batch::CommandBatch;
pub use error::{BatchError, ExecuteError, RepositoryError};
pub use options::CommandOptions;
pub use receipt::{Outcome, Receipt};
pub use repository::{Loaded, Repository};
pub use retry::RetryPolicy;
