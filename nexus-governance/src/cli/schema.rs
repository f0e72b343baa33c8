//! `nexus-governance schema`.

mod check;
mod diff;
mod list;
mod register;
mod show;

use std::io::Write;

use super::arguments::{Registry, SchemaCommand};
use super::{Exit, Failure};

pub(super) use check::checked;

pub(super) fn run(
    registry: &Registry,
    command: &SchemaCommand,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    match command {
        SchemaCommand::Check(options) => check::run(registry, options, out),
        SchemaCommand::Register(options) => register::run(registry, options, out),
        SchemaCommand::Diff(options) => diff::run(registry, options, out),
        SchemaCommand::Show(options) => show::run(registry, options, out),
        SchemaCommand::List(options) => list::run(registry, options, out),
    }
}
