//! A writing process is killed at random moments, many times: what it acknowledged is there, nothing is torn.
//!
//! `NEXUS_CRASH_KILLS` sets how often; it is 25 unless told otherwise, which takes seconds.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nexus_core::{
    AppendBatch, CommandId, EventId, EventStore, EventType, ExpectedVersion, NewEvent, Payload, StreamId,
    Timestamp,
};
use nexus_sqlite::SqliteStore;

use crate::support::{directory, file, read_all, stream};

const STREAMS: u64 = 8;

/// In the environment of the process that is killed: where it writes, and its run.
const TARGET: &str = "NEXUS_CRASH_TARGET";

/// Every commit has as many events as its number says, over one stream or two.
pub(crate) fn commit(run: u64, task: u64, number: u64) -> AppendBatch {
    let events = |stream: &StreamId, count: u64| -> Vec<NewEvent> {
        let name = format!("{run} {task} {number}");
        let command = CommandId::named(Timestamp::UNIX_EPOCH, &name);
        let event = |index| {
            let text = format!("{{\"commit\":\"{name}\",\"of\":{count},\"stream\":\"{stream}\"}}");
            let payload = Payload::from_json(text).expect("valid JSON");
            NewEvent::new(
                EventId::derived(command, stream, index),
                EventType::new("Kept").expect("valid"),
                payload,
            )
        };
        (0..u32::try_from(count).expect("small")).map(event).collect()
    };
    let (one, two) = (stream(task % STREAMS), stream((task + 1) % STREAMS));
    let count = 1 + number % 4;
    let first = events(&one, count);
    let batch = AppendBatch::new(one, ExpectedVersion::Any, first).expect("valid");
    if number.is_multiple_of(3) {
        let second = events(&two, count);
        return batch.and(two, ExpectedVersion::Any, second).expect("valid");
    }
    batch
}

/// The process that is killed. Run as a test it has no target, and makes a short run of its own.
#[test]
fn a_writer_acknowledges_what_it_stored() {
    let target = std::env::var(TARGET).ok();
    let own = directory();
    let (path, run) = match target.as_deref().and_then(|target| target.rsplit_once(' ')) {
        Some((path, run)) => (path.into(), run.parse().expect("a number")),
        None => (file(&own), 0),
    };
    let is_endless = target.is_some();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.expect("opened");
        let writers = (0..STREAMS).map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..if is_endless { u64::MAX } else { 5 } {
                    store.append(commit(run, task, number)).await.map(drop).expect("stored");
                    // One write, so that a line is whole or not there.
                    let line = format!("acknowledged {task} {number}\n");
                    std::io::stdout().write_all(line.as_bytes()).expect("told");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("no panic");
        }
        if !is_endless {
            check(&path, &HashMap::from([(0, vec![5; 8])])).await;
        }
    });
}

#[test]
fn a_killed_process_loses_nothing_and_tears_nothing() {
    let kills: u64 = std::env::var("NEXUS_CRASH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let directory = directory();
    let path = file(&directory);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    // For each run and task, how many commits were acknowledged.
    let mut acknowledged: HashMap<u64, Vec<u64>> = HashMap::new();
    for run in 1..=kills {
        let mut writer = Command::new(std::env::current_exe().expect("this program"))
            .args(["crash::a_writer_acknowledges_what_it_stored", "--exact", "--nocapture"])
            .env(TARGET, format!("{} {run}", path.display()))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the writer starts");
        let output = BufReader::new(writer.stdout.take().expect("a pipe"));
        let mut counts = vec![0; usize::try_from(STREAMS).expect("small")];
        let mut lines = output.lines().map_while(Result::ok).filter_map(|line| {
            let (task, number) = line.split_once("acknowledged ")?.1.split_once(' ')?;
            Some((task.parse::<usize>().ok()?, number.parse::<u64>().ok()?))
        });
        let mut note = |(task, number): (usize, u64)| counts[task] = number + 1;
        note(lines.next().expect("the writer stores something"));
        // A different moment each time: anywhere in a commit, a checkpoint, an answer.
        std::thread::sleep(Duration::from_micros(run * 7_919 % 40_000));
        writer.kill().expect("killed");
        writer.wait().expect("ended");
        lines.for_each(note);
        acknowledged.insert(run, counts);
        runtime.block_on(check(&path, &acknowledged));
    }
    let total: u64 = acknowledged.values().flatten().sum();
    assert!(total > kills * 10, "only {total} commits in {kills} runs: the test shows little");
}

/// Everything that was acknowledged is there; what is there is whole, and versions have no holes.
pub(crate) async fn check(path: &Path, acknowledged: &HashMap<u64, Vec<u64>>) {
    let store = SqliteStore::open(path).await.expect("a killed writer's file opens");
    let events = read_all(&store).await.expect("it can be read");
    let mut versions: HashMap<&StreamId, u64> = HashMap::new();
    let mut stored: HashMap<EventId, u64> = HashMap::new();
    for event in &events {
        let version = versions.entry(event.stream()).or_default();
        *version += 1;
        assert_eq!(event.version().get(), *version, "stream {} has a hole", event.stream());
        assert_eq!(stored.insert(event.id(), event.version().get()), None, "an event is there twice");
    }
    let mut whole = 0;
    for (run, counts) in acknowledged {
        for (task, count) in (0..).zip(counts) {
            let is_stored = |number| {
                let batch = commit(*run, task, number);
                let there = batch.events().filter(|event| stored.contains_key(&event.id())).count();
                assert!(
                    there == 0 || there == batch.len(),
                    "{there} of {} events of a commit are there",
                    batch.len()
                );
                whole += there;
                there > 0
            };
            let mut number = 0;
            let mut is_stored = is_stored;
            while is_stored(number) {
                number += 1;
            }
            assert!(
                number >= *count,
                "run {run}, task {task}: {count} commits were acknowledged, {number} are there"
            );
            assert!(number <= count + 1, "a writer goes on only after its commit was acknowledged");
        }
    }
    assert_eq!(whole, events.len(), "there is something that nobody wrote");
    store.close().await;
}

/// In the environment of the process whose files may not grow: where it writes.
const LIMITED: &str = "NEXUS_LIMITED_TARGET";

/// The process whose files may not grow. Run as a test it has no limit, and stops after a few appends.
#[test]
fn a_writer_goes_on_until_it_cannot_write() {
    let own = directory();
    let target = std::env::var(LIMITED).ok();
    let path = target.as_ref().map_or_else(|| file(&own), Into::into);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.expect("opened");
        for number in 0..if target.is_some() { u64::MAX } else { 5 } {
            match store.append(commit(1, 0, number)).await {
                Ok(_) => println!("acknowledged 0 {number}"),
                Err(error) => {
                    assert_eq!(error.remedy(), nexus_core::Remedy::Retry, "{error:?}");
                    println!("refused {error}");
                    return;
                }
            }
        }
    });
}

/// The operating system itself refuses to let the files grow, somewhere in a commit or a checkpoint.
#[test]
fn a_write_that_fails_loses_nothing_that_was_acknowledged() {
    for blocks in [300, 400, 1_000] {
        let directory = directory();
        let path = file(&directory);
        // Blocks of 512 bytes. The signal that goes with the limit is ignored, so that the write itself fails.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().expect("this program"))
            .args(["crash::a_writer_goes_on_until_it_cannot_write", "--exact", "--nocapture"])
            .env(LIMITED, &path)
            .output()
            .expect("the writer starts");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(told.contains("refused could not append"), "{told}");
        let acknowledged = told.lines().filter(|line| line.contains("acknowledged")).count() as u64;
        assert!(acknowledged > 5, "only {acknowledged} appends fit into {blocks} blocks");

        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut counts = vec![0; 8];
        counts[0] = acknowledged;
        runtime.block_on(check(&path, &HashMap::from([(1, counts)])));
    }
}
