use super::files::{Read, schema_of};
use crate::cli::finding::Finding;
use crate::cli::home::Home;
use crate::cli::place::Place;
use crate::cli::{Failure, against};
use crate::registry::SchemaSet;

/// What was registered in a git revision, or is in another registry; what was broken there is none of ours.
pub(super) fn of(home: &Home, against: &str) -> Result<SchemaSet, Failure> {
    let other = Home::from(against);
    if let Home::Glue(_) = other {
        return other.loaded();
    }
    let Home::Directory(path) = home else {
        return Err(Failure::Told(format!(
            "{home} is in no git repository: --against takes another registry of AWS Glue, such as \"glue:orders\""
        )));
    };
    let files = against::files(path, against)?;
    Ok(files.iter().filter_map(|(path, text)| schema_of(path, text.as_bytes()).ok()).collect())
}

/// What was released before and is not as it was.
pub(super) fn changes(base: &SchemaSet, home: &Home, read: &Read) -> Vec<Finding> {
    let changes = base.released().filter_map(|before| {
        let id = before.id();
        let file = home.file_of(id);
        let finding = |rule, message: String, remedy: &str| {
            Finding::at(&file, Place::START, rule, message, remedy).about(id)
        };
        match read.schemas.get(id) {
            Some(now) if now.digest() == before.digest() => None,
            Some(_) => {
                let message = "it was released with another content".to_owned();
                let remedy = "undo the change, and write it as a new version";
                let finding = finding("released-schema-altered", message, remedy);
                Some(finding.pointing(read.text(id), "/x-nexus/digest"))
            }
            // Told already, where its file is broken.
            None if read.faults.iter().any(|fault| fault.file == file) => None,
            None => {
                let message = format!("{id} was released, and is gone");
                let remedy = "restore the file: events of that schema are stored";
                Some(finding("released-schema-missing", message, remedy))
            }
        }
    });
    changes.collect()
}
