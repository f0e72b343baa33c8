//! `nexus-governance architecture`.

use std::io::Write;
use std::path::Path;

use super::arguments::{Architecture, Cargo};
use super::finding::Finding;
use super::place::Place;
use super::report::{Report, counted};
use super::{Exit, Failure};
use crate::architecture::{
    Applied, At, Exceptions, Facts, Fault, PACKAGE, STACK, Unreadable, Violation, Workspace, Wrong, judged,
    speaks_of_architecture,
};
use crate::cause::with_cause;
use crate::policy::{BundleError, PolicyBundle};
use crate::registry::SchemaSet;
use crate::schema::SchemaId;
use crate::stack::on_a_large_stack;

pub(super) fn run(options: &Architecture, out: &mut impl Write) -> Result<Exit, Failure> {
    let schemas = options.schemas.loaded()?;
    if options.facts {
        let (facts, faults) = match Workspace::read(&options.cargo.manifest_path) {
            Ok(workspace) => facts(&workspace, (&schemas, &[]))?,
            Err(error) => return Err(Failure::Told(error.to_string())),
        };
        writeln!(out, "{:#}", serde_json::to_value(&facts).unwrap_or_default())?;
        for fault in &faults {
            let At { file, line, column } = &fault.at;
            writeln!(anstream::stderr(), "error: {file}:{line}:{column}: {}", fault.message)?;
        }
        return Ok(if faults.is_empty() { Exit::Fine } else { Exit::Found });
    }
    let mut report = Report::default();
    match PolicyBundle::from_directory(&options.policies) {
        Ok(policies) => {
            let policies = (options.policies.as_path(), Some(&policies));
            checked(&options.cargo, (&schemas, &[]), policies, &mut report)?;
        }
        Err(BundleError::Unreadable { .. }) if !options.policies.exists() => {
            checked(&options.cargo, (&schemas, &[]), (&options.policies, None), &mut report)?;
        }
        Err(BundleError::Invalid { faults }) => {
            report
                .findings
                .extend(faults.into_iter().map(|fault| Finding::of_policy(&options.policies, fault)));
        }
        Err(error) => return Err(Failure::Told(with_cause(&error))),
    }
    report.written(options.format, out)
}

fn facts(workspace: &Workspace, schemas: (&SchemaSet, &[SchemaId])) -> Result<(Facts, Vec<Fault>), Failure> {
    on_a_large_stack(STACK, || Facts::of(workspace, schemas))
        .map_err(|error| Failure::Told(format!("no thread could be started: {error}")))
}

/// Has policies judge a workspace, where schemas that are broken count as registered: those in the directory, or where they say nothing of it, those of the starter bundle.
pub(super) fn checked(
    cargo: &Cargo,
    schemas: (&SchemaSet, &[SchemaId]),
    (directory, policies): (&Path, Option<&PolicyBundle>),
    report: &mut Report,
) -> Result<(), Failure> {
    let workspace = match Workspace::read(&cargo.manifest_path) {
        Ok(workspace) => workspace,
        Err(Unreadable::Told(reason)) => return Err(Failure::Told(reason)),
        Err(Unreadable::Broken(fault)) => {
            report.findings.push(Finding::of_fault(fault));
            return Ok(());
        }
    };
    let (facts, faults) = facts(&workspace, schemas)?;
    let is_sound = faults.is_empty();
    report.findings.extend(faults.into_iter().map(Finding::of_fault));
    if workspace.len() == 0 && is_sound {
        let message = "no crate of the workspace says what it is";
        let remedy = "add [package.metadata.nexus] to their manifests, with service = \"…\" and side = \"command\", \"query\" or \"shared\"";
        report.findings.push(Finding::at(&cargo.manifest_path, Place::START, "undeclared", message, remedy));
    }
    let bundle = match policies.filter(|bundle| speaks_of_architecture(bundle)) {
        Some(bundle) => {
            let there = directory.display();
            report.remarks.push(format!(
                "the rules are those of {PACKAGE} in {there}, in place of the starter bundle's"
            ));
            bundle.clone()
        }
        None => {
            let there = directory.display();
            report
                .remarks
                .push(format!("the rules are those of the starter bundle: {there} has no package {PACKAGE}"));
            PolicyBundle::starter_with_data_of(policies)
        }
    };
    let mut is_all_known = is_sound;
    let violations = match judged(&bundle, &facts) {
        Ok(violations) => violations,
        Err(BundleError::Invalid { faults }) => {
            let faults = faults.into_iter().map(|fault| Finding::of_policy(directory, fault));
            report.findings.extend(faults);
            is_all_known = false;
            Vec::new()
        }
        Err(error) => return Err(Failure::Told(error.to_string())),
    };
    excepted(cargo, violations, is_all_known, report);
    let (crates, services) = (workspace.len(), workspace.services().len());
    let declarations = facts.declarations();
    report.counts.extend([("crates", crates), ("services", services), ("files", facts.files)]);
    report.counts.push(("declarations", declarations));
    report.summary.push(format!(
        "{} of {}, {}, {} of events and commands",
        counted(crates, "crate"),
        counted(services, "service"),
        counted(facts.files, "file"),
        counted(declarations, "type"),
    ));
    if workspace.silent > 0 {
        let silent = counted(workspace.silent, "crate");
        report
            .remarks
            .push(format!("{silent} of the workspace without [package.metadata.nexus]: not looked at"));
    }
    Ok(())
}

/// Reports violations but for those that are let pass, which are listed.
fn excepted(cargo: &Cargo, violations: Vec<Violation>, is_all_known: bool, report: &mut Report) {
    let path = cargo.exceptions();
    let exceptions = Exceptions::read(&path, cargo.names_exceptions()).unwrap_or_else(|fault| {
        report.findings.push(Finding::of_fault(fault));
        Exceptions::default()
    });
    let Applied { standing, excepted, wrong } = exceptions.applied(violations, is_all_known);
    report.findings.extend(standing.into_iter().map(Finding::of_violation));
    for Wrong { index, rule, message } in wrong {
        let remedy = match rule {
            "unused-exception" => "remove it",
            _ => "write why it may be, and who says so",
        };
        let finding = Finding::at(&path, Place::START, rule, message, remedy);
        report.findings.push(finding.pointing(exceptions.text(), &format!("/{index}")));
    }
    report.exceptions = Some(excepted);
}
