//! Sagas at work: what they answered is stored as events of their own streams, and then done.
//!
//! - [`entry`] is what such an event says, [`book`] reads and writes them; [`process`] folds a stream of them and says what is to be done next, purely;
//! - [`kind`] stands for the user's type, [`commands`] for the aggregates it sends commands to;
//! - [`drive`] takes one saga from one event to the next, [`carry`] does one thing of what it asked for;
//! - [`engine`] has all sagas that are on the move; [`watch`] is the projection that starts them and keeps their status.

mod book;
mod carry;
mod commands;
mod drive;
mod engine;
mod entry;
mod keeping;
mod kind;
mod process;
mod runner;
mod sagas;
mod settings;
mod status;
mod watch;

pub use runner::{RunningSagas, SagaRunner};
pub use sagas::{Sagas, SagasError};
pub use status::{SagaMoment, SagaOverview, SagaState, SagaStatus, SagaStep, SagaStepState, SagaSummary};
