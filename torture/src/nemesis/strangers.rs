use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Another program that uses the same file or server.
#[derive(Debug)]
pub(crate) enum Stranger {
    Sqlite { file: PathBuf, turn: Arc<AtomicU64> },
    Postgres { url: String, staying: Vec<JoinHandle<()>> },
}

impl Stranger {
    pub(crate) fn with_file(file: PathBuf) -> Self {
        Self::Sqlite { file, turn: Arc::default() }
    }

    pub(crate) fn with_server(url: String) -> Self {
        Self::Postgres { url, staying: Vec::new() }
    }

    /// Nobody else can write for so long.
    pub(crate) async fn lock(&mut self, long: Duration) -> anyhow::Result<()> {
        if let Self::Sqlite { file, turn } = self {
            held(file.clone(), "BEGIN IMMEDIATE", long, Arc::clone(turn));
        }
        Ok(())
    }

    /// A transaction stays open for so long; what it has done is taken back.
    pub(crate) async fn stay(&mut self, long: Duration) -> anyhow::Result<()> {
        match self {
            Self::Sqlite { file, turn } => {
                held(file.clone(), "BEGIN; SELECT count(*) FROM events", long, Arc::clone(turn));
            }
            Self::Postgres { url, staying } => {
                let url = url.clone();
                staying.push(tokio::spawn(async move {
                    // The server may be gone just now: then there is no stranger, either.
                    let Ok(mut connection) = PgConnection::connect(&url).await else { return };
                    let begun = "BEGIN; SELECT txid_current()";
                    if sqlx::raw_sql(begun).execute(&mut connection).await.is_ok() {
                        sleep(long).await;
                    }
                    let _ = sqlx::raw_sql("ROLLBACK").execute(&mut connection).await;
                }));
            }
        }
        Ok(())
    }

    pub(crate) fn leave(&mut self) {
        match self {
            Self::Sqlite { turn, .. } => {
                turn.fetch_add(1, Ordering::SeqCst);
            }
            Self::Postgres { staying, .. } => staying.drain(..).for_each(|staying| staying.abort()),
        }
    }
}

/// Holds what a statement takes, until it is another's turn.
fn held(file: PathBuf, statement: &'static str, long: Duration, turn: Arc<AtomicU64>) {
    let mine = turn.load(Ordering::SeqCst);
    thread::spawn(move || {
        let Ok(connection) = Connection::open(file) else { return };
        let _ = connection.busy_timeout(Duration::from_secs(2));
        if connection.execute_batch(statement).is_err() {
            return;
        }
        for _ in 0..long.as_millis() / 10 {
            if turn.load(Ordering::SeqCst) != mine {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = connection.execute_batch("ROLLBACK");
    });
}
