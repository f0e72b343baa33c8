use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::judgement::Violation;
use super::place::{At, Fault};

/// What is let pass, each with its reason, as a file has it.
///
/// ```json
/// [{
///   "rule": "event-records",
///   "file": "src/anonymise.rs",
///   "line": "DELETE FROM events",
///   "reason": "test data of 2019, by decision of the board of 2026-03-02"
/// }]
/// ```
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    path: PathBuf,
    text: String,
    listed: Vec<Exception>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exception {
    rule: String,
    /// As seen from the folder of the file with the exceptions.
    file: String,
    /// A part of the line that is let pass; of a file without, all lines.
    line: Option<String>,
    reason: String,
}

/// A violation that is let pass.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Excepted {
    #[serde(flatten)]
    pub(crate) violation: Violation,
    pub(crate) reason: String,
}

/// What exceptions come to.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) standing: Vec<Violation>,
    pub(crate) excepted: Vec<Excepted>,
    pub(crate) wrong: Vec<Wrong>,
}

/// What is wrong with an exception.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// Its place in the list.
    pub(crate) index: usize,
    pub(crate) rule: &'static str,
    pub(crate) message: String,
}

impl Exceptions {
    /// Those in a file; none where there is no file that has to be there.
    pub(crate) fn read(path: &Path, is_asked_for: bool) -> Result<Self, Fault> {
        let file = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_asked_for => {
                return Ok(Self::default());
            }
            Err(error) => {
                let message = format!("{file} cannot be read: {error}");
                return Err(Fault::new(At::start(&file), "invalid-exceptions", message, "mend the file"));
            }
        };
        let listed = serde_json::from_str(&text).map_err(|error| {
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            let remedy = "write [{ \"rule\": \"…\", \"file\": \"…\", \"line\": \"part of the line\", \"reason\": \"…\" }]";
            let (line, bytes) = (error.line().max(1), error.column().max(1));
            let before = text.lines().nth(line - 1).and_then(|line| line.get(..bytes - 1));
            let column = before.map_or(bytes, |before| before.chars().count() + 1);
            let at = At { file: file.clone(), line, column };
            Fault::new(at, "invalid-exceptions", message, remedy)
        })?;
        Ok(Self { path: path.to_owned(), text, listed })
    }

    /// The text of the file.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Parts violations into those that stand and those that are let pass, and tells what is wrong with exceptions.
    /// Where not all is known that could be against a rule, none is told to be of no use.
    pub(crate) fn applied(&self, violations: Vec<Violation>, is_all_known: bool) -> Applied {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let (mut standing, mut excepted) = (Vec::new(), Vec::new());
        let mut used = vec![false; self.listed.len()];
        let mut texts = BTreeMap::new();
        for violation in violations {
            let text: &String = texts
                .entry(violation.at.file.clone())
                .or_insert_with(|| std::fs::read_to_string(&violation.at.file).unwrap_or_default());
            let line = text.lines().nth(violation.at.line.saturating_sub(1)).unwrap_or_default();
            let found = self.listed.iter().position(|exception| {
                let is_there = same(&folder.join(&exception.file), Path::new(&violation.at.file));
                exception.rule == violation.rule
                    && is_there
                    && exception.line.as_ref().is_none_or(|part| line.contains(part.as_str()))
            });
            match found {
                Some(index) => {
                    used[index] = true;
                    excepted.push(Excepted { violation, reason: self.listed[index].reason.clone() });
                }
                None => standing.push(violation),
            }
        }
        let wrong = self.listed.iter().zip(used).enumerate().filter_map(|(index, (exception, is_used))| {
            let Exception { rule, file, reason, .. } = exception;
            let (kind, message) = if reason.trim().is_empty() {
                ("exception-without-reason", "an exception has no reason".to_owned())
            } else if !is_used && is_all_known {
                ("unused-exception", format!("nothing in {file} is against {rule} any more"))
            } else {
                return None;
            };
            Some(Wrong { index, rule: kind, message })
        });
        let wrong = wrong.collect();
        Applied { standing, excepted, wrong }
    }
}

/// Whether two paths lead to the same file.
fn same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
