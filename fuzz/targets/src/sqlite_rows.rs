use std::cell::RefCell;

use arbitrary::{Arbitrary, Unstructured};
use futures::StreamExt;
use nexus_core::{EventLog, EventStore, Query, ReadOptions, StoreError, StreamId};
use nexus_sqlite::SqliteStore;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::recorded::look_at;
use crate::wait_for;

/// A row of the table of events, whatever wrote it there.
#[derive(Arbitrary, Debug)]
struct Row<'a> {
    stream: &'a [u8],
    version: i64,
    slice: i64,
    kind: &'a [u8],
    schema_version: i64,
    id: &'a [u8],
    recorded_at: i64,
    command: Option<&'a [u8]>,
    metadata: Option<&'a [u8]>,
    tags: Option<&'a [u8]>,
    payload: &'a [u8],
}

struct Opened {
    store: SqliteStore,
    raw: Connection,
    rows: u32,
    _directory: TempDir,
}

impl Opened {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rows.db");
        let store = wait_for(SqliteStore::open(&path)).expect("a store");
        let raw = Connection::open(&path).expect("the same file");
        // Whoever wants to can.
        raw.execute_batch(
            "PRAGMA synchronous = OFF; DROP TRIGGER events_are_never_deleted; DROP TRIGGER kinds_are_never_deleted",
        )
        .expect("settings");
        Self { store, raw, rows: 0, _directory: directory }
    }

    /// Puts a row there, alone.
    fn put(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        self.rows += 1;
        self.raw.execute_batch("BEGIN; DELETE FROM events; DELETE FROM kinds")?;
        let written = self.raw.execute(
            "INSERT INTO kinds VALUES (?1, 'any', CAST(?2 AS TEXT), ?3)",
            params![self.rows, row.kind, row.schema_version],
        );
        let written = written.and_then(|_| {
            self.raw.execute(
                "INSERT INTO events VALUES (1, CAST(?1 AS TEXT), ?2, ?3, ?10, ?4, 0, ?5, ?6, CAST(?7 AS TEXT), CAST(?8 AS TEXT), CAST(?9 AS TEXT))",
                params![
                    row.stream,
                    row.version,
                    row.slice,
                    row.id,
                    row.recorded_at,
                    row.command,
                    row.metadata,
                    row.tags,
                    row.payload,
                    self.rows
                ],
            )
        });
        self.raw.execute_batch("COMMIT")?;
        written.map(drop)
    }
}

/// A row of any content: it is read as an event, or it is told that it is damaged.
pub fn sqlite_rows(bytes: &[u8]) {
    thread_local! {
        static OPENED: RefCell<Option<Opened>> = const { RefCell::new(None) };
    }
    let Ok(row) = Row::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    OPENED.with_borrow_mut(|opened| {
        // Each row has a kind of its own: a store remembers kinds by their numbers.
        let opened = match opened {
            Some(opened) if opened.rows < 10_000 => opened,
            old => old.insert(Opened::new()),
        };
        if opened.put(&row).is_err() {
            return;
        }
        wait_for(async {
            let mut all = opened.store.read_all(Query::all(), ReadOptions::forwards());
            while let Some(event) = all.next().await {
                is_told(event);
            }
            if let Some(stream) = std::str::from_utf8(row.stream).ok().and_then(|text| text.parse().ok()) {
                let stream: StreamId = stream;
                let mut events = opened.store.read(&stream, ReadOptions::forwards());
                while let Some(event) = events.next().await {
                    is_told(event);
                }
            }
        });
    });
}

fn is_told(event: Result<nexus_core::RecordedEvent, StoreError>) {
    match event {
        Ok(event) => look_at(&event),
        Err(StoreError::Corrupt { what, .. }) => assert!(!what.is_empty()),
        Err(error) => panic!("it is damaged, but {error}"),
    }
}
