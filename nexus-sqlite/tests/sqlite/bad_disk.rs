//! A disk that fails: syncs that do not happen, writes for which there is no room. What was acknowledged is there, and what is answered is what is so.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use nexus_core::{
    Collection, DocumentKey, DocumentTx, EventStore, Payload, ProjectionName, ProjectionTransaction,
    ReadModelStore, Remedy, Space, Timestamp, UnitOfWork, WorkError, async_trait,
};
use nexus_services::BadDisk;
use nexus_sqlite::{SqliteProjections, SqliteStore};

use crate::crash::{check, commit};
use crate::support::{directory, file};

/// In the environment of the process whose disk fails: where it writes.
const TARGET: &str = "NEXUS_BAD_DISK_TARGET";

/// Has a test of this program run with that disk; what it says.
fn told(test: &str, disk: &BadDisk, target: &Path) -> String {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .env(TARGET, target)
        .envs(disk.environment())
        .output()
        .expect("the process starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

fn count(told: &str, word: &str) -> usize {
    told.lines().filter(|line| line.contains(word)).count()
}

/// The process whose disk fails. Run as a test it has a sound one.
#[test]
fn a_writer_asks_again_until_it_is_answered() {
    let own = directory();
    let path = std::env::var_os(TARGET).map_or_else(|| file(&own), Into::into);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = loop {
            match SqliteStore::open(&path).await {
                Ok(store) => break store,
                Err(error) => println!("not opened {error}"),
            }
        };
        for number in 0..200 {
            while let Err(error) = store.append(commit(1, 0, number)).await {
                assert_eq!(error.remedy(), Remedy::Retry, "{error:?}");
                println!("refused {error}");
            }
            println!("acknowledged {number}");
        }
    });
}

#[test]
fn syncs_and_writes_that_fail_lose_nothing_and_store_nothing_twice() {
    let disks: [fn(&BadDisk) -> anyhow::Result<()>; 2] =
        [|disk| disk.fail_to_sync(4), |disk| disk.be_full(4)];
    for fail in disks {
        let (disk, directory) = (BadDisk::new().expect("made"), directory());
        fail(&disk).expect("said");
        let path = file(&directory);
        let told = told("bad_disk::a_writer_asks_again_until_it_is_answered", &disk, &path);
        assert_eq!(count(&told, "acknowledged"), 200, "{told}");
        assert!(count(&told, "refused could not append") > 20, "{told}");
        let mut counts = vec![0; 8];
        counts[0] = 200;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(check(&path, &HashMap::from([(1, counts)])));
    }
}

/// Writes a document.
struct Writing {
    can_be_redone: bool,
}

#[async_trait]
impl UnitOfWork<DocumentTx> for Writing {
    async fn run(
        &mut self,
        transaction: &mut dyn ProjectionTransaction<DocumentTx>,
    ) -> Result<(), WorkError> {
        let (collection, key) = (Collection::new("c").expect("valid"), DocumentKey::new("k").expect("valid"));
        // Something else each time, so that something is written.
        let content = Payload::of(&Timestamp::now()).expect("JSON");
        Ok(transaction.read_model().put(&collection, &key, content).await?)
    }

    fn can_be_redone(&self) -> bool {
        self.can_be_redone
    }
}

async fn write(store: &SqliteProjections, can_be_redone: bool) -> Result<(), WorkError> {
    let space = Space::Build { projection: ProjectionName::new("sample").expect("valid"), number: 1 };
    store.transact(&space, Box::new(Writing { can_be_redone })).await
}

/// The process whose syncs all fail, once it has begun. Run as a test it has a sound disk, and nothing fails.
#[test]
fn a_read_model_is_written() {
    let own = directory();
    let path = std::env::var_os(TARGET).map_or_else(|| own.path().to_owned(), Into::into);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteProjections::open(&path).await.expect("opened");
        write(&store, true).await.expect("the disk is sound");
        if let Some(disk) = std::env::var_os("NEXUS_BAD_DISK") {
            std::fs::write(Path::new(&disk).join("sync"), "1").expect("said");
        }
        for can_be_redone in [true, false, true] {
            let written = write(&store, can_be_redone).await;
            println!("\nredone {can_be_redone}: {}", if written.is_ok() { "written" } else { "refused" });
        }
    });
}

/// Who relies on a commit that cannot be made again is told where it did not come to the disk.
#[test]
fn what_cannot_be_made_again_waits_for_the_disk() {
    let (disk, directory) = (BadDisk::new().expect("made"), directory());
    let told = told("bad_disk::a_read_model_is_written", &disk, directory.path());
    assert_eq!(count(&told, "redone true: written"), 2, "{told}");
    assert_eq!(count(&told, "redone false: refused"), 1, "{told}");
}
