//! Several processes on one file.

use std::process::{Command, Stdio};

use nexus_core::{AppendBatch, EventStore, ExpectedVersion, StoreError};
use nexus_sqlite::SqliteStore;

use crate::support::{directory, event, file, read_all, stream};

/// In the environment of each writing process: the file.
const TARGET: &str = "NEXUS_PROCESSES_TARGET";

const PROCESSES: usize = 4;
const WINS: u64 = 25;

/// Each writer wants every version of one hot stream, and wins so many. Run as a test it has the file to itself.
#[test]
fn a_writer_wins_its_share_of_a_hot_stream() {
    let own = directory();
    let path = std::env::var(TARGET).map_or_else(|_| file(&own), Into::into);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.expect("opened");
        let hot = stream("hot");
        let (mut last, mut wins) = (None, 0);
        while wins < WINS {
            let batch =
                AppendBatch::new(hot.clone(), ExpectedVersion::after(last), vec![event(20)]).expect("valid");
            match store.append(batch).await {
                Ok(appended) => {
                    last = appended.commit().stream(&hot).map(nexus_core::CommittedStream::last);
                    wins += 1;
                }
                Err(StoreError::Conflict(nexus_core::Conflict::Version { actual, .. })) => last = actual,
                Err(error) => panic!("{error:?}"),
            }
        }
    });
}

#[test]
fn processes_share_a_file_without_losing_or_repeating_a_version() {
    let directory = directory();
    let path = file(&directory);
    let writers: Vec<_> = (0..PROCESSES)
        .map(|_| {
            Command::new(std::env::current_exe().expect("this program"))
                .args(["processes::a_writer_wins_its_share_of_a_hot_stream", "--exact"])
                .env(TARGET, &path)
                .stdout(Stdio::null())
                .spawn()
                .expect("the writer starts")
        })
        .collect();
    for mut writer in writers {
        assert!(writer.wait().expect("ended").success(), "a writer failed");
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(&path).await.expect("opened");
        let events = read_all(&store).await.expect("read");
        let versions: Vec<u64> = events.iter().map(|event| event.version().get()).collect();
        assert_eq!(versions, (1..=WINS * PROCESSES as u64).collect::<Vec<_>>());
    });
}
