//! Throwaway servers for tests and benchmarks: found or installed, started on a free port of this machine, stopped and
//! removed when they are dropped.

mod binaries;
mod moto;
mod port;
mod postgres;

pub use binaries::{PostgresBinaries, Release};
pub use moto::Moto;
pub use postgres::{Postgres, Setting};
