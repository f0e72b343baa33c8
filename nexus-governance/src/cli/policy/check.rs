use std::path::Path;

use crate::cause::with_cause;
use crate::cli::Failure;
use crate::cli::finding::Finding;
use crate::cli::place::Place;
use crate::cli::report::{Report, counted};
use crate::policy::{BundleError, PolicyBundle, Test, tested};

/// Compiles all policies and runs their tests; answers the policies, if nothing is wrong with them.
pub(in crate::cli) fn checked(policies: &Path, report: &mut Report) -> Result<Option<PolicyBundle>, Failure> {
    let read = PolicyBundle::from_directory(policies).and_then(|bundle| {
        let tested = tested(&bundle)?;
        Ok((bundle, tested))
    });
    let (bundle, tested) = match read {
        Ok(read) => read,
        Err(BundleError::Invalid { faults }) => {
            report.findings.extend(faults.into_iter().map(|fault| Finding::of_policy(policies, fault)));
            return Ok(None);
        }
        Err(error) => {
            return Err(Failure::Told(format!(
                "{}: name the directory of policies with --policies, or begin with `nexus-governance policy init`",
                with_cause(&error)
            )));
        }
    };
    for Test { name, file, line, column, failure } in &tested.tests {
        let Some(failure) = failure else { continue };
        let place = Place { line: *line, column: *column };
        let (message, remedy) = (format!("{name}: {failure}"), "mend the policy, or its test");
        report.findings.push(Finding::at(&policies.join(file), place, "policy-test", message, remedy));
    }
    let (files, tests) = (bundle.policies().count(), tested.tests.len());
    report.counts.extend([("policies", files), ("tests", tests)]);
    let files = if files == 1 { "1 policy".to_owned() } else { format!("{files} policies") };
    report.summary.push(format!("{files}, {}", counted(tests, "test")));
    Ok(Some(bundle))
}
