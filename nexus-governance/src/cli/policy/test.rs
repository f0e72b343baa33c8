use std::io::Write;
use std::path::Path;

use super::Stop;
use crate::cli::Exit;
use crate::cli::arguments::{Plain, TestPolicies};
use crate::cli::report::{DIM, ERROR, FINE};
use crate::policy::{PolicyBundle, Tested, tested};

pub(super) fn run(
    policies: &Path,
    bundle: &PolicyBundle,
    options: &TestPolicies,
    out: &mut impl Write,
) -> Result<Exit, Stop> {
    let tested = tested(bundle)?;
    let failed = tested.tests.iter().filter(|test| test.failure.is_some()).count();
    let (covered, missed) = lines(&tested);
    let percent = (covered * 100).checked_div(covered + missed).unwrap_or(100);
    match options.format {
        Plain::Json => writeln!(out, "{:#}", serde_json::to_value(&tested).unwrap_or_default())?,
        Plain::Human => {
            for test in &tested.tests {
                if let Some(failure) = &test.failure {
                    writeln!(out, "{ERROR}error[policy-test]{ERROR:#}: {}: {failure}", test.name)?;
                    let file = policies.join(&test.file);
                    writeln!(out, "  {DIM}-->{DIM:#} {}:{}:{}", file.display(), test.line, test.column)?;
                }
            }
            for file in tested.coverage.iter().filter(|file| !file.missed.is_empty()) {
                let missed: Vec<String> = file.missed.iter().map(ToString::to_string).collect();
                let path = policies.join(&file.file);
                writeln!(
                    out,
                    "{DIM}{} is not covered in lines {}{DIM:#}",
                    path.display(),
                    missed.join(", ")
                )?;
            }
            let (style, count) = if failed == 0 { (FINE, tested.tests.len()) } else { (ERROR, failed) };
            let what = if failed == 0 { "passed" } else { "failed" };
            let of = if failed == 0 { String::new() } else { format!(" of {}", tested.tests.len()) };
            writeln!(out, "{style}{count}{of} {what}{style:#}, {percent} % of the lines covered")?;
        }
    }
    let is_covered = options.coverage.is_none_or(|least| percent >= least);
    if failed == 0 && is_covered {
        return Ok(Exit::Fine);
    }
    if let (0, Some(least), Plain::Human) = (failed, options.coverage, options.format) {
        writeln!(out, "{ERROR}error[policy-coverage]{ERROR:#}: {least} % are asked for")?;
    }
    Ok(Exit::Found)
}

fn lines(tested: &Tested) -> (usize, usize) {
    tested
        .coverage
        .iter()
        .fold((0, 0), |(covered, missed), file| (covered + file.covered, missed + file.missed.len()))
}
