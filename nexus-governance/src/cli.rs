//! The command `nexus-governance`.

mod against;
mod architecture;
mod arguments;
mod check;
mod document;
mod finding;
mod home;
mod place;
mod policy;
mod replay;
mod report;
mod repository;
mod sarif;
mod schema;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};

/// What the targets of `fuzz/` call.
pub mod fuzzing {
    use std::path::Path;

    use crate::architecture::fuzzing;

    /// What a manifest says of its crate.
    pub fn manifest(text: &str) {
        fuzzing::manifest(text);
    }

    /// A file of what is let pass.
    pub fn exceptions(path: &Path) {
        fuzzing::exceptions(path);
    }

    /// A file of Rust, and the files of SQL beside it.
    pub fn source(root: &Path) {
        fuzzing::source(root);
    }
}

/// What a program of this command answers its shell with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is well.
    Fine = 0,
    /// Something was found.
    Found = 1,
    /// It could not be done: 2 is what a wrong call ends with.
    Failed = 3,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Told(String),
    #[error("the answer could not be written")]
    Output(#[from] std::io::Error),
}

/// Runs the command with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    arguments.color.write_global();
    let mut out = anstream::stdout().lock();
    let done = match arguments.command {
        Command::Policy { policies, command } => policy::run(&policies, &command, &mut out),
        Command::Check(options) => check::run(&options, &mut out),
        Command::Architecture(options) => architecture::run(&options, &mut out),
        Command::Replay(options) => replay::run(&options, &mut out),
        Command::Schema { registry, command } => schema::run(&registry, &command, &mut out),
    };
    let done = done.and_then(|exit| Ok(out.flush().map(|()| exit)?));
    let exit = done.unwrap_or_else(|failure| {
        // A reader that has enough, such as `head`, is no failure.
        if !matches!(&failure, Failure::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe) {
            let _ = writeln!(anstream::stderr(), "error: {failure}");
        }
        Exit::Failed
    });
    ExitCode::from(exit as u8)
}
