//! `nexus-governance policy`.

mod check;
mod eval;
mod explain;
mod init;
mod test;

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::arguments::{Decided, PolicyCommand};
use super::report::{DIM, ERROR};
use super::{Exit, Failure, document};
use crate::cause::with_cause;
use crate::policy::{BundleError, Operation, PolicyBundle};

pub(super) use check::checked;

pub(super) fn run(policies: &Path, command: &PolicyCommand, out: &mut impl Write) -> Result<Exit, Failure> {
    if let PolicyCommand::Init = command {
        return init::run(policies, out);
    }
    let done = PolicyBundle::from_directory(policies).map_err(Stop::Bundle).and_then(|bundle| {
        if bundle.is_empty() {
            let path = policies.display();
            let told = format!("there is no policy in {path}: a policy is a file that ends in .rego");
            return Err(Failure::Told(told).into());
        }
        match command {
            PolicyCommand::Init => Ok(Exit::Fine),
            PolicyCommand::Test(options) => test::run(policies, &bundle, options, out),
            PolicyCommand::Eval(options) => eval::run(&bundle, options, out),
            PolicyCommand::Explain(options) => explain::run(policies, &bundle, options, out),
        }
    });
    match done {
        Ok(exit) => Ok(exit),
        Err(Stop::Failure(failure)) => Err(failure),
        Err(Stop::Bundle(error)) => told(error, policies, out),
    }
}

/// Tells what is wrong with policies.
pub(super) fn told(error: BundleError, policies: &Path, out: &mut impl Write) -> Result<Exit, Failure> {
    let BundleError::Invalid { faults } = error else {
        let error = with_cause(&error);
        return Err(Failure::Told(format!("{error}: name the directory of policies with --policies")));
    };
    for fault in faults {
        writeln!(out, "{ERROR}error[invalid-policy]{ERROR:#}: {}", fault.message)?;
        let file = policies.join(&fault.file);
        writeln!(out, "  {DIM}-->{DIM:#} {}:{}:{}", file.display(), fault.line, fault.column)?;
    }
    Ok(Exit::Found)
}

/// Why it ended early.
enum Stop {
    Bundle(BundleError),
    Failure(Failure),
}

impl From<BundleError> for Stop {
    fn from(error: BundleError) -> Self {
        Self::Bundle(error)
    }
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

/// The input to decide about, and which operation it is.
fn input(options: &Decided) -> Result<(Operation, Value), Failure> {
    let file = options.input.display();
    let input = document::read(&options.input)?;
    let named = input.get("operation").and_then(Value::as_str);
    let operation = Operation::ALL.into_iter().find(|operation| Some(operation.as_str()) == named);
    let names = || Operation::ALL.map(Operation::as_str).join(", ");
    let operation = operation.ok_or_else(|| {
        Failure::Told(format!("{file} has no \"operation\" that there is: expected one of {}", names()))
    })?;
    Ok((operation, input))
}
