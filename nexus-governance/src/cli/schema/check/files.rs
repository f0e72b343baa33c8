use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cause::with_cause;
use crate::cli::Failure;
use crate::cli::finding::Finding;
use crate::cli::home::Home;
use crate::cli::place::Place;
use crate::folder::FoundFile;
use crate::governed::parsed;
use crate::registry::{SchemaDirectory, SchemaSet};
use crate::schema::{InvalidSchemaDocument, Schema, SchemaId};

/// What is in a registry, with the texts that findings point into.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) schemas: SchemaSet,
    texts: BTreeMap<SchemaId, String>,
    /// What holds no schema, or one that was altered.
    pub(super) faults: Vec<Finding>,
}

impl Read {
    pub(super) fn of(home: &Home) -> Result<Self, Failure> {
        match home.directory()? {
            Some(directory) => Self::of_directory(&directory),
            None => {
                let schemas = home.loaded()?;
                // As `show` shows them.
                let texts = schemas.iter().map(|schema| (schema.id().clone(), schema.to_text())).collect();
                Ok(Self { schemas, texts, faults: Vec::new() })
            }
        }
    }

    fn of_directory(directory: &SchemaDirectory) -> Result<Self, Failure> {
        let files = directory.files().map_err(|error| {
            Failure::Told(format!("{} cannot be read: {error}", directory.path().display()))
        })?;
        let mut read = Self::default();
        for FoundFile { path, bytes } in files {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            match schema_of(&path, &bytes) {
                Ok(schema) => {
                    read.texts.insert(schema.id().clone(), text);
                    read.schemas.insert(schema);
                }
                Err(fault) => read.faults.push(fault.finding(directory.path().join(&path), &text)),
            }
        }
        Ok(read)
    }

    /// The text of a schema.
    pub(super) fn text(&self, id: &SchemaId) -> &str {
        self.texts.get(id).map_or("", String::as_str)
    }
}

/// Why a file is no registered schema.
pub(super) enum Fault {
    Json(serde_json::Error),
    Document(InvalidSchemaDocument),
    Misplaced(SchemaId),
}

pub(super) fn schema_of(path: &str, bytes: &[u8]) -> Result<Schema, Fault> {
    let document = parsed(bytes).map_err(Fault::Json)?;
    let schema = Schema::from_document(document).map_err(Fault::Document)?;
    if SchemaDirectory::place(schema.id()) == path {
        Ok(schema)
    } else {
        Err(Fault::Misplaced(schema.id().clone()))
    }
}

impl Fault {
    fn finding(self, file: PathBuf, text: &str) -> Finding {
        match self {
            Self::Json(error) => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                let place = Place::of_error(text, &error);
                Finding::at(&file, place, "no-json", format!("it is no JSON: {message}"), "mend the file")
            }
            Self::Document(InvalidSchemaDocument::Altered { id, written, found }) => {
                let message = format!(
                    "it was altered after it had been released: its digest is {found}, and not {written}"
                );
                let remedy = "undo the change, and write it as a new version";
                let finding = Finding::at(&file, Place::START, "released-schema-altered", message, remedy);
                finding.about(id).pointing(text, "/x-nexus/digest")
            }
            Self::Document(error) => {
                let remedy =
                    "register it with `nexus-governance schema register`, or move the file elsewhere";
                let message = with_cause(&error);
                let finding = Finding::at(&file, Place::START, "no-registered-schema", message, remedy);
                finding.pointing(text, error.pointer())
            }
            Self::Misplaced(id) => {
                let (message, place) = (format!("by its content it is {id}"), SchemaDirectory::place(&id));
                let finding =
                    Finding::at(&file, Place::START, "misplaced", message, format!("move it to {place}"));
                finding.pointing(text, "/x-nexus")
            }
        }
    }
}
