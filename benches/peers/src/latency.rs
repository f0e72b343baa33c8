//! How long it takes from an append to the handler of a projection, where nothing else goes on.

use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::Options;
use crate::measure::{Latency, Sample, Stopwatch};
use crate::order::AddLine;
use crate::peer::{Arrivals, Library, Orders, Setup};
use crate::workload::send;

/// So many commands a round has.
const COMMANDS: u64 = 300;

/// So often one is sent.
const EVERY: Duration = Duration::from_millis(10);

/// When a command was sent, and when it was answered.
struct Sent {
    order: u64,
    sent: Instant,
    answered: Instant,
}

/// The rounds, and a sentence about both delays over all of them.
pub(crate) async fn run<L: Library>(
    library: &L,
    database: &str,
    options: &Options,
) -> anyhow::Result<(Vec<Sample>, String)> {
    let (arrived, mut arrivals) = Arrivals::new();
    let orders = library.open(database, Setup::measured().projected(arrived)).await?;
    // A subscription that is only being made would be measured, too: the first event may still come by a poll, before
    // anybody listens for notifications.
    send(&orders, 0, AddLine::sample(0)).await?;
    arrivals.all(0..1).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;

    let (mut after_answer, mut after_sending) = (Vec::<Duration>::new(), Vec::<Duration>::new());
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        let first = 1 + round * COMMANDS;
        let watch = Stopwatch::start();
        let (sent, refused) = commands(&orders, first).await?;
        let at = arrivals.all(first..first + COMMANDS).await?;
        let delays: Vec<Duration> =
            sent.iter().map(|one| at[&one.order].saturating_duration_since(one.sent)).collect();
        after_answer.extend(sent.iter().map(|one| at[&one.order].saturating_duration_since(one.answered)));
        after_sending.extend_from_slice(&delays);
        samples.push(Sample { refused, ..watch.stop(COMMANDS).timed(delays)? });
    }
    orders.close().await;

    let (answered, sent) = (Latency::of(after_answer)?, Latency::of(after_sending)?);
    let note = format!(
        "one command each {EVERY:?}; with the handler {:?} (median; p99 {:?}) after the command was answered, \
         {:?} (median; p99 {:?}) after it was sent",
        answered.median(),
        answered.p99(),
        sent.median(),
        sent.p99(),
    );
    Ok((samples, note))
}

/// One each time, on a new order; with how often they were refused.
async fn commands(orders: &impl Orders, first: u64) -> anyhow::Result<(Vec<Sent>, u64)> {
    let (mut all, mut refused) = (Vec::new(), 0);
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for order in first..first + COMMANDS {
        tick.tick().await;
        let sent = Instant::now();
        refused += send(orders, order, AddLine::sample(order)).await?;
        all.push(Sent { order, sent, answered: Instant::now() });
    }
    Ok((all, refused))
}
