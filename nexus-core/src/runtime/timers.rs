//! Timers that outlive the process: what is to happen at a time, and who sees to it.

mod book;
mod runner;

pub use book::{InvalidTimersName, Timer, Timers, TimersError};
pub use runner::{RunningTimers, TimerHandler, TimerRunner};
