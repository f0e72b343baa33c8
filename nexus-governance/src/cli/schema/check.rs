mod base;
mod files;
mod lock;

use std::io::Write;

use crate::cli::arguments::{Check, Registry};
use crate::cli::finding::Finding;
use crate::cli::place::Place;
use crate::cli::report::{Report, counted};
use crate::cli::{Exit, Failure};
use crate::registry::{Objection, SchemaSet};
use crate::schema::{Schema, SchemaId};
use files::Read;
use lock::Lock;

pub(super) fn run(registry: &Registry, options: &Check, out: &mut impl Write) -> Result<Exit, Failure> {
    let mut report = Report::default();
    checked(registry, options.against.as_deref(), &mut report)?;
    report.written(options.format, out)
}

/// Checks all schemas, and answers them; with the ids of those that are broken, by their places.
pub(in crate::cli) fn checked(
    registry: &Registry,
    against: Option<&str>,
    report: &mut Report,
) -> Result<(SchemaSet, Vec<SchemaId>), Failure> {
    let home = &registry.schemas;
    let base = against.map(|against| base::of(home, against)).transpose()?;
    let read = Read::of(home)?;
    let lock = Lock::of(registry)?;
    report.findings.extend(read.faults.iter().cloned());
    match &lock {
        Lock::Absent => {
            let path = registry.lock_path();
            let path = path.display();
            report
                .remarks
                .push(format!("there is no lock file {path}: shapes of the program are not compared"));
        }
        Lock::Broken(finding) => report.findings.push(finding.clone()),
        Lock::Read { .. } => {}
    }
    let mut compared = 0;
    for schema in read.schemas.iter() {
        compared += judge(&read, schema, base.as_ref(), &lock, registry, report);
    }
    if let Some(base) = &base {
        report.findings.extend(base::changes(base, home, &read));
    }
    lock.problems(registry, &read).into_iter().for_each(|finding| add(report, finding));
    let (schemas, released) = (read.schemas.len(), read.schemas.released().count());
    report.counts.extend([("schemas", schemas), ("released", released), ("compared", compared)]);
    let drafts = schemas - released;
    let drafts = if drafts == 0 { String::new() } else { format!(" and {}", counted(drafts, "draft")) };
    let (released, compared) = (counted(released, "released schema"), counted(compared, "comparison"));
    report.summary.push(format!("{released}{drafts}, {compared}"));
    let broken = read.faults.iter().filter_map(|fault| home.id_of(&fault.file));
    Ok((read.schemas, broken.collect()))
}

/// What is told of once is enough.
fn add(report: &mut Report, finding: Finding) {
    let is_told = |told: &Finding| {
        told.schema == finding.schema && (told.rule == finding.rule || told.rule == "invalid-schema")
    };
    if finding.schema.is_none() || !report.findings.iter().any(is_told) {
        report.findings.push(finding);
    }
}

/// Judges a schema, and answers with how many it was compared.
fn judge(
    read: &Read,
    schema: &Schema,
    base: Option<&SchemaSet>,
    lock: &Lock,
    registry: &Registry,
    report: &mut Report,
) -> usize {
    let id = schema.id();
    // What was compared before it was merged is not compared again; what else it needs may be gone by now.
    let is_old = base.is_some_and(|base| base.get(id) == Some(schema));
    let judgement = if is_old {
        read.schemas.judge_alone(schema, lock.shapes())
    } else {
        read.schemas.judge(schema, lock.shapes())
    };
    let compared = judgement.compared.len();
    let file = registry.schemas.file_of(id);
    for objection in judgement.objections {
        if matches!((lock, &objection), (Lock::Broken(_), Objection::NoUpcaster { .. })) {
            continue;
        }
        let witness = match &objection {
            Objection::Incompatible { witness, .. } => Some(witness.document.clone()),
            _ => None,
        };
        let (rule, message, remedy) = (objection.rule(), objection.to_string(), objection.remedy());
        let finding = Finding::at(&file, Place::START, rule, message, remedy).about(id).shown_by(witness);
        report.findings.push(finding.pointing(read.text(id), objection.pointer()));
    }
    compared
}
