//! Throwaway servers for tests and benchmarks: found or installed, started on a free port of this machine, stopped and
//! removed when they are dropped.

mod binaries;
mod cfn_lint;
mod dynoxide;
mod fiu;
mod kinesis_local;
mod ministack;
mod moto;
mod port;
mod postgres;
mod proxy;
mod python;
mod server;
mod stack;

pub use binaries::{PostgresBinaries, Release};
pub use cfn_lint::cfn_lint;
pub use dynoxide::Dynoxide;
pub use fiu::Fiu;
pub use kinesis_local::KinesisLocal;
pub use ministack::Ministack;
pub use moto::Moto;
pub use postgres::{Postgres, Setting};
pub use proxy::{Fault, FaultProxy, PassingRequest};
pub use stack::{Stack, ask_by_form};
