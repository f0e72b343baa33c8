use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::cause::with_cause;
use crate::registry::{RegistryError, SchemaDirectory, SchemaRegistry, SchemaSet};
use crate::schema::SchemaId;

/// Where a registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Directory(PathBuf),
    Glue(String),
}

/// How a registry of AWS Glue is named.
const GLUE: &str = "glue:";

impl From<&str> for Home {
    fn from(text: &str) -> Self {
        match text.strip_prefix(GLUE) {
            Some(name) => Self::Glue(name.to_owned()),
            None => Self::Directory(text.into()),
        }
    }
}

impl fmt::Display for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Glue(name) => write!(f, "{GLUE}{name}"),
        }
    }
}

impl Home {
    /// Whether this names no file, but a schema in a registry of AWS Glue.
    pub(super) fn is_in_glue(file: &Path) -> bool {
        file.to_string_lossy().starts_with(GLUE)
    }

    /// The file of a schema; in Glue, what is said in its place.
    pub(super) fn file_of(&self, id: &SchemaId) -> PathBuf {
        PathBuf::from(self.to_string()).join(SchemaDirectory::place(id))
    }

    /// The schema that a file is for, by its place.
    pub(super) fn id_of(&self, file: &Path) -> Option<SchemaId> {
        let place = file.strip_prefix(self.to_string()).ok()?;
        let place = place.to_str()?.replace('\\', "/");
        place.strip_suffix(".json")?.parse().ok()
    }

    /// A file beside a directory; otherwise one that is here.
    pub(super) fn beside(&self, file: &str) -> PathBuf {
        match self {
            Self::Directory(path) => SchemaDirectory::new(path).beside(file),
            Self::Glue(_) => file.into(),
        }
    }

    /// Whether there is a registry; one in a directory is made by its first schema.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::Directory(path) => path.is_dir(),
            Self::Glue(_) => true,
        }
    }

    /// The directory, which has to be there; `None` if it is none.
    pub(super) fn directory(&self) -> Result<Option<SchemaDirectory>, Failure> {
        match self {
            Self::Directory(path) if path.is_dir() => Ok(Some(SchemaDirectory::new(path))),
            Self::Directory(path) => Err(Failure::Told(format!(
                "{} is no directory: name that of the registry with --schemas",
                path.display()
            ))),
            Self::Glue(_) => Ok(None),
        }
    }

    /// Does something with the registry.
    pub(super) fn with<T, F: Future<Output = T>>(
        &self,
        act: impl FnOnce(Box<dyn SchemaRegistry>) -> F,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|error| Failure::Told(format!("the command cannot wait for answers: {error}")))?;
        runtime.block_on(async {
            let registry: Box<dyn SchemaRegistry> = match self {
                Self::Directory(path) => Box::new(SchemaDirectory::new(path)),
                Self::Glue(name) => glue(name).await?,
            };
            Ok(act(registry).await)
        })
    }

    /// What is there, if all of it can be read.
    pub(super) fn loaded(&self) -> Result<SchemaSet, Failure> {
        let tells_more = match self.directory()? {
            Some(_) => "; `nexus-governance schema check` tells more",
            None => "",
        };
        let loaded = self.with(|registry| async move { registry.load().await })?;
        let failed = |error: RegistryError| Failure::Told(format!("{}{tells_more}", with_cause(&error)));
        Ok(loaded.map_err(failed)?.schemas)
    }
}

#[cfg(feature = "glue")]
async fn glue(name: &str) -> Result<Box<dyn SchemaRegistry>, Failure> {
    Ok(Box::new(crate::registry::SchemasInGlue::from_environment(name).await))
}

#[cfg(not(feature = "glue"))]
async fn glue(name: &str) -> Result<Box<dyn SchemaRegistry>, Failure> {
    Err(Failure::Told(format!(
        "{GLUE}{name} is in AWS Glue, which this program was built without: build it with `--features cli,glue`"
    )))
}
