//! Each workload, whatever library it is done with.

mod round;

pub(crate) use self::round::send;
use self::round::{HOT_ORDERS, LONG_STREAM, append, concurrent, hot, load, replay, sequential};
use crate::measure::Sample;
use crate::order::{Tally, lines};
use crate::peer::{Library, Orders, Setup};
use crate::{Options, latency};

/// So many events each order has in a log that is replayed.
const SHORT_STREAM: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Workload {
    Sequential,
    Concurrent,
    Hot,
    HotSnapshots,
    Load,
    Append,
    Replay,
    Projection,
}

impl Workload {
    pub(crate) const ALL: [Self; 8] = [
        Self::Sequential,
        Self::Concurrent,
        Self::Hot,
        Self::HotSnapshots,
        Self::Load,
        Self::Append,
        Self::Replay,
        Self::Projection,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential commands",
            Self::Concurrent => "64 concurrent commands",
            Self::Hot => "hot stream, 1,000 events",
            Self::HotSnapshots => "hot stream, 1,000 events, snapshots",
            Self::Load => "load 1,000 events",
            Self::Append => "append 100 in one commit",
            Self::Replay => "replay 200,000 events",
            Self::Projection => "append to projection",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Sequential | Self::Concurrent | Self::Hot | Self::HotSnapshots => "command",
            Self::Load => "load",
            Self::Append => "append",
            Self::Replay | Self::Projection => "event",
        }
    }

    /// Its own database.
    pub(crate) fn database(self) -> &'static str {
        match self {
            Self::Sequential => "peer_sequential",
            Self::Concurrent => "peer_concurrent",
            Self::Hot => "peer_hot",
            Self::HotSnapshots => "peer_hot_snapshots",
            Self::Load => "peer_load",
            Self::Append => "peer_append",
            Self::Replay => "peer_replay",
            Self::Projection => "peer_projection",
        }
    }
}

/// What favours a peer in workloads on long streams.
const TOGETHER: &str = "the events of a stream lie together, where those of Nexus lie between others";

/// What the rounds of a workload took.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) samples: Vec<Sample>,
    pub(crate) durability: String,
    /// What the run itself has to say.
    pub(crate) note: Option<String>,
}

pub(crate) async fn run<L: Library>(
    library: &L,
    workload: Workload,
    options: &Options,
) -> anyhow::Result<Measured> {
    let (database, setup) = (workload.database(), Setup::measured());
    let mut note = None;
    library.create(database).await?;
    let samples = match workload {
        Workload::Sequential => {
            let (orders, commands) = (library.open(database, setup).await?, options.commands);
            let run = async |round: u64| sequential(&orders, round * commands, commands).await;
            let samples = rounds(options, run).await?;
            orders.close().await;
            samples
        }
        Workload::Concurrent => {
            let (orders, commands) = (library.open(database, setup).await?, options.commands * 8);
            let run = async |round: u64| concurrent(&orders, round * commands, commands).await;
            let samples = rounds(options, run).await?;
            orders.close().await;
            samples
        }
        Workload::Hot | Workload::HotSnapshots => {
            let setup = if workload == Workload::Hot { setup } else { setup.with_snapshots() };
            note = Some(TOGETHER.to_owned());
            let orders = filled(library, database, setup, HOT_ORDERS, LONG_STREAM).await?;
            // A snapshot becomes due with the first command, and is used from then on.
            hot(&orders, HOT_ORDERS).await?;
            let run = async |_: u64| hot(&orders, options.commands.div_ceil(3)).await;
            let samples = rounds(options, run).await?;
            orders.close().await;
            samples
        }
        Workload::Load => {
            note = Some(TOGETHER.to_owned());
            let orders = filled(library, database, setup, 10, LONG_STREAM).await?;
            let samples = rounds(options, async |_: u64| load(&orders, 500).await).await?;
            orders.close().await;
            samples
        }
        Workload::Append => {
            let (orders, appends) = (library.open(database, setup).await?, options.commands.div_ceil(5));
            let run = async |round: u64| append(&orders, round * appends, appends).await;
            let samples = rounds(options, run).await?;
            orders.close().await;
            samples
        }
        Workload::Replay => {
            let streams = options.events.div_ceil(SHORT_STREAM);
            if streams * SHORT_STREAM != 200_000 {
                note = Some(format!("{} events", streams * SHORT_STREAM));
            }
            let orders = filled(library, database, setup, streams, SHORT_STREAM).await?;
            let expected = Tally::default();
            for order in 0..streams {
                lines(order, SHORT_STREAM)?.iter().for_each(|event| expected.event(event));
            }
            let samples = rounds(options, async |_: u64| replay(&orders, expected.totals()).await).await?;
            orders.close().await;
            samples
        }
        Workload::Projection => {
            let (samples, delays) = latency::run(library, database, options).await?;
            note = Some(delays);
            samples
        }
    };
    let (refused, sent) =
        samples.iter().fold((0, 0), |(refused, sent), one| (refused + one.refused, sent + one.operations));
    if refused > 0 {
        let again = format!("{sent} commands were refused {refused} times and sent again");
        note = Some(note.map_or_else(|| again.clone(), |note| format!("{note}; {again}")));
    }
    Ok(Measured { samples, durability: library.durability(database).await?, note })
}

/// A database with orders that have so many events each, each order's in one commit.
///
/// Where Nexus is measured the events of hot streams lie between each other; here each stream's lie together, which
/// is in the peer's favour.
async fn filled<L: Library>(
    library: &L,
    database: &str,
    setup: Setup,
    orders: u64,
    events: u64,
) -> anyhow::Result<L::Orders> {
    let filling = library.open(database, setup.filling()).await?;
    for order in 0..orders {
        filling.append(order, lines(order, events)?).await?;
    }
    filling.close().await;
    library.rest(database).await?;
    library.open(database, setup).await
}

async fn rounds(
    options: &Options,
    run: impl AsyncFn(u64) -> anyhow::Result<Sample>,
) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    for round in 0..options.rounds {
        let sample = run(round).await?;
        eprintln!("    {:.0}/s, CPU {:.1} µs", sample.per_second(), sample.cpu_micros());
        samples.push(sample);
    }
    Ok(samples)
}
