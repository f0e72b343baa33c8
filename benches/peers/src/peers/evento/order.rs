//! The order in evento's terms. Its macros make more than is used here, and with the visibility they choose.
#![allow(dead_code)]

use std::sync::Arc;

use evento::Executor;
use evento::metadata::Event;
use evento::projection::{Projection, Snapshot};
use evento::subscription::Context;

use crate::order::{Order, Tally};
use crate::peer::Arrived;

#[evento::aggregate(name = "order")]
pub(crate) enum Orders {
    OrderPlaced { customer: u32, currency: String },
    LineAdded { line: u32, title: String, units: u32, cents: u64 },
}

/// What a command is decided by, folded from all events each time.
#[evento::projection(name = "order/plain")]
#[evento::snapshot(none)]
pub(crate) struct Plain {
    pub lines: u32,
    pub cents: u64,
}

/// The same, kept in the store's table of snapshots.
#[evento::projection(name = "order/kept", bitcode::Encode, bitcode::Decode)]
pub(crate) struct Kept {
    pub lines: u32,
    pub cents: u64,
}

/// How an order is loaded.
pub(crate) trait View<E: Executor>: Snapshot<E> + Default + Send + Sync + 'static {
    fn projection() -> Projection<E, Self>;

    /// With its version.
    fn state(&self) -> (Order, u16);
}

impl<E: Executor> View<E> for Plain {
    fn projection() -> Projection<E, Self> {
        Projection::new::<Orders>().handler(plain_placed()).handler(plain_line()).strict()
    }

    fn state(&self) -> (Order, u16) {
        (Order { lines: self.lines, cents: self.cents }, self.aggregate_version)
    }
}

impl<E: Executor> View<E> for Kept {
    fn projection() -> Projection<E, Self> {
        Projection::new::<Orders>().handler(kept_placed()).handler(kept_line()).strict()
    }

    fn state(&self) -> (Order, u16) {
        (Order { lines: self.lines, cents: self.cents }, self.aggregate_version)
    }
}

#[evento::handler]
async fn plain_placed(_event: Event<OrderPlaced>, _view: &mut Plain) -> anyhow::Result<()> {
    Ok(())
}

#[evento::handler]
async fn plain_line(event: Event<LineAdded>, view: &mut Plain) -> anyhow::Result<()> {
    view.lines = event.data.line;
    view.cents += event.data.cents;
    Ok(())
}

#[evento::handler]
async fn kept_placed(_event: Event<OrderPlaced>, _view: &mut Kept) -> anyhow::Result<()> {
    Ok(())
}

#[evento::handler]
async fn kept_line(event: Event<LineAdded>, view: &mut Kept) -> anyhow::Result<()> {
    view.lines = event.data.line;
    view.cents += event.data.cents;
    Ok(())
}

/// Sums up what is replayed.
#[evento::subscription]
pub(crate) async fn line_counted<E: Executor>(
    context: &Context<'_, E>,
    event: Event<LineAdded>,
) -> anyhow::Result<()> {
    let tally: Arc<Tally> = context.try_extract()?;
    tally.line(event.data.cents);
    Ok(())
}

/// Tells what reaches a subscription.
#[evento::subscription]
pub(crate) async fn line_arrived<E: Executor>(
    context: &Context<'_, E>,
    event: Event<LineAdded>,
) -> anyhow::Result<()> {
    let arrived: Arrived = context.try_extract()?;
    arrived.tell(event.aggregate_id.parse()?);
    Ok(())
}
