//! A process that runs sagas is killed before and after each of its writes: what it leaves is gone on with, and each step
//! is in effect once, or not at all.
//!
//! `NEXUS_CRASH_KILLS` sets how often it is killed; each point gets its share.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nexus_core::testing::sagas::crash::{Doom, POINTS, check, go_on};
use nexus_sqlite::{SqliteProjections, SqliteStore};

use crate::support::{directory, file};

/// In the environment of the process that is killed: where it works, at which point it dies, how soon, and what its sagas are
/// called.
const TARGET: &str = "NEXUS_SAGA_CRASH_TARGET";

fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // It takes a moment until the signal arrives: nothing may happen in it.
    loop {
        std::thread::park();
    }
}

async fn open(path: &Path) -> (SqliteStore, SqliteProjections) {
    let store = SqliteStore::open(path).await.expect("a killed process's file opens");
    let read_models = SqliteProjections::beside(&store).await.expect("opened");
    (store, read_models)
}

/// The process that is killed. Run as a test it has no target, makes a short run of its own, and is not killed.
#[test]
fn a_process_runs_sagas() {
    let target = std::env::var(TARGET).ok();
    let own = directory();
    let (path, doom, name) = match target.as_deref().map(|target| target.split('|').collect::<Vec<_>>()) {
        Some(parts) => {
            let nth = parts[2].parse().expect("a number");
            (parts[0].into(), Doom::at(parts[1], nth, die), parts[3].to_owned())
        }
        None => (file(&own), Doom::none(), "own".to_owned()),
    };
    let plans = if target.is_some() { 1_000 } else { 10 };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (store, read_models) = open(&path).await;
        go_on(store, read_models, doom, &name, plans).await;
        let (store, read_models) = open(&path).await;
        check(store, read_models).await;
    });
}

#[test]
fn a_killed_process_leaves_sagas_that_are_gone_on_with() {
    let kills: u64 = std::env::var("NEXUS_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let directory = directory();
    let path = file(&directory);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut sagas = 0;
    for round in 0..kills.div_ceil(25) {
        for (number, point) in POINTS.into_iter().enumerate() {
            // Of what may come to it at the same time, the first or another.
            let nth = 1 + (round * 5 + number as u64) % 7;
            let name = format!("r{round}p{number}");
            let target = format!("{}|{point}|{nth}|{name}", path.display());
            let mut process = Command::new(std::env::current_exe().expect("this program"))
                .args(["saga_crash::a_process_runs_sagas", "--exact", "--nocapture"])
                .env(TARGET, target)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the process starts");
            let deadline = Instant::now() + Duration::from_secs(30);
            while process.try_wait().expect("asked").is_none() {
                assert!(Instant::now() < deadline, "it never came to {point:?} {nth} times");
                std::thread::sleep(Duration::from_millis(2));
            }
            let ended = process.wait().expect("ended");
            assert_eq!(ended.signal(), Some(9), "it was not killed at {point:?}: {ended:?}");
            // Sometimes the next process finds what several have left.
            if number % 3 == 2 {
                sagas = runtime.block_on(async {
                    let (store, read_models) = open(&path).await;
                    check(store, read_models).await
                });
            }
        }
    }
    assert!(sagas > POINTS.len(), "{sagas} sagas show little");
}
