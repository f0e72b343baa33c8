//! `order import`: real purchases, each sent as the commands of an order's life.

mod lines;
mod purchase;

pub use lines::{Lines, ReadLine};
pub use purchase::{InvalidPurchase, Purchase};

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nexus_core::{
    Command, CommandHandler, CommandOptions, ExecuteError, Outcome, Receipt, Repository, RepositoryError,
};
use serde::Serialize;
use tokio::task::JoinSet;

use crate::read_models::ReadModels;
use crate::shop::{Shop, Store};
use crate::show::{dollars, thousands};
use crate::stats::Stats;
use order_commands::order::{Deliver, Order, Pay, Place, Refused, Ship};

/// So many purchases are under way at once.
const AT_ONCE: usize = 64;

/// What an import did, and what the store then holds.
#[derive(Debug, Serialize)]
pub struct Report {
    pub orders: u64,
    pub customers: u64,
    pub units: u64,
    pub revenue_cents: u64,
    /// How many commands were sent.
    pub commands: u64,
    /// How many of them stored events: the others had been executed before.
    pub executed: u64,
    pub rejected_lines: u64,
    pub seconds: f64,
}

/// What became of one line.
#[derive(Debug, Default)]
struct Sent {
    commands: u64,
    executed: u64,
    refused: Option<Refused>,
    /// For what was stored last.
    stored: Option<Receipt>,
}

/// Reads the file and sends its purchases, 64 at a time. Lines that are wrong are reported on standard error and passed
/// over; a store that fails ends the import, and the same file can be imported again to finish it.
///
/// The read models follow live, and are up to date when this returns.
pub async fn import(shop: &Shop, file: &Path) -> anyhow::Result<Report> {
    let orders = &shop.orders;
    let started = Instant::now();
    let source = File::open(file).with_context(|| format!("could not open {}", file.display()))?;
    let length = source.metadata().map_or(0, |metadata| metadata.len());
    if source.metadata()?.is_dir() {
        bail!("{} is a directory: expected a file of purchases", file.display());
    }
    let read_models = ReadModels::start(shop).await?;
    let mut lines = Lines::new(source);
    let progress = progress_bar(length);
    let (mut commands, mut executed, mut rejected_lines) = (0, 0, 0);
    let mut reject = |number: u64, reason: &dyn std::fmt::Display| {
        rejected_lines += 1;
        progress.suspend(|| eprintln!("line {number}: {reason}"));
    };
    let mut occurrences: HashMap<Purchase, u32> = HashMap::new();
    let mut to_see: Vec<Receipt> = Vec::new();
    let mut under_way: JoinSet<(u64, anyhow::Result<Sent>)> = JoinSet::new();
    let mut is_read = false;
    while !is_read || !under_way.is_empty() {
        while !is_read && under_way.len() < AT_ONCE {
            let Some(line) = lines.next_line().context("could not read the file")? else {
                is_read = true;
                break;
            };
            let ReadLine { number, text, end } = line;
            progress.set_position(end);
            match Purchase::parse(number, text) {
                Ok(None) => {}
                Ok(Some(purchase)) => {
                    // Identical lines are purchases of their own.
                    let occurrence = occurrences.entry(purchase.clone()).or_default();
                    *occurrence += 1;
                    let (orders, occurrence) = (orders.clone(), *occurrence);
                    under_way.spawn(async move { (number, send(&orders, &purchase, occurrence).await) });
                }
                Err(error) => reject(number, &error),
            }
        }
        if let Some(ended) = under_way.join_next().await {
            let (number, sent) = ended?;
            let sent = sent.with_context(|| format!("could not import line {number}"))?;
            commands += sent.commands;
            executed += sent.executed;
            // How far a log is says all; a feed or a bus is asked about each order.
            to_see.extend(sent.stored.filter(|_| shop.feed().is_some() || shop.bus().is_some()));
            if let Some(refused) = sent.refused {
                reject(number, &refused);
            }
        }
    }
    progress.finish_and_clear();
    read_models.caught_up(shop).await?;
    read_models.have(&to_see).await?;
    read_models.stop().await?;
    let Stats { orders, customers, units, revenue_cents, .. } = Stats::of(shop).await?;
    let seconds = started.elapsed().as_secs_f64();
    Ok(Report { orders, customers, units, revenue_cents, commands, executed, rejected_lines, seconds })
}

/// The life of one order: placed, paid, shipped, delivered.
async fn send(orders: &Repository<Store>, purchase: &Purchase, occurrence: u32) -> anyhow::Result<Sent> {
    let mut sender = Sender { orders, purchase, occurrence, sent: Sent::default() };
    let place =
        Place { customer: purchase.customer.clone(), ordered_on: purchase.day, lines: vec![purchase.line()] };
    let _ = sender.send(place).await?
        && sender.send(Pay { cents: purchase.cents }).await?
        && sender.send(Ship { carrier: "post".to_owned() }).await?
        && sender.send(Deliver).await?;
    Ok(sender.sent)
}

struct Sender<'a> {
    orders: &'a Repository<Store>,
    purchase: &'a Purchase,
    occurrence: u32,
    sent: Sent,
}

impl Sender<'_> {
    /// Sends one command under an id of its own; says whether the next one is to follow.
    async fn send<C>(&mut self, command: C) -> anyhow::Result<bool>
    where
        C: Command,
        Order: CommandHandler<C, Rejection = Refused>,
    {
        let id = self.purchase.order_id(self.occurrence)?;
        let options =
            CommandOptions::default().id(self.purchase.command_id(self.occurrence, C::NAME)).actor("import");
        self.sent.commands += 1;
        match self.orders.execute_with::<Order, C>(&id, command, options).await {
            Ok(receipt) => {
                if receipt.outcome == Outcome::Stored {
                    self.sent.executed += 1;
                    self.sent.stored = Some(receipt);
                }
                Ok(true)
            }
            Err(ExecuteError::Rejected(refused)) => {
                self.sent.refused = Some(refused);
                Ok(false)
            }
            Err(ExecuteError::Failed(error)) => Err(RepositoryError::into(error)),
        }
    }
}

/// On a terminal, and nowhere else.
fn progress_bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

impl Report {
    /// For a person.
    pub fn print(&self) {
        if self.commands > 0 && self.executed == 0 {
            println!(
                "nothing to do: all {} commands of this file were executed before",
                thousands(self.commands)
            );
        } else {
            println!(
                "executed {} of {} commands in {:.1} s, {} a second",
                thousands(self.executed),
                thousands(self.commands),
                self.seconds,
                thousands((self.commands as f64 / self.seconds.max(1e-9)) as u64)
            );
        }
        if self.rejected_lines > 0 {
            println!("{} lines were rejected, see above", thousands(self.rejected_lines));
        }
        println!(
            "the store holds {} orders by {} customers: {} CDs, {}",
            thousands(self.orders),
            thousands(self.customers),
            thousands(self.units),
            dollars(self.revenue_cents)
        );
    }
}
