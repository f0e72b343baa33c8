use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{Category, EventLog, Position, Query, ReadOptions, StoreError};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::{sleep, timeout};

use super::Orders;

/// Follows the log from some position on, and notes what it has seen: 8 bytes of the position and 16 of the event's id. The file begins with where it
/// started, and whether it reads accounts alone.
pub(super) struct Reader {
    log: Arc<dyn EventLog>,
    orders: Arc<Orders>,
    rng: StdRng,
    seen: File,
    query: Query,
    cursor: Option<Position>,
    only_accounts: bool,
}

impl Reader {
    pub(super) fn new(
        number: u32,
        log: Arc<dyn EventLog>,
        orders: Arc<Orders>,
        rng: StdRng,
    ) -> anyhow::Result<Self> {
        let only_accounts = number % 2 == 1;
        let query = match only_accounts {
            true => Query::categories([Category::new("account")?]),
            false => Query::all(),
        };
        let name = format!("seen-{}-{}-{number}", orders.process, orders.life);
        let seen = File::create(orders.directory.join(name))?;
        Ok(Self { log, orders, rng, seen, query, cursor: None, only_accounts })
    }

    pub(super) async fn run(mut self) {
        // Some go from the beginning, others from now on.
        if self.rng.random_ratio(1, 2) {
            self.cursor = loop {
                match self.log.head().await {
                    Ok(head) => break head,
                    Err(_) => sleep(Duration::from_millis(20)).await,
                }
            };
        }
        let start = self.cursor.map_or(0, Position::get) << 1 | u64::from(self.only_accounts);
        if self.seen.write_all(&start.to_le_bytes()).is_err() {
            return;
        }
        loop {
            if let Err(error) = self.read().await {
                eprintln!("a reader tries again: {error}");
                sleep(Duration::from_millis(self.rng.random_range(0..50))).await;
            }
            let _ = timeout(Duration::from_secs(1), self.log.changed_after(self.cursor)).await;
        }
    }

    async fn read(&mut self) -> Result<(), StoreError> {
        let mut options = ReadOptions::forwards().after(self.cursor).page_size(self.rng.random_range(1..50));
        if self.rng.random_ratio(1, 3) {
            options = options.limit(self.rng.random_range(1..100));
        }
        let mut events = self.log.read_all(self.query.clone(), options);
        while let Some(event) = events.try_next().await? {
            let Some(position) = event.position() else { continue };
            let mut seen = position.get().to_le_bytes().to_vec();
            seen.extend(event.id().as_bytes());
            let noted = self.seen.write_all(&seen);
            noted.map_err(|error| StoreError::unavailable("note an event", error))?;
            self.cursor = Some(position);
            if self.rng.random_ratio(1, 50) && !self.orders.is_healed() {
                sleep(Duration::from_millis(self.rng.random_range(0..30))).await;
            }
        }
        Ok(())
    }
}
