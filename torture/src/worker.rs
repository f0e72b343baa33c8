//! One of the processes that are tortured: clients, readers, projections and sagas on a store of its own.

mod client;
mod clock;
mod projecting;
mod reader;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nexus_core::{Clock, Repository, RunningProjection, RunningSagas, StateCache, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::account::Account;
use crate::history::{self, Notes};
use crate::place::{Parts, Place};
use crate::sabotage::{Sabotage, sabotaged};

pub(crate) use projecting::{BALANCES, Balance, EFFECTS, Effect, POISON, SAGAS};

use client::Client;
use clock::JumpingClock;
use reader::Reader;

/// What a process is told when it is started.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Orders {
    /// A file, or the URL of a server.
    #[arg(long)]
    pub(crate) place: String,
    /// Where it notes what it did.
    #[arg(long)]
    pub(crate) directory: PathBuf,
    /// Which process it is.
    #[arg(long)]
    pub(crate) process: u32,
    /// How often it was started before.
    #[arg(long)]
    pub(crate) life: u32,
    /// What it draws from.
    #[arg(long)]
    pub(crate) seed: u64,
    /// How many clients it has.
    #[arg(long)]
    pub(crate) clients: u32,
    /// What is wrong with its store on purpose.
    #[arg(long, value_enum)]
    pub(crate) sabotage: Option<Sabotage>,
}

impl Orders {
    /// From when on nothing is asked for any more, and poison is none.
    fn is_healed(&self) -> bool {
        self.directory.join(HEALED).exists()
    }
}

/// The file that says that the faults are over.
pub(crate) const HEALED: &str = "healed";

/// The file by which a process says that its clients ask for nothing any more.
pub(crate) fn quiet(process: u32, life: u32) -> String {
    format!("quiet-{process}-{life}")
}

/// So long a lease of a projection or a saga lasts: shorter than some processes are stopped for.
const LEASE: Duration = Duration::from_millis(1_500);

/// Works until it is told to stop, or is killed.
pub(crate) async fn work(orders: Orders) -> anyhow::Result<()> {
    let mut told_to_stop = signal(SignalKind::terminate()).context("signals cannot be waited for")?;
    let mut rng = StdRng::seed_from_u64(orders.seed);
    let orders = Arc::new(orders);
    let clock: Arc<dyn Clock> = match rng.random_ratio(1, 2) {
        true => JumpingClock::start(Arc::clone(&orders), StdRng::seed_from_u64(rng.random())),
        false => Arc::new(SystemClock),
    };
    let place = Place::parse(&orders.place);
    let opened = until_done("open", || place.open(Some(Arc::clone(&clock))));
    let mut parts = tokio::select! {
        parts = opened => parts,
        _ = told_to_stop.recv() => return Ok(()),
    };
    if let Some(sabotage) = orders.sabotage {
        parts.log = sabotaged(parts.log, sabotage, rng.random());
    }
    let mut repository = Repository::new(Arc::clone(&parts.log)).with_clock(Arc::clone(&clock));
    if rng.random_ratio(1, 2) {
        repository = repository.with_snapshots(parts.snapshots()?);
    }
    if rng.random_ratio(1, 2) {
        repository = repository.with_cache(StateCache::default().of::<Account>(64));
    }
    let notes = Notes::open(&history::path(&orders.directory, orders.process, orders.life))?;
    let notes = Arc::new(notes);
    let left = Client::left_unanswered(&orders)?;
    let (mut tasks, mut clients) = (JoinSet::new(), JoinSet::new());
    for number in 0..orders.clients {
        let rng = StdRng::seed_from_u64(rng.random());
        let client = Client::new(number, repository.clone(), Arc::clone(&notes), Arc::clone(&orders), rng);
        let left = if number == 0 { left.clone() } else { Vec::new() };
        clients.spawn(client.run(left));
    }
    let quiet = orders.directory.join(quiet(orders.process, orders.life));
    tasks.spawn(async move {
        while let Some(client) = clients.join_next().await {
            if let Err(error) = client {
                return eprintln!("a client failed: {error}");
            }
        }
        if let Err(error) = std::fs::write(&quiet, "") {
            eprintln!("could not write {}: {error}", quiet.display());
        }
    });
    for number in 0..2 {
        let rng = StdRng::seed_from_u64(rng.random());
        tasks.spawn(Reader::new(number, Arc::clone(&parts.log), Arc::clone(&orders), rng)?.run());
    }
    let mut works = tokio::select! {
        works = Works::start(&orders, &parts, &repository) => Some(works),
        _ = told_to_stop.recv() => None,
    };
    if works.is_some() {
        let _ = told_to_stop.recv().await;
    }
    // What is under way is dropped as it is: nobody knows what became of it.
    tasks.shutdown().await;
    match works.take() {
        Some(works) => works.stop().await,
        None => Ok(()),
    }
}

/// What runs besides clients.
struct Works {
    balances: RunningProjection,
    effects: RunningProjection,
    sagas: RunningSagas,
}

impl Works {
    async fn start(
        orders: &Arc<Orders>,
        parts: &Parts,
        repository: &Repository<Arc<dyn nexus_core::EventLog>>,
    ) -> Self {
        Self {
            balances: until_done("start balances", || projecting::balances(orders, parts)).await,
            effects: until_done("start effects", || projecting::effects(orders, parts)).await,
            sagas: until_done("start sagas", || projecting::sagas(parts, repository)).await,
        }
    }

    async fn stop(self) -> anyhow::Result<()> {
        let (balances, effects, sagas) =
            tokio::join!(self.balances.stop(), self.effects.stop(), self.sagas.stop());
        balances.context("balances failed")?;
        effects.context("effects failed")?;
        sagas.context("sagas failed")
    }
}

/// Under faults a store may not open, and a projection not start, at first.
async fn until_done<T, W>(what: &str, mut attempt: impl FnMut() -> W) -> T
where
    W: Future<Output = anyhow::Result<T>>,
{
    loop {
        match attempt().await {
            Ok(done) => return done,
            Err(error) => eprintln!("could not {what}, trying again: {error:#}"),
        }
        sleep(Duration::from_millis(100)).await;
    }
}
