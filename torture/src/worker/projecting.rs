use std::fs::{File, OpenOptions};
use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use nexus_core::{
    Category, Collection, DocumentTx, DocumentsExt, EventLog, Projection, ProjectionError, ProjectionRunner,
    Query, RecordedEvent, Repository, RetrySchedule, RunningProjection, RunningSagas, SagaRunner,
    async_trait,
};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::{LEASE, Orders};
use crate::account::{AccountEvent, Transfer};
use crate::history;
use crate::place::Parts;
use nexus_core::DomainEvent;

/// The read model, and where it is kept.
pub(crate) const BALANCES: &str = "balances";
pub(crate) const EFFECTS: &str = "effects";
/// What takes events to the sagas.
pub(crate) const SAGAS: &str = "saga-transfer";

/// What is kept of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Balance {
    pub(crate) version: u64,
    pub(crate) cents: u64,
}

/// An effect elsewhere, as it is noted there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) at: u64,
    pub(crate) stream: String,
    pub(crate) version: u64,
}

pub(super) async fn balances(orders: &Arc<Orders>, parts: &Parts) -> anyhow::Result<RunningProjection> {
    let projection = Balances { orders: Arc::clone(orders) };
    let runner = ProjectionRunner::new(projection, Arc::clone(&parts.log), Arc::clone(&parts.read_models));
    Ok(runner.workers(TWO).lease(LEASE).retry(soon()).start().await?)
}

pub(super) async fn effects(orders: &Arc<Orders>, parts: &Parts) -> anyhow::Result<RunningProjection> {
    let path = orders.directory.join(format!("effects-{}-{}.jsonl", orders.process, orders.life));
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let projection = Effects { orders: Arc::clone(orders), file: Arc::new(file) };
    let runner = ProjectionRunner::new(projection, Arc::clone(&parts.log), Arc::clone(&parts.effects));
    Ok(runner.lease(LEASE).retry(soon()).start().await?)
}

pub(super) async fn sagas(
    parts: &Parts,
    repository: &Repository<Arc<dyn EventLog>>,
) -> anyhow::Result<RunningSagas> {
    let runner = SagaRunner::of::<Transfer>(repository, Arc::clone(&parts.read_models));
    Ok(runner.lease(LEASE).retry(soon()).start().await?)
}

const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

/// What is wrong with some events until the faults are over.
pub(crate) const POISON: &str = "poison";

fn soon() -> RetrySchedule {
    RetrySchedule::default().tries(3).pauses(Duration::from_millis(50), Duration::from_millis(400))
}

/// Keeps the balance of each account: of an event that it has had before, or has not had the one before of, it says so and takes nothing in.
#[derive(Clone)]
struct Balances {
    orders: Arc<Orders>,
}

#[async_trait]
impl Projection<DocumentTx> for Balances {
    fn name(&self) -> &str {
        BALANCES
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::categories(Category::new("account").ok())
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        if event.id().as_bytes()[15] < 2 && !self.orders.is_healed() {
            return Err(ProjectionError::new(POISON));
        }
        let accounts = Collection::new(BALANCES)?;
        let account = event.stream().id().to_owned();
        let mut balance: Balance = tx.read(&accounts, &account).await?.unwrap_or_default();
        if event.version().get() != balance.version + 1 {
            let (at, found) = (balance.version, event.version());
            return Err(ProjectionError::new(format!("after version {at} comes version {found}")));
        }
        balance.version += 1;
        for event in AccountEvent::if_known(event)? {
            match event {
                AccountEvent::Deposited { cents, .. } => balance.cents += cents,
                AccountEvent::Withdrawn { cents, .. } => balance.cents -= cents.min(balance.cents),
                AccountEvent::TransferAsked { .. } => {}
            }
        }
        tx.write(&accounts, &account, &balance).await?;
        Ok(())
    }
}

/// Writes a line for each event into a file: an effect elsewhere.
#[derive(Clone)]
struct Effects {
    orders: Arc<Orders>,
    file: Arc<File>,
}

#[async_trait]
impl Projection<()> for Effects {
    fn name(&self) -> &str {
        EFFECTS
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::categories(Category::new("ledger").ok())
    }

    async fn handle(&mut self, event: &RecordedEvent, (): &mut ()) -> Result<(), ProjectionError> {
        // A slow consumer, for some events.
        if event.id().as_bytes()[15] < 8 && !self.orders.is_healed() {
            sleep(Duration::from_millis(60)).await;
        }
        let (at, version) = (history::now(), event.version().get());
        let mut line = serde_json::to_vec(&Effect { at, stream: event.stream().to_string(), version })?;
        line.push(b'\n');
        (&*self.file).write_all(&line)?;
        Ok(())
    }
}
