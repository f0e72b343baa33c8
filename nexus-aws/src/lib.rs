//! How the AWS backends of Nexus call their services. It is theirs, and no interface for others: it may change with any release.

#![warn(missing_docs)]

mod connection;
mod error;
mod retry;
mod under_way;

pub use aws_config;
pub use connection::AwsConnection;
pub use error::{failed, told};
pub use retry::{Retries, Retry};
pub use under_way::under_way;
