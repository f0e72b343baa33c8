use std::path::Path;

use proc_macro2::Span;
use serde::{Deserialize, Serialize};

/// A place in a file: line and column from 1, in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    /// As seen from the current directory.
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// What cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: At,
    /// A name that does not change, for programs.
    pub(crate) rule: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

impl At {
    pub(super) fn start(file: &str) -> Self {
        Self { file: file.to_owned(), line: 1, column: 1 }
    }

    pub(super) fn of_span(file: &str, span: Span) -> Self {
        let start = span.start();
        // What cannot be cut into tokens has no place that the parser knows: then it is that of the file.
        Self { file: file.to_owned(), line: start.line.max(1), column: start.column + 1 }
    }

    pub(super) fn of_byte(file: &str, text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Self { file: file.to_owned(), line, column }
    }
}

impl Fault {
    pub(super) fn new(
        at: At,
        rule: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { at, rule, message: message.into(), remedy: remedy.into() }
    }
}

/// Where the lines of a text start.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
        Self { text, starts: starts.collect() }
    }

    pub(super) fn at(&self, file: &str, byte: usize) -> At {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or_default();
        let column = self.text.get(start..byte).unwrap_or_default().chars().count() + 1;
        At { file: file.to_owned(), line, column }
    }
}

/// A path as seen from the current directory, with `/` between its parts.
pub(super) fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let seen = here.and_then(|here| pathdiff::diff_paths(path, here));
    seen.as_deref().unwrap_or(path).display().to_string().replace('\\', "/")
}
