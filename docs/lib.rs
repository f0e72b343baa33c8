//! The pages of the book, whose examples are tests: `cargo test -p nexus-book`.

#[doc = include_str!("src/concepts.md")]
pub mod concepts {}

#[doc = include_str!("src/backends/choosing.md")]
pub mod backends_choosing {}

#[doc = include_str!("src/backends/sqlite.md")]
pub mod backends_sqlite {}

#[doc = include_str!("src/backends/postgres.md")]
pub mod backends_postgres {}

#[doc = include_str!("src/backends/dynamodb.md")]
pub mod backends_dynamodb {}

#[doc = include_str!("src/backends/kinesis.md")]
pub mod backends_kinesis {}

#[doc = include_str!("src/backends/sns.md")]
pub mod backends_sns {}

#[doc = include_str!("src/backends/lambda.md")]
pub mod backends_lambda {}

#[doc = include_str!("src/governance.md")]
pub mod governance {}

#[doc = include_str!("src/evolution.md")]
pub mod evolution {}

#[doc = include_str!("src/operations/lag.md")]
pub mod operations_lag {}

#[doc = include_str!("src/operations/dead-letters.md")]
pub mod operations_dead_letters {}

#[doc = include_str!("src/operations/rebuild.md")]
pub mod operations_rebuild {}

#[doc = include_str!("src/operations/backup.md")]
pub mod operations_backup {}

#[doc = include_str!("src/migrating-from-cqrs-es.md")]
pub mod migrating_from_cqrs_es {}

#[doc = include_str!("src/writing-a-backend.md")]
pub mod writing_a_backend {}

#[doc = include_str!("src/introduction.md")]
pub mod introduction {}

#[doc = include_str!("src/first-hour.md")]
pub mod first_hour {}

#[doc = include_str!("src/operations/moving.md")]
pub mod operations_moving {}

#[doc = include_str!("src/faults.md")]
pub mod faults {}

#[doc = include_str!("src/programs.md")]
pub mod programs {}
