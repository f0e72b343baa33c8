use std::io::Write;

use super::{Stop, input};
use crate::cli::Exit;
use crate::cli::arguments::{Decided, Plain};
use crate::cli::report::{ERROR, FINE};
use crate::policy::{Decision, PolicyBundle, PolicyLimits, Prepared, value};

pub(super) fn run(bundle: &PolicyBundle, options: &Decided, out: &mut impl Write) -> Result<Exit, Stop> {
    let (operation, input) = input(options)?;
    let decision = Prepared::new(bundle, PolicyLimits::default())?.decide(operation, Ok(value(&input)));
    match options.format {
        Plain::Json => writeln!(out, "{:#}", serde_json::to_value(&decision).unwrap_or_default())?,
        Plain::Human => told(&decision, out)?,
    }
    Ok(exit(&decision))
}

pub(super) fn exit(decision: &Decision) -> Exit {
    if decision.is_allowed() { Exit::Fine } else { Exit::Found }
}

pub(super) fn told(decision: &Decision, out: &mut impl Write) -> std::io::Result<()> {
    if decision.is_allowed() {
        writeln!(out, "{FINE}allowed{FINE:#}")?;
    } else {
        writeln!(out, "{ERROR}denied{ERROR:#}")?;
    }
    for denial in &decision.denials {
        writeln!(out, "  {}", denial.message)?;
        if let Some(remedy) = &denial.remedy {
            writeln!(out, "    to mend it: {remedy}")?;
        }
    }
    for (name, value) in &decision.obligations {
        writeln!(out, "  {name}: {value}")?;
    }
    Ok(())
}
