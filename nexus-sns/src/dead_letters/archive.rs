use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use async_trait::async_trait;
use nexus_core::{BoxError, Clock, SystemClock};
use serde_json::{Value, json};

use super::letter::DeadMessage;

/// Keeps dead letters that are skipped.
#[async_trait]
pub trait DeadLetterArchive: Send + Sync {
    /// Keeps it for good. Where this fails, the letter stays where it is; where the program dies right after, it is kept once more.
    ///
    /// # Errors
    /// It is not kept.
    async fn keep(&self, letter: &DeadMessage) -> Result<(), BoxError>;
}

/// Keeps dead letters in a file: a line of JSON for each, with `id`, `class`, `error`, `tries`, `failed_at`, `archived_at` and `body`.
#[derive(Clone, Debug)]
pub struct JsonLinesArchive {
    path: PathBuf,
}

impl JsonLinesArchive {
    /// Lines are added to this file, which is made where it is not there. Each is on the disk before its letter is deleted.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

#[async_trait]
impl DeadLetterArchive for JsonLinesArchive {
    async fn keep(&self, letter: &DeadMessage) -> Result<(), BoxError> {
        let body = serde_json::from_str(&letter.body).unwrap_or_else(|_| Value::from(letter.body.as_str()));
        let line = json!({
            "id": letter.id,
            "class": letter.class,
            "error": letter.error,
            "tries": letter.tries,
            "failed_at": letter.failed_at.map(|time| time.to_string()),
            "archived_at": SystemClock.now().to_string(),
            "body": body,
        });
        let (path, line) = (self.path.clone(), format!("{line}\n"));
        let kept = tokio::task::spawn_blocking(move || {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            file.write_all(line.as_bytes())?;
            file.sync_data()
        });
        Ok(kept.await??)
    }
}
