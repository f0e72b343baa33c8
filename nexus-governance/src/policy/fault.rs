use std::fmt;
use std::path::PathBuf;

use nexus_core::BoxError;

use crate::pointed::pointed;

/// What is wrong with a policy or with data, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyFault {
    /// The file, by its path within the bundle.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message } = self;
        write!(f, "{file}:{line}:{column}: {message}")
    }
}

impl PolicyFault {
    pub(crate) fn new(file: &str, (line, column): (usize, usize), message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: line.max(1), column: column.max(1), message: message.into() }
    }

    /// What the engine says; it shows a place as `--> file:line:column`, and the message behind `error:`.
    pub(crate) fn of_engine(error: &dyn fmt::Display, otherwise: &str) -> Self {
        let text = error.to_string();
        let message = text.rsplit_once("error: ").map_or(text.as_str(), |(_, message)| message).trim();
        match pointed(&text) {
            Some((file, line, column)) => Self::new(file, (line, column), message),
            None => Self::new(otherwise, (1, 1), message),
        }
    }
}

/// Why policies cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A file or directory cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: BoxError,
    },
    /// Something is wrong with them.
    #[error("{}", told(faults))]
    Invalid {
        /// What; there is at least one.
        faults: Vec<PolicyFault>,
    },
}

fn told(faults: &[PolicyFault]) -> String {
    let all: Vec<String> = faults.iter().map(ToString::to_string).collect();
    all.join("; ")
}

impl From<PolicyFault> for BundleError {
    fn from(fault: PolicyFault) -> Self {
        Self::Invalid { faults: vec![fault] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_says_is_taken_apart() {
        let said = "\n--> a/b.rego:13:10\n   |\n13 | some role\n   |      ^\nerror: var `role` used before definition below";
        let fault = PolicyFault::of_engine(&said, "otherwise");
        assert_eq!(fault.to_string(), "a/b.rego:13:10: var `role` used before definition below");
        assert_eq!(PolicyFault::of_engine(&"out of luck", "c.rego").to_string(), "c.rego:1:1: out of luck");
    }
}
