use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::place::{self, Place};
use crate::architecture::{Fault, Violation};
use crate::policy::PolicyFault;

/// Something that is to be said about a file.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// A name that does not change, for programs.
    pub(super) rule: Cow<'static, str>,
    /// The schema it is about, such as `event/OrderPlaced/1.0.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<String>,
    pub(super) file: PathBuf,
    pub(super) line: usize,
    pub(super) column: usize,
    /// Where in the file's JSON.
    pub(super) pointer: String,
    pub(super) message: String,
    pub(super) remedy: String,
    /// A document that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) witness: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// It has to be mended.
    Error,
    /// It is good to know.
    Note,
}

impl Finding {
    pub(super) fn at(
        file: &Path,
        place: Place,
        rule: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Error,
            rule: rule.into(),
            schema: None,
            file: file.to_owned(),
            line: place.line,
            column: place.column,
            pointer: String::new(),
            message: message.into(),
            remedy: remedy.into(),
            witness: None,
        }
    }

    /// What the architecture is found wanting in.
    pub(super) fn of_violation(violation: Violation) -> Self {
        let Violation { at, rule, message, remedy } = violation;
        let place = Place { line: at.line, column: at.column };
        Self::at(Path::new(&at.file), place, rule, message, remedy)
    }

    /// What could not be read.
    pub(super) fn of_fault(fault: Fault) -> Self {
        let Fault { at, rule, message, remedy } = fault;
        Self::at(Path::new(&at.file), Place { line: at.line, column: at.column }, rule, message, remedy)
    }

    /// What is wrong with a policy of a directory.
    pub(super) fn of_policy(directory: &Path, fault: PolicyFault) -> Self {
        let PolicyFault { file, line, column, message } = fault;
        Self::at(&directory.join(file), Place { line, column }, "invalid-policy", message, "mend the policy")
    }

    /// Where the pointer leads in the text of the file.
    pub(super) fn pointing(self, text: &str, pointer: &str) -> Self {
        let Place { line, column } = place::of_pointer(text, pointer);
        Self { line, column, pointer: pointer.to_owned(), ..self }
    }

    pub(super) fn about(self, schema: impl ToString) -> Self {
        Self { schema: Some(schema.to_string()), ..self }
    }

    pub(super) fn shown_by(self, witness: Option<Value>) -> Self {
        Self { witness, ..self }
    }

    /// What it says, and of which schema.
    pub(super) fn headline(&self) -> String {
        let about = self.schema.as_ref().map(|schema| format!("{schema}: ")).unwrap_or_default();
        format!("{about}{}", self.message)
    }

    pub(super) fn only_noted(self) -> Self {
        Self { level: Level::Note, ..self }
    }
}
