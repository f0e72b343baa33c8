use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use nexus_core::ShapeLock;

use super::arguments::{Check, Registry};
use super::finding::{Finding, Level};
use super::place::Place;
use super::{Exit, Failure, against, report};
use crate::cause::with_cause;
use crate::governed::parsed;
use crate::locked::LockProblem;
use crate::pointer::Pointer;
use crate::registry::{Objection, SchemaDirectory, SchemaFile, SchemaSet};
use crate::schema::{InvalidSchemaDocument, Schema, SchemaId};

/// What came of a check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) schemas: usize,
    pub(super) released: usize,
    pub(super) compared: usize,
    /// Files that hold no schema, or one that was altered.
    pub(super) unreadable: usize,
    /// There is a lock file, and it cannot be read.
    is_lock_broken: bool,
    pub(super) findings: Vec<Finding>,
}

impl Checked {
    pub(super) fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

pub(super) fn run(registry: &Registry, options: &Check, out: &mut impl Write) -> Result<Exit, Failure> {
    let directory = registry.existing()?;
    let base = options.against.as_deref().map(|revision| base(&directory, revision)).transpose()?;
    let mut checked = Checked::default();
    let (schemas, texts) = read(&directory, &mut checked)?;
    (checked.schemas, checked.released) = (schemas.len(), schemas.released().count());
    let lock = checked_lock(registry, &mut checked)?;
    for schema in schemas.iter() {
        let is_old = base.as_ref().is_some_and(|base| base.get(schema.id()) == Some(schema));
        if !is_old {
            judge(&schemas, schema, lock.as_ref(), &texts, &directory, &mut checked);
        }
    }
    if let Some(base) = &base {
        compare_with_base(base, &schemas, &texts, &directory, &mut checked);
    }
    for problem in lock.iter().flat_map(|lock| schemas.compared_with(lock)) {
        // A file that is no schema is told of as that, and not as a schema that is missing; and what is told of once is enough.
        let is_absent = matches!(problem, LockProblem::Unregistered { .. } | LockProblem::Missing { .. });
        let finding = lock_finding(&problem, registry, &directory, &texts);
        let is_told = |told: &Finding| {
            told.schema == finding.schema && (told.rule == finding.rule || told.rule == "invalid-schema")
        };
        let is_told = finding.schema.is_some() && checked.findings.iter().any(is_told);
        let is_explained = is_absent && checked.unreadable > 0;
        if !(is_told || is_explained) {
            checked.findings.push(finding);
        }
    }
    report::write(&checked, options.format, out)?;
    Ok(if checked.count(Level::Error) > 0 { Exit::Found } else { Exit::Fine })
}

/// Texts of files, by what they hold.
type Texts = BTreeMap<SchemaId, String>;

fn read(directory: &SchemaDirectory, checked: &mut Checked) -> Result<(SchemaSet, Texts), Failure> {
    let path = directory.path();
    let files = directory
        .files()
        .map_err(|error| Failure::Told(format!("{} cannot be read: {error}", path.display())))?;
    let (mut schemas, mut texts) = (Vec::new(), Texts::new());
    for SchemaFile { path, text } in files {
        let file = directory.path().join(&path);
        match schema_of(&path, &text) {
            Ok(schema) => {
                texts.insert(schema.id().clone(), text);
                schemas.push(schema);
            }
            Err(fault) => {
                checked.unreadable += 1;
                checked.findings.push(fault.finding(file, &text));
            }
        }
    }
    Ok((schemas.into_iter().collect(), texts))
}

/// Why a file is no registered schema.
enum Fault {
    Json(serde_json::Error),
    Document(InvalidSchemaDocument),
    Misplaced(SchemaId),
}

fn schema_of(path: &str, text: &str) -> Result<Schema, Fault> {
    let document = parsed(text.as_bytes()).map_err(Fault::Json)?;
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
                let place = Place { line: error.line().max(1), column: error.column().max(1) };
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
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

fn judge(
    schemas: &SchemaSet,
    schema: &Schema,
    lock: Option<&ShapeLock>,
    texts: &Texts,
    directory: &SchemaDirectory,
    checked: &mut Checked,
) {
    let id = schema.id();
    let judgement = schemas.judge(schema, lock);
    checked.compared += judgement.compared.len();
    let file = directory.path().join(SchemaDirectory::place(id));
    for objection in judgement.objections {
        if checked.is_lock_broken && matches!(objection, Objection::NoUpcaster { .. }) {
            continue;
        }
        let witness = match &objection {
            Objection::Incompatible { witness, .. } => Some(witness.document.clone()),
            _ => None,
        };
        let (rule, message, remedy) = (objection.rule(), objection.to_string(), objection.remedy());
        let finding = Finding::at(&file, Place::START, rule, message, remedy).about(id).shown_by(witness);
        checked.findings.push(finding.pointing(&texts[id], objection.pointer()));
    }
}

fn checked_lock(registry: &Registry, checked: &mut Checked) -> Result<Option<ShapeLock>, Failure> {
    let Some(text) = registry.lock_text()? else { return Ok(None) };
    match ShapeLock::from_json(&text) {
        Ok(lock) => Ok(Some(lock)),
        Err(error) => {
            let cause =
                std::error::Error::source(&error).and_then(|cause| cause.downcast_ref::<serde_json::Error>());
            let place = cause.map_or(Place::START, |cause| Place {
                line: cause.line().max(1),
                column: cause.column().max(1),
            });
            let message = cause.map_or(error.to_string(), |cause| format!("{error}: {cause}"));
            let path = registry.lock_path();
            checked.is_lock_broken = true;
            checked.findings.push(Finding::at(
                &path,
                place,
                "no-lock-file",
                message,
                "mend the file, or restore it",
            ));
            Ok(None)
        }
    }
}

fn lock_finding(
    problem: &LockProblem,
    registry: &Registry,
    directory: &SchemaDirectory,
    texts: &Texts,
) -> Finding {
    let witness = match problem {
        LockProblem::Unread { witness, .. } | LockProblem::Unfit { witness, .. } => {
            Some(witness.document.clone())
        }
        _ => None,
    };
    let finding = |file: PathBuf| {
        Finding::at(&file, Place::START, problem.rule(), problem.to_string(), problem.remedy())
            .shown_by(witness)
    };
    match problem.schema() {
        Some(id) => {
            let file = directory.path().join(SchemaDirectory::place(id));
            let finding = finding(file).about(id).pointing(&texts[id], problem.pointer());
            if matches!(problem, LockProblem::Undecided { .. }) { finding.only_noted() } else { finding }
        }
        None => {
            let text = registry.lock_text().ok().flatten().unwrap_or_default();
            let root = Pointer::default();
            let pointer = match problem {
                LockProblem::Unregistered { kind, name, version, .. } => {
                    root.join(&format!("{kind}s")).join(name).join(&version.to_string())
                }
                LockProblem::Missing { schema } => root.join("schemas").join(schema),
                _ => root,
            };
            finding(registry.lock_path()).pointing(&text, pointer.as_str())
        }
    }
}

/// What was registered in a revision; what was broken there is none of ours.
fn base(directory: &SchemaDirectory, revision: &str) -> Result<SchemaSet, Failure> {
    let files = against::files(directory.path(), revision)?;
    Ok(files.iter().filter_map(|(path, text)| schema_of(path, text).ok()).collect())
}

fn compare_with_base(
    base: &SchemaSet,
    schemas: &SchemaSet,
    texts: &Texts,
    directory: &SchemaDirectory,
    checked: &mut Checked,
) {
    for before in base.released() {
        let id = before.id();
        let file = directory.path().join(SchemaDirectory::place(id));
        let finding = |rule, message: String, remedy: &str| {
            Finding::at(&file, Place::START, rule, message, remedy).about(id)
        };
        match schemas.get(id) {
            Some(now) if now.digest() == before.digest() => {}
            Some(_) => {
                let message = "it was released with another content";
                let finding = finding(
                    "released-schema-altered",
                    message.into(),
                    "undo the change, and write it as a new version",
                );
                checked.findings.push(finding.pointing(&texts[id], "/x-nexus/digest"));
            }
            // Told already, where its file is broken.
            None if checked.findings.iter().any(|finding| finding.file == file) => {}
            None => {
                let message = format!("{id} was released, and is gone");
                checked.findings.push(finding(
                    "released-schema-missing",
                    message,
                    "restore the file: events of that schema are stored",
                ));
            }
        }
    }
}
