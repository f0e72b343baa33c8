use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use nexus_core::{
    AppendBatch, DocumentTx, EventId, EventStore, EventType, ExpectedVersion, MemoryStore, NewEvent, Payload,
    Projection, ProjectionError, ProjectionName, ProjectionRunner, Projections, Query, RecordedEvent,
    RetrySchedule, async_trait,
};
use nexus_sqlite::SqliteProjections;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::wait_for;

/// Takes in what it can: the events of one stream it never can.
#[derive(Clone)]
struct Counting;

#[async_trait]
impl Projection<DocumentTx> for Counting {
    fn name(&self) -> &str {
        "counting"
    }
    fn version(&self) -> u32 {
        1
    }
    fn query(&self) -> Query {
        Query::all()
    }
    async fn handle(&mut self, event: &RecordedEvent, _: &mut DocumentTx) -> Result<(), ProjectionError> {
        if event.stream().id() == "bad" { Err(ProjectionError::new("never")) } else { Ok(()) }
    }
}

/// One of the documents that a projection keeps for itself.
#[derive(Debug)]
struct Kept {
    file: PathBuf,
    collection: String,
    key: String,
    content: String,
}

struct Read {
    log: MemoryStore,
    directory: TempDir,
    kept: Vec<Kept>,
}

/// What a projection has noted about itself, of which one document has another content: the first byte says which. It is told that it is damaged, or
/// the projection goes on.
pub fn sqlite_documents(bytes: &[u8]) {
    static READ: OnceLock<Read> = OnceLock::new();
    let read = READ.get_or_init(|| wait_for(projected()));
    let Some((which, content)) = bytes.split_first() else { return };
    let Ok(content) = std::str::from_utf8(content) else { return };
    let kept = &read.kept[usize::from(*which) % read.kept.len()];
    kept.write(content);
    wait_for(asked(read, kept));
    kept.write(&kept.content);
}

impl Kept {
    fn write(&self, content: &str) {
        let file = Connection::open(&self.file).expect("a file");
        file.busy_timeout(Duration::from_secs(10)).expect("a setting");
        let put = "INSERT OR REPLACE INTO nexus_documents VALUES (?1, ?2, ?3)";
        file.execute(put, [&self.collection, &self.key, content]).expect("written");
    }
}

async fn asked(read: &Read, kept: &Kept) {
    let store = SqliteProjections::open(read.directory.path()).await.expect("read models");
    let projections = Projections::new(read.log.clone(), store.clone());
    let name = ProjectionName::new("counting").expect("a name");
    for told in [
        projections.names().await.map(|names| format!("{names:?}")),
        projections.status(&name).await.map(|status| format!("{status:?}")),
        projections.health(&name).await.map(|health| format!("{health:?}")),
        projections.dead_letters(&name, None, 10).await.map(|letters| format!("{letters:?}")),
        projections.skipped_letters(&name, 10).await.map(|letters| format!("{letters:?}")),
    ] {
        assert!(told.err().is_none_or(|error| !error.to_string().is_empty()), "{kept:?}");
    }
    let running = ProjectionRunner::new(Counting, read.log.clone(), store).start().await;
    if let Ok(running) = running {
        let stopped = tokio::time::timeout(Duration::from_secs(20), running.stop()).await;
        assert!(stopped.is_ok(), "it hangs with another {kept:?}");
    }
}

async fn projected() -> Read {
    let log = MemoryStore::new();
    for (number, stream) in [(1, "probe-good"), (2, "probe-bad"), (3, "probe-bad"), (4, "probe-other")] {
        let payload = Payload::from_json("{}").expect("JSON");
        let event =
            NewEvent::new(EventId::from_bytes([number; 16]), EventType::new("Any").expect("a type"), payload);
        let batch = AppendBatch::new(stream.parse().expect("a stream"), ExpectedVersion::Any, vec![event]);
        let _ = log.append(batch.expect("a batch")).await.expect("stored");
    }
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteProjections::open(directory.path()).await.expect("read models");
    let once = RetrySchedule::default().tries(1);
    let running = ProjectionRunner::new(Counting, log.clone(), store.clone()).retry(once).start().await;
    let running = running.expect("it runs");
    let projections = Projections::new(log.clone(), store);
    let name = ProjectionName::new("counting").expect("a name");
    while projections.dead_letters(&name, None, 10).await.is_ok_and(|letters| letters.len() < 2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.stop().await.expect("it stops");
    let mut kept = Vec::new();
    for file in std::fs::read_dir(directory.path()).expect("a directory") {
        let file = file.expect("a file").path();
        if file.extension().is_some_and(|extension| extension == "db") {
            kept.extend(documents(&file).expect("documents"));
        }
    }
    assert!(kept.len() > 4, "{kept:?}");
    Read { log, directory, kept }
}

fn documents(file: &PathBuf) -> rusqlite::Result<Vec<Kept>> {
    let connection = Connection::open(file)?;
    let query = "SELECT collection, key, content FROM nexus_documents ORDER BY collection, key";
    let mut documents = connection.prepare(query)?;
    let documents = documents.query_map([], |row| {
        Ok(Kept { file: file.clone(), collection: row.get(0)?, key: row.get(1)?, content: row.get(2)? })
    })?;
    documents.collect()
}
