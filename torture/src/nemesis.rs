//! What goes wrong: processes that are killed or stopped for a while, a disk that fails, a server that crashes, connections that are cut, strangers who hold
//! locks and transactions open, clocks that are set (see the workers' own).

mod processes;
mod server;
mod strangers;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

pub(crate) use processes::{Brief, Processes};
pub(crate) use server::Server;
pub(crate) use strangers::Stranger;
pub(crate) use wire::Wire;

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A process is killed by SIGKILL, and started again.
    Kill,
    /// A process stands still for longer than its leases last.
    Stop,
    /// A process lives on with syncs and writes that fail, until it is killed.
    BadDisk,
    /// A stranger has the file to himself.
    Lock,
    /// A stranger's transaction stays open.
    Transaction,
    /// All connections of a process are cut, what the server says last is lost.
    Cut,
    /// The server ends sessions.
    Terminate,
    /// The server crashes, and recovers.
    Crash,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killed",
            Self::Stop => "stopped",
            Self::BadDisk => "with a bad disk",
            Self::Lock => "locks",
            Self::Transaction => "strangers",
            Self::Cut => "cut",
            Self::Terminate => "terminated",
            Self::Crash => "crashes",
        })
    }
}

/// What can be done where the store is.
#[derive(Debug)]
pub(crate) enum Ground {
    Sqlite,
    Postgres { server: Server, wires: Vec<Wire> },
}

/// Makes trouble.
#[derive(Debug)]
pub(crate) struct Nemesis<'a> {
    pub(crate) rng: StdRng,
    pub(crate) processes: &'a mut Processes,
    pub(crate) ground: &'a Ground,
    pub(crate) stranger: Stranger,
    pub(crate) made: BTreeMap<Fault, u32>,
}

impl Nemesis<'_> {
    /// For so long; afterwards all processes are there again, and nobody holds anything.
    pub(crate) async fn rage(&mut self, long: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + long;
        while Instant::now() < end {
            sleep(Duration::from_millis(self.rng.random_range(100..1_200))).await;
            let fault = self.drawn();
            self.make(fault).await?;
            *self.made.entry(fault).or_default() += 1;
        }
        self.stranger.leave();
        self.processes.all_go_on().await
    }

    fn drawn(&mut self) -> Fault {
        let faults: &[Fault] = match self.ground {
            Ground::Sqlite => {
                use Fault::{BadDisk, Kill, Lock, Stop, Transaction};
                &[Kill, Kill, Kill, Stop, Stop, BadDisk, Lock, Transaction]
            }
            Ground::Postgres { .. } => {
                use Fault::{Crash, Cut, Kill, Stop, Terminate, Transaction};
                &[Kill, Kill, Kill, Stop, Stop, Cut, Cut, Terminate, Transaction, Crash]
            }
        };
        faults[self.rng.random_range(0..faults.len())]
    }

    async fn make(&mut self, fault: Fault) -> anyhow::Result<()> {
        let victim = self.rng.random_range(0..self.processes.count());
        let short = Duration::from_millis(self.rng.random_range(50..600));
        match (fault, self.ground) {
            (Fault::Kill, _) => self.processes.kill(victim, short, Disk::Good).await,
            (Fault::BadDisk, _) => self.processes.kill(victim, short, Disk::Bad).await,
            (Fault::Stop, _) => {
                let long = Duration::from_millis(self.rng.random_range(200..3_500));
                self.processes.stop(victim, long)
            }
            (Fault::Lock, _) => {
                let long = Duration::from_millis(self.rng.random_range(50..1_500));
                self.stranger.lock(long).await
            }
            (Fault::Transaction, _) => {
                let long = Duration::from_millis(self.rng.random_range(500..4_000));
                self.stranger.stay(long).await
            }
            (Fault::Cut, Ground::Postgres { wires, .. }) => {
                wires[victim].cut(short).await;
                Ok(())
            }
            (Fault::Terminate, Ground::Postgres { server, .. }) => server.terminate_sessions().await,
            (Fault::Crash, Ground::Postgres { server, .. }) => server.crash(short).await,
            (Fault::Cut | Fault::Terminate | Fault::Crash, Ground::Sqlite) => Ok(()),
        }
    }
}

/// What a process writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    Good,
    /// Syncs fail now and then, and there is no room.
    Bad,
}
