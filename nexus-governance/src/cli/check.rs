//! `nexus-governance check`: schemas, policies and architecture at once.

use std::io::Write;

use super::arguments::CheckAll;
use super::report::Report;
use super::{Exit, Failure, architecture, policy, schema};

pub(super) fn run(options: &CheckAll, out: &mut impl Write) -> Result<Exit, Failure> {
    let mut report = Report::default();
    let schemas = schema::checked(&options.registry, options.against.as_deref(), &mut report)?;
    match policy::checked(&options.policies, &mut report)? {
        Some(policies) => {
            let policies = (options.policies.as_path(), Some(&policies));
            architecture::checked(&options.cargo, (&schemas.0, &schemas.1), policies, &mut report)?;
        }
        None => report.remarks.push("the architecture is judged once the policies can be read".to_owned()),
    }
    report.written(options.format, out)
}
