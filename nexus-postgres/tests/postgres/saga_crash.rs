//! A process that runs sagas is killed before and after each of its writes: what it leaves is gone on with, and each step
//! is in effect once, or not at all.
//!
//! `NEXUS_CRASH_KILLS` sets how often it is killed; each point gets its share.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nexus_core::testing::sagas::crash::{Doom, POINTS, check, go_on};
use nexus_postgres::{PostgresConfig, PostgresProjections, PostgresStore, SchemaName};

use crate::support::{House, url};

/// In the environment of the process that is killed: the schema, at which point it dies, how soon, and what its sagas are
/// called.
const TARGET: &str = "NEXUS_SAGA_CRASH_TARGET";

fn die() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    // It takes a moment until the signal arrives: nothing may happen in it.
    loop {
        std::thread::park();
    }
}

async fn open(schema: &SchemaName) -> (PostgresStore, PostgresProjections) {
    let config = PostgresConfig::new(&url()).expect("a URL").schema(schema.clone()).max_connections(8);
    let store = PostgresStore::open_with(config).await.expect("the store opens");
    let read_models = PostgresProjections::beside(&store);
    (store, read_models)
}

/// The process that is killed. Run as a test it has no target, makes a short run of its own, and is not killed.
#[test]
fn a_process_runs_sagas() {
    let target = std::env::var(TARGET).ok();
    let own = House::new();
    let (schema, doom, name) = match target.as_deref().map(|target| target.split('|').collect::<Vec<_>>()) {
        Some(parts) => {
            let nth = parts[2].parse().expect("a number");
            (SchemaName::new(parts[0]).expect("valid"), Doom::at(parts[1], nth, die), parts[3].to_owned())
        }
        None => (own.schema.clone(), Doom::none(), "own".to_owned()),
    };
    let plans = if target.is_some() { 1_000 } else { 10 };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (store, read_models) = open(&schema).await;
        go_on(store, read_models, doom, &name, plans).await;
        let (store, read_models) = open(&schema).await;
        check(store, read_models).await;
    });
}

#[test]
fn a_killed_process_leaves_sagas_that_are_gone_on_with() {
    let kills: u64 = std::env::var("NEXUS_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let house = House::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut sagas = 0;
    for round in 0..kills.div_ceil(25) {
        for (number, point) in POINTS.into_iter().enumerate() {
            // Of what may come to it at the same time, the first or another.
            let nth = 1 + (round * 5 + number as u64) % 7;
            let target = format!("{}|{point}|{nth}|r{round}p{number}", house.schema);
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
                    let (store, read_models) = open(&house.schema).await;
                    check(store, read_models).await
                });
            }
        }
    }
    assert!(sagas > POINTS.len(), "{sagas} sagas show little");
}
