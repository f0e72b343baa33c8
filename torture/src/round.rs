//! One round: an empty store, faults for some seconds, then peace until all is done, then the check.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use nexus_core::{Position, ProjectionName, Projections, Repository, Sagas};
use nexus_services::BadDisk;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::account::Transfer;
use crate::check::{self, Evidence};
use crate::nemesis::{Brief, Fault, Ground, Nemesis, Processes, Server, Stranger, Wire};
use crate::place::{Parts, Place};
use crate::sabotage::Sabotage;
use crate::worker::{BALANCES, EFFECTS, POISON, SAGAS};
use crate::{Options, Store};

/// So long everything may take to be done when the faults are over.
const PATIENCE: Duration = Duration::from_secs(90);
const IMPATIENCE: Duration = Duration::from_secs(2);

/// What a round is made of.
#[derive(Debug)]
pub(crate) struct Round {
    seed: u64,
    store: Store,
    long: Duration,
    processes: u32,
    clients: u32,
    sabotage: Option<Sabotage>,
    is_calm: bool,
    directory: TempDir,
}

/// What came of a round, or of several.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) counts: check::Counts,
    lives: u32,
    faults: BTreeMap<Fault, u32>,
}

impl Round {
    pub(crate) fn new(options: &Options, seed: u64) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("nexus-torture-").tempdir()?;
        Ok(Self {
            seed,
            store: options.store,
            long: Duration::from_secs(options.seconds),
            processes: options.processes.max(1),
            clients: options.clients.max(1),
            sabotage: options.sabotage,
            is_calm: options.calm,
            directory,
        })
    }

    pub(crate) async fn run(&self) -> anyhow::Result<Outcome> {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let directory = self.directory.path();
        let file = directory.join("torture.db");
        let (ground, place, places) = match self.store {
            Store::Sqlite => {
                let place = file.display().to_string();
                (Ground::Sqlite, place.clone(), vec![place; self.processes as usize])
            }
            Store::Postgres => {
                let server = Server::start()?;
                let (url, mut wires) = (server.url(), Vec::new());
                for _ in 0..self.processes {
                    wires.push(Wire::to(server.port()).await?);
                }
                let port = format!(":{}", server.port());
                let by = |wire: &Wire| url.replace(&port, &format!(":{}", wire.port()));
                let places = wires.iter().map(by).collect();
                (Ground::Postgres { server, wires }, url, places)
            }
        };
        // Tables are made once, in peace.
        let parts = Place::parse(&place).open(None).await?;
        let stranger = match self.store {
            Store::Sqlite => Stranger::with_file(file),
            Store::Postgres => Stranger::with_server(place.clone()),
        };
        let brief = Brief {
            places,
            directory: directory.to_owned(),
            clients: self.clients,
            sabotage: self.sabotage,
            bad_disk: if self.store == Store::Sqlite && !self.is_calm { Some(bad_disk()?) } else { None },
        };
        let mut processes = Processes::start(brief, StdRng::seed_from_u64(rng.random()))?;
        let mut faults = BTreeMap::new();
        if self.is_calm {
            sleep(self.long).await;
        } else {
            let rng = StdRng::seed_from_u64(rng.random());
            let processes = &mut processes;
            let mut nemesis = Nemesis { rng, processes, ground: &ground, stranger, made: faults };
            nemesis.rage(self.long).await?;
            faults = nemesis.made;
        }
        processes.heal()?;
        // What was broken on purpose may never be done.
        let patience = if self.sabotage.is_some() { IMPATIENCE } else { PATIENCE };
        let mut violations = settled(&parts, &processes, patience).await?;
        violations.extend(processes.end().await?);
        let lives = processes.lives();
        let evidence = Evidence::collect(&parts, directory).await?;
        violations.extend(check::all(&evidence));
        Ok(Outcome { violations, counts: evidence.counts(), lives, faults })
    }

    /// What was noted stays for whoever looks into it.
    pub(crate) fn keep(self) -> PathBuf {
        self.directory.keep()
    }
}

/// One sync in thirty fails, and one write in a hundred finds no room.
fn bad_disk() -> anyhow::Result<BadDisk> {
    let disk = BadDisk::new()?;
    disk.fail_to_sync(30)?;
    disk.be_full(100)?;
    Ok(disk)
}

/// Waits until projections and sagas are done; what is not in time is told.
async fn settled(parts: &Parts, processes: &Processes, patience: Duration) -> anyhow::Result<Vec<String>> {
    let deadline = Instant::now() + patience;
    let (mut strange, mut at_rest) = (BTreeSet::new(), None);
    let told =
        |strange: BTreeSet<String>| strange.into_iter().map(|error| format!("no fault of an event: {error}"));
    loop {
        // What is asked for afterwards would not be waited for.
        let mut left = processes.asking();
        if left.is_empty() {
            left = match self::left(parts, &mut strange).await {
                // What began while it was looked shows at the second look.
                Ok((head, left)) if left.is_empty() => {
                    if at_rest == Some(head) {
                        return Ok(told(strange).collect());
                    }
                    at_rest = Some(head);
                    continue;
                }
                Ok((_, left)) => left,
                Err(error) => vec![format!("{error:#}")],
            };
        }
        if Instant::now() > deadline {
            let not_done = |what| format!("not done {} s after the faults: {what}", patience.as_secs());
            return Ok(left.into_iter().map(not_done).chain(told(strange)).collect());
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// What is still to be done up to the end of the log, which is told, too. Dead letters are asked to be tried again: their poison is none any more. Whatever else they died of is noted as strange: a store
/// that does not answer is no fault of an event.
async fn left(
    parts: &Parts,
    strange: &mut BTreeSet<String>,
) -> anyhow::Result<(Option<Position>, Vec<String>)> {
    let mut left = Vec::new();
    let head = parts.log.head().await?;
    let repository = Repository::new(parts.log.clone());
    let sagas = Sagas::of::<Transfer>(&repository, parts.read_models.clone())?;
    for open in sagas.open(3).await? {
        left.push(format!("saga {open:?}"));
    }
    let with_effects = Projections::new(parts.log.clone(), parts.effects.clone());
    let with_documents = Projections::new(parts.log.clone(), parts.read_models.clone());
    let all = [(BALANCES, &with_documents), (SAGAS, &with_documents), (EFFECTS, &with_effects)];
    for (name, projections) in all {
        let name = ProjectionName::new(name)?;
        let mut letters = projections.dead_letters(&name, None, 100).await?;
        let died = letters.iter().filter_map(|letter| letter.error.as_ref());
        strange.extend(died.filter(|error| *error != POISON).map(|error| format!("{name}: {error}")));
        letters.dedup_by_key(|letter| letter.event.stream().clone());
        for letter in letters {
            left.push(format!("{name} has a dead letter: {:?}", letter.error));
            projections.retry(&name, letter.event.stream()).await?;
        }
        let status = projections.status(&name).await.with_context(|| format!("no status of {name}"))?;
        if status.is_empty() || status.iter().any(|status| status.position < head) {
            left.push(format!("{name} is not at {head:?}: {status:?}"));
        }
    }
    Ok((head, left))
}

impl Outcome {
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts);
        self.lives += other.lives;
        for (fault, count) in &other.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} lives", self.counts, self.lives)?;
        for (fault, count) in &self.faults {
            write!(f, ", {count} {fault}")?;
        }
        if !self.violations.is_empty() {
            write!(f, "; {} VIOLATIONS", self.violations.len())?;
        }
        Ok(())
    }
}
