use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use nexus_core::{BoxError, Clock, SystemClock};
use serde_json::json;

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

/// Keeps dead letters in a file: a line of JSON for each, with `id`, `class`, `error`, `tries`, `failed_at`, `archived_at` and `body`, which is the message as a text.
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
        let line = json!({
            "id": letter.id,
            "class": letter.class,
            "error": letter.error,
            "tries": letter.tries,
            "failed_at": letter.failed_at.map(|time| time.to_string()),
            "archived_at": SystemClock.now().to_string(),
            "body": letter.body,
        });
        let (path, line) = (self.path.clone(), format!("{line}\n"));
        let kept = tokio::task::spawn_blocking(move || add(&path, &line));
        Ok(kept.await??)
    }
}

/// Adds a line to a file, and has it on the disk.
fn add(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
    let length = file.metadata()?.len();
    if length > 0 {
        // Where a line was not finished, for want of room, the next one must not become part of it.
        file.seek(SeekFrom::Start(length - 1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    file.write_all(line.as_bytes())?;
    file.sync_data()?;
    if length == 0
        && let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty())
        && let Ok(directory) = File::open(directory)
    {
        // Its name, too. Not every system can open a directory.
        directory.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_not_finished_spoils_no_other() {
        let path = std::env::temp_dir().join(format!("nexus-archive-{}.jsonl", std::process::id()));
        std::fs::write(&path, "{\"half").unwrap();
        add(&path, "1\n").unwrap();
        add(&path, "2\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"half\n1\n2\n");
        std::fs::remove_file(path).unwrap();
    }
}
