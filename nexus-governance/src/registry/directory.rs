use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{RegistryError, RegistryRevision, SchemaRegistry, SchemaSet, SchemaSnapshot};
use crate::folder::{self, FoundFile, Unreadable};
use crate::schema::{Schema, SchemaId};

/// A registry in a directory of JSON files, which are reviewed and merged like code.
///
/// `event/OrderPlaced/1.0.0.json` holds version 1.0.0 of the schema of the event `OrderPlaced`, as [`Schema`] shows. Other files,
/// and what starts with a dot, are passed over; a JSON file in another place than its content says is an error. A directory that
/// does not exist is empty.
#[derive(Clone, Debug)]
pub struct SchemaDirectory {
    path: PathBuf,
}

impl SchemaDirectory {
    /// The registry in this directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file beside the directory, whatever way the directory is written.
    pub(crate) fn beside(&self, file: &str) -> PathBuf {
        // What ends in `.` or `..` does not say what it is in.
        let is_plain = self.path.file_name().is_some();
        let whole = if is_plain { Ok(self.path.clone()) } else { fs::canonicalize(&self.path) };
        let whole = whole.unwrap_or_else(|_| self.path.clone());
        whole.parent().map_or_else(|| PathBuf::from(file), |folder| folder.join(file))
    }

    /// Where a schema is, within the directory.
    pub(crate) fn place(id: &SchemaId) -> String {
        format!("{id}.json")
    }

    /// All JSON files, by path.
    pub(crate) fn files(&self) -> io::Result<Vec<FoundFile>> {
        match folder::files(&self.path, &[".json"]) {
            Ok(files) => Ok(files),
            Err(Unreadable { path, source }) if path == self.path => match source.kind() {
                ErrorKind::NotFound => Ok(Vec::new()),
                _ => Err(source),
            },
            Err(Unreadable { path, source }) => {
                let path = path.strip_prefix(&self.path).unwrap_or(&path).display();
                Err(io::Error::new(source.kind(), format!("{path}: {source}")))
            }
        }
    }

    pub(crate) fn load_now(&self) -> Result<SchemaSnapshot, RegistryError> {
        let files = self.files().map_err(|error| self.unavailable("read", error))?;
        let mut digest = Sha256::new();
        let mut schemas = SchemaSet::default();
        for file in files {
            for part in [file.path.as_bytes(), &file.bytes] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
            let corrupt = |source| RegistryError::Corrupt {
                place: self.path.join(&file.path).display().to_string(),
                source,
            };
            let document: Value =
                serde_json::from_slice(&file.bytes).map_err(|error| corrupt(error.into()))?;
            let schema = Schema::from_document(document).map_err(|error| corrupt(error.into()))?;
            let place = Self::place(schema.id());
            if place != file.path {
                return Err(corrupt(format!("by its content it belongs to {place}").into()));
            }
            schemas.insert(schema);
        }
        let revision = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Ok(SchemaSnapshot { schemas, revision: RegistryRevision::new(revision) })
    }

    pub(crate) fn add_now(&self, schema: &Schema, after: &RegistryRevision) -> Result<(), RegistryError> {
        let failed = |error| self.unavailable("write to", error);
        if !schema.is_released() {
            return Err(RegistryError::Draft { id: schema.id().clone() });
        }
        fs::create_dir_all(&self.path).map_err(failed)?;
        // Held until it is closed, also by the death of the process.
        let lock = self.lockable().map_err(failed)?;
        lock.lock().map_err(failed)?;
        let SchemaSnapshot { schemas, revision } = self.load_now()?;
        if revision != *after || schemas.get(schema.id()).is_some_and(Schema::is_released) {
            return Err(RegistryError::Conflict);
        }
        self.write(schema).map_err(failed)
    }

    /// What one process at a time adds under: the directory itself, so that nothing is left behind.
    #[cfg(unix)]
    fn lockable(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    /// What one process at a time adds under: a directory cannot be opened here.
    #[cfg(not(unix))]
    fn lockable(&self) -> io::Result<File> {
        File::create(self.path.join(".lock"))
    }

    /// Whole, or not at all.
    fn write(&self, schema: &Schema) -> io::Result<()> {
        let path = self.path.join(Self::place(schema.id()));
        let folder = path.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        let unfinished = folder.join(format!(".{}.unfinished", schema.id().version));
        let mut file = File::create(&unfinished)?;
        file.write_all(schema.to_text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        // So that the name lasts, too.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    }

    fn unavailable(&self, what: &str, error: io::Error) -> RegistryError {
        let attempted = format!("{what} {}", self.path.display());
        RegistryError::Unavailable { attempted, source: error.into() }
    }
}

#[async_trait]
impl SchemaRegistry for SchemaDirectory {
    async fn load(&self) -> Result<SchemaSnapshot, RegistryError> {
        let directory = self.clone();
        in_background(move || directory.load_now()).await
    }

    async fn add(&self, schema: &Schema, after: &RegistryRevision) -> Result<(), RegistryError> {
        let (directory, schema, after) = (self.clone(), schema.clone(), after.clone());
        in_background(move || directory.add_now(&schema, &after)).await
    }
}

/// Files block.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        let attempted = "read and write files".to_owned();
        Err(RegistryError::Unavailable { attempted, source: error.into() })
    })
}
