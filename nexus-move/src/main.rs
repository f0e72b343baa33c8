//! `nexus-move FROM TO`: copies all events of one store into another, and compares the two.
//!
//! ```sh
//! nexus-move orders.db postgres://app@db.example/shop
//! nexus-move postgres://app@db.example/shop dynamodb://shop?region=eu-central-1
//! ```

mod address;
mod progress;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use nexus_core::{Clock, CopyError, ManualClock, Position, StoreCopy, SystemClock};

use address::{Address, Target};
use progress::Progress;

/// Copies all events of a store into another, and compares the two.
///
/// Ids, streams, versions, times, payloads, metadata and tags stay what they are; positions are given anew. It can be run again: what is there already is left
/// as it is. So copy while the original is in use, stop what writes to it, and run it once more.
#[derive(Debug, Parser)]
#[command(name = "nexus-move", version)]
struct Options {
    /// The original: a file of SQLite, or postgres://USER@HOST/DATABASE. It is opened for reading.
    from: Address,
    /// The copy: the same, or dynamodb://TABLES?region=REGION&endpoint=URL. It is made where it is not there, and has to be empty, or begun by this.
    to: Address,
    /// Compares, and copies nothing.
    #[arg(long)]
    verify: bool,
    /// Records events anew, at the time of the copy.
    #[arg(long)]
    new_times: bool,
    /// Goes on after this position of the original, which an earlier run told; a copy that is a log knows by itself.
    #[arg(long, value_name = "POSITION")]
    after: Option<u64>,
}

/// What a shell is told.
const SAME: u8 = 0;
const DIFFERENT: u8 = 1;
const FAILED: u8 = 3;

fn main() -> ExitCode {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let moved = runtime.context("no runtime").and_then(|runtime| runtime.block_on(moved(&options)));
    ExitCode::from(match moved {
        Ok(()) => SAME,
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            let is_different = matches!(error.downcast_ref(), Some(CopyError::Differs(_)));
            if is_different { DIFFERENT } else { FAILED }
        }
    })
}

async fn moved(options: &Options) -> anyhow::Result<()> {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let by: Arc<dyn Clock> = if options.new_times { Arc::new(SystemClock) } else { clock.clone() };
    let from = options.from.original().await.with_context(|| format!("{} cannot be read", options.from))?;
    let to = options.to.copy(by, options.verify).await;
    let to = to.with_context(|| format!("{} cannot be used", options.to))?;
    let is_log = matches!(to, Target::Log(_));
    let moving = match to {
        Target::Log(log) => StoreCopy::between_logs(from, log),
        #[cfg(feature = "dynamodb")]
        Target::Store(store) => StoreCopy::new(from, store),
    };
    let moving = if options.new_times { moving } else { moving.keeping_times(clock) };
    // The original may go on: what is compared is what was there when the copy was made.
    let end = match options.verify {
        true => None,
        false => copied(options, &moving, is_log).await?,
    };
    let (started, progress) = (Instant::now(), Progress::of("compared"));
    let compared = moving.compare(end, |done| progress.tell(done)).await;
    progress.end();
    let compared = compared?;
    anstream::println!("{} events are the same ({:.1} s)", compared.events, started.elapsed().as_secs_f64());
    Ok(())
}

/// The end of the original, as far as it was copied.
async fn copied(options: &Options, moving: &StoreCopy, is_log: bool) -> anyhow::Result<Option<Position>> {
    let after = match options.after {
        Some(after) => Some(Position::try_from(after)?),
        None => moving.reached().await?,
    };
    let (started, progress) = (Instant::now(), Progress::of("copied"));
    let done = moving.run(after, |done| progress.tell(done)).await;
    progress.end();
    if let Some(reached) = progress.reached().filter(|_| !is_log) {
        anstream::eprintln!("the next run can go on with --after {reached}");
    }
    let done = done?;
    let new = done.commits - done.repeated;
    anstream::println!(
        "{} events in {} commits were read; {new} commits were new ({:.1} s)",
        done.events,
        done.commits,
        started.elapsed().as_secs_f64()
    );
    Ok(done.head)
}
