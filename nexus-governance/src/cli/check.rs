mod base;
mod files;
mod lock;

use std::io::Write;
use std::path::PathBuf;

use super::arguments::{Check, Registry};
use super::finding::{Finding, Level};
use super::place::Place;
use super::{Exit, Failure, report};
use crate::registry::{Objection, SchemaSet};
use crate::schema::Schema;
use files::Read;
use lock::Lock;

/// What came of a check.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) schemas: usize,
    pub(super) released: usize,
    pub(super) compared: usize,
    /// Where the lock file would be that is not there.
    pub(super) no_lock: Option<PathBuf>,
    pub(super) findings: Vec<Finding>,
}

impl Checked {
    pub(super) fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }

    /// What is told of once is enough.
    fn add(&mut self, finding: Finding) {
        let is_told = |told: &Finding| {
            told.schema == finding.schema && (told.rule == finding.rule || told.rule == "invalid-schema")
        };
        if finding.schema.is_none() || !self.findings.iter().any(is_told) {
            self.findings.push(finding);
        }
    }
}

pub(super) fn run(registry: &Registry, options: &Check, out: &mut impl Write) -> Result<Exit, Failure> {
    let home = &registry.schemas;
    let base = options.against.as_deref().map(|against| base::of(home, against)).transpose()?;
    let read = Read::of(home)?;
    let lock = Lock::of(registry)?;
    let mut checked = Checked {
        schemas: read.schemas.len(),
        released: read.schemas.released().count(),
        findings: read.faults.clone(),
        ..Checked::default()
    };
    match &lock {
        Lock::Absent => checked.no_lock = Some(registry.lock_path()),
        Lock::Broken(finding) => checked.findings.push(finding.clone()),
        Lock::Read { .. } => {}
    }
    for schema in read.schemas.iter() {
        judge(&read, schema, base.as_ref(), &lock, registry, &mut checked);
    }
    if let Some(base) = &base {
        checked.findings.extend(base::changes(base, home, &read));
    }
    lock.problems(registry, &read).into_iter().for_each(|finding| checked.add(finding));
    report::write(&checked, options.format, out)?;
    Ok(if checked.count(Level::Error) > 0 { Exit::Found } else { Exit::Fine })
}

fn judge(
    read: &Read,
    schema: &Schema,
    base: Option<&SchemaSet>,
    lock: &Lock,
    registry: &Registry,
    checked: &mut Checked,
) {
    let id = schema.id();
    // What was compared before it was merged is not compared again; what else it needs may be gone by now.
    let is_old = base.is_some_and(|base| base.get(id) == Some(schema));
    let judgement = if is_old {
        read.schemas.judge_alone(schema, lock.shapes())
    } else {
        read.schemas.judge(schema, lock.shapes())
    };
    checked.compared += judgement.compared.len();
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
        checked.findings.push(finding.pointing(read.text(id), objection.pointer()));
    }
}
