//! Throwaway servers for tests and benchmarks: found or installed, started on a free port of this machine, stopped and
//! removed when they are dropped.

#[cfg(target_os = "linux")]
mod bad_disk;
mod binaries;
mod cfn_lint;
mod dynoxide;
mod kinesis_local;
mod ministack;
mod moto;
mod port;
mod postgres;
mod proxy;
mod python;
mod server;
mod stack;

#[cfg(target_os = "linux")]
pub use bad_disk::BadDisk;
pub use binaries::{PostgresBinaries, Release};
pub use cfn_lint::cfn_lint;
pub use dynoxide::Dynoxide;
pub use kinesis_local::KinesisLocal;
pub use ministack::Ministack;
pub use moto::Moto;
pub use postgres::{Postgres, Setting};
pub use proxy::{Fault, FaultProxy, PassingRequest};
pub use stack::{Stack, ask_by_form};
