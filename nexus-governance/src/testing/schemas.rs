use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use nexus_core::{Clock, Shape, ShapeLock, StoredThing, SystemClock};

use crate::cause::with_cause;
use crate::locked::{self, closed, shapes};
use crate::registry::{Objection, SchemaDirectory, SchemaSet};
use crate::schema::{Origin, Schema, SchemaId, SchemaKind, SemanticVersion};

/// Compares the events and commands of your program with the schemas in a directory, and its persisted shapes with the lock file
/// beside: one test of your crate, so that nothing is stored that others cannot read. Commit the directory and the file. It does
/// what `nexus_core::testing::check_shapes` does, and more, with the same lock file: call one of the two.
///
/// ```no_run
/// # use nexus_core::*;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
/// # enum OrderEvent { Paid { cents: u64 } }
/// # #[derive(Serialize, Deserialize, JsonSchema, Command)]
/// # struct Pay { cents: u64 }
/// #[test]
/// fn schemas_are_registered() {
///     let shapes = ShapeLock::default().events::<OrderEvent>().command::<Pay>();
///     nexus_governance::testing::check_schemas(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas"), &shapes);
/// }
/// ```
///
/// - An event or a command without a schema, also an event that is only upcast any more, gets one, derived from its type: its fields, and no others. The lock file
///   (`nexus.lock.json` beside the directory) is brought up to date. The test fails once, so that both are looked at and committed.
/// - A type that changed so that the next minor version of its schema is compatible, as the mode of the schema asks, gets that
///   version, in the same way.
/// - Any other change fails the test, with the field, a document that shows it, and what can be done; nothing is written.
/// - A schema that was written by hand stays as it is: the type has to read all that fits it.
///
/// # Panics
/// As said above, and where files cannot be read or written.
#[track_caller]
pub fn check_schemas(directory: impl AsRef<Path>, program: &ShapeLock) {
    let directory = SchemaDirectory::new(directory.as_ref());
    let lock_path = directory.beside("nexus.lock.json");
    assert!(
        !program.is_empty(),
        "nothing is to be checked in {}: name your events",
        directory.path().display()
    );
    let locked = match fs::read_to_string(&lock_path) {
        Ok(text) => {
            ShapeLock::from_json(&text).unwrap_or_else(|error| panic!("{}: {error}", lock_path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => ShapeLock::default(),
        Err(error) => panic!("{} cannot be read: {error}", lock_path.display()),
    };
    let loaded = directory.load_now();
    let schemas = loaded.unwrap_or_else(|error| panic!("{}", with_cause(&error))).schemas;
    let change = Change::of(&schemas, &locked, program);
    assert!(
        change.faults.is_empty(),
        "what is stored, or its schemas in {}, and the program do not go together:\n{}",
        directory.path().display(),
        change.faults.join("\n")
    );
    let written = change.write(&directory, &lock_path, &locked);
    assert!(written.is_empty(), "brought up to date: look at it, and commit it\n{}", written.join("\n"));
}

/// What has to be written, or what is wrong.
struct Change {
    new: Vec<Schema>,
    lock: ShapeLock,
    faults: Vec<String>,
}

impl Change {
    fn of(schemas: &SchemaSet, locked: &ShapeLock, program: &ShapeLock) -> Self {
        let mut change = Self { new: Vec::new(), lock: locked.clone().and(program), faults: Vec::new() };
        let mut all = schemas.clone();
        for (kind, name, version, shape, is_written) in shapes(program) {
            // What is only read any more is as it was.
            if is_written || all.newest(kind, name, version).is_none() {
                change.follow(&mut all, kind, name, version, shape);
            }
        }
        // A shape that changed under its version is for its schema to judge.
        let is_judged = |of: &nexus_core::ShapeChange| match of.thing {
            StoredThing::Event => program.events.get(&of.name).is_some_and(|versions| {
                versions
                    .get(&of.version)
                    .is_some_and(|event| event.read == nexus_core::WayOfReading::Directly)
            }),
            StoredThing::Command => {
                program.commands.get(&of.name).is_some_and(|versions| versions.contains_key(&of.version))
            }
            _ => false,
        };
        for of in locked.changes(program).iter().filter(|of| !is_judged(of)) {
            change.faults.push(format!("  {of}\n    to mend it: {}", of.remedy()));
        }
        for schema in all.released() {
            let digest = schema.digest().map(ToString::to_string).unwrap_or_default();
            let before = change.lock.schemas.insert(schema.id().to_string(), digest.clone());
            if before.is_some_and(|before| before != digest) {
                let id = schema.id();
                change.faults.push(format!("  {id} was released with another content: undo the change"));
            }
        }
        for id in locked.schemas.keys() {
            let now = id.parse().ok().and_then(|id: SchemaId| all.get(&id));
            if !now.is_some_and(Schema::is_released) {
                let now = if now.is_some() { "a draft again" } else { "gone" };
                change.faults.push(format!("  {id} was released, and is {now}: restore the file"));
            }
        }
        change
    }

    /// What the type needs that reads the newest version of this schema.
    fn follow(&mut self, all: &mut SchemaSet, kind: SchemaKind, name: &str, version: u32, shape: &Shape) {
        let newest = all.newest(kind, name, version);
        let difference = |schema| locked::differences(all, &[(schema, shape)]).into_iter().next().flatten();
        let problem = newest.map(|schema| (schema, difference(schema)));
        let (mode, next) = match problem {
            Some((_, None)) => return,
            Some((schema, Some(problem))) if schema.origin() == Origin::Written => {
                let id = schema.id();
                self.faults.push(format!("  {id}: {problem}\n    to mend it: {}", problem.remedy()));
                return;
            }
            Some((schema, Some(_))) => (schema.compatibility(), schema.id().version.next_minor()),
            None => {
                let first = SemanticVersion::first_of(version);
                let draft = all.versions(kind, name).find(|draft| draft.id().version == first);
                (draft.map(Schema::compatibility).unwrap_or_default(), first)
            }
        };
        let id = SchemaId::new(kind, name, next);
        let id = id.unwrap_or_else(|error| panic!("{kind} {name:?} has no schema: {error}"));
        if all.get(&id).is_some_and(|draft| draft.origin() == Origin::Written) {
            self.faults.push(format!(
                "  {id} is a draft that somebody wrote\n    to mend it: release it with `nexus-governance schema register FILE`, \
                 or remove it"
            ));
            return;
        }
        let draft = Schema::draft(id, SystemClock.now(), mode, Origin::Derived, closed(shape));
        let draft = draft.unwrap_or_else(|error| panic!("{kind} {name:?} has no schema: {error}"));
        let released = draft.released();
        let judgement = all.judge(&released, Some(&self.lock));
        self.faults.extend(judgement.objections.iter().map(|objection| fault(&released, objection)));
        if judgement.is_accepted() {
            all.insert(released.clone());
            self.new.push(released);
        }
    }

    /// Writes it, and says what.
    fn write(self, directory: &SchemaDirectory, lock_path: &Path, locked: &ShapeLock) -> Vec<String> {
        let mut written = Vec::new();
        for schema in &self.new {
            let after = directory.load_now().map(|loaded| loaded.revision);
            let added = after.and_then(|after| directory.add_now(schema, &after));
            let id = schema.id();
            added.unwrap_or_else(|error| panic!("{id} cannot be written: {}", with_cause(&error)));
            written.push(format!("  {}", directory.path().join(SchemaDirectory::place(id)).display()));
        }
        if self.lock != *locked {
            let path = lock_path.display();
            fs::write(lock_path, self.lock.to_json())
                .unwrap_or_else(|error| panic!("{path} is out of date, and cannot be written: {error}"));
            written.push(format!("  {path}"));
        }
        written
    }
}

fn fault(schema: &Schema, objection: &Objection) -> String {
    let SchemaId { kind, name, version } = schema.id();
    let mut fault = format!("  {kind} {name}, as {version}");
    if !objection.pointer().is_empty() {
        let _ = write!(fault, ", at {}", objection.pointer());
    }
    let _ = write!(fault, ": {objection}\n    to mend it: {}", objection.remedy());
    if kind == &SchemaKind::Event && matches!(objection, Objection::Incompatible { .. }) {
        fault.push_str(
            " (`#[event(version = …)]`, and a struct of the stored shape that implements `Upcast`, in `#[event(upcast(…))]`)",
        );
    }
    fault
}
