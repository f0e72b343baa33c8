use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::{Stop, eval, input};
use crate::cli::Exit;
use crate::cli::arguments::{Decided, Plain};
use crate::cli::report::{DIM, ERROR};
use crate::policy::{PolicyBundle, PolicyLimits, Prepared, explained, value};

pub(super) fn run(
    policies: &Path,
    bundle: &PolicyBundle,
    options: &Decided,
    out: &mut impl Write,
) -> Result<Exit, Stop> {
    let (operation, input) = input(options)?;
    let rules = explained(bundle, operation, &input)?;
    let decision = Prepared::new(bundle, PolicyLimits::default())?.decide(operation, Ok(value(&input)));
    match options.format {
        Plain::Json => writeln!(out, "{:#}", json!({ "decision": decision, "rules": rules }))?,
        Plain::Human => {
            eval::told(&decision, out)?;
            writeln!(out, "\nby {}", decision.bundle)?;
            for rule in &rules {
                let place = format!("{}:{}", policies.join(&rule.file).display(), rule.line);
                match (&rule.says, &rule.error) {
                    (_, Some(error)) => writeln!(
                        out,
                        "  {ERROR}{} at {place} cannot be evaluated:{ERROR:#} {error}",
                        rule.rule
                    )?,
                    (Some(said), None) => writeln!(out, "  {} at {place} says {said}", rule.rule)?,
                    (None, None) => writeln!(out, "  {DIM}{} at {place} does not apply{DIM:#}", rule.rule)?,
                }
            }
        }
    }
    Ok(eval::exit(&decision))
}
