use std::error::Error;
use std::path::PathBuf;

use nexus_core::ShapeLock;

use super::files::Read;
use crate::cli::Failure;
use crate::cli::arguments::Registry;
use crate::cli::finding::Finding;
use crate::cli::place::Place;
use crate::locked::LockProblem;
use crate::pointer::Pointer;

/// The lock file.
#[derive(Debug)]
pub(super) enum Lock {
    Absent,
    Broken(Finding),
    Read { lock: ShapeLock, text: String },
}

impl Lock {
    pub(super) fn of(registry: &Registry) -> Result<Self, Failure> {
        let Some(text) = registry.lock_text()? else { return Ok(Self::Absent) };
        Ok(match ShapeLock::from_json(&text) {
            Ok(lock) => Self::Read { lock, text },
            Err(error) => {
                let cause = error.source().and_then(|cause| cause.downcast_ref::<serde_json::Error>());
                let place = cause.map_or(Place::START, |cause| Place::of_error(&text, cause));
                let message = cause.map_or(error.to_string(), |cause| format!("{error}: {cause}"));
                let (path, remedy) = (registry.lock_path(), "mend the file, or restore it");
                Self::Broken(Finding::at(&path, place, "no-lock-file", message, remedy))
            }
        })
    }

    /// What it says, where it can be read.
    pub(super) fn shapes(&self) -> Option<&ShapeLock> {
        match self {
            Self::Read { lock, .. } => Some(lock),
            Self::Absent | Self::Broken(_) => None,
        }
    }

    /// Where it does not go together with the schemas.
    pub(super) fn problems(&self, registry: &Registry, read: &Read) -> Vec<Finding> {
        let Self::Read { lock, text } = self else { return Vec::new() };
        let problems = read.schemas.compared_with(lock).into_iter().filter(|problem| {
            // A file that is no schema is told of as that, and not as a schema that is missing.
            let is_absent = matches!(problem, LockProblem::Unregistered { .. } | LockProblem::Missing { .. });
            read.faults.is_empty() || !is_absent
        });
        problems.map(|problem| finding(&problem, registry, read, text)).collect()
    }
}

fn finding(problem: &LockProblem, registry: &Registry, read: &Read, lock: &str) -> Finding {
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
    if let Some(id) = problem.schema() {
        let finding = finding(registry.schemas.file_of(id)).about(id);
        let finding = finding.pointing(read.text(id), problem.pointer());
        return if matches!(problem, LockProblem::Undecided { .. }) { finding.only_noted() } else { finding };
    }
    let root = Pointer::default();
    let pointer = match problem {
        LockProblem::Unregistered { kind, name, version, .. } => {
            root.join(&format!("{kind}s")).join(name).join(&version.to_string())
        }
        LockProblem::Missing { schema } => root.join("schemas").join(schema),
        _ => root,
    };
    finding(registry.lock_path()).pointing(lock, pointer.as_str())
}
