use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::domain::ShapeLock;

/// Compares the persisted shapes of your program with those that are locked in the file at `path`: a test of your crate,
/// so that what is stored stays readable. Commit the file.
///
/// ```no_run
/// # use nexus_core::*;
/// # use nexus_core::testing::check_shapes;
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
/// # enum OrderEvent { Paid { cents: u64 } }
/// # #[derive(Serialize, Deserialize, JsonSchema, Command)]
/// # struct Pay { cents: u64 }
/// #[test]
/// fn persisted_shapes_are_locked() {
///     let shapes = ShapeLock::default().events::<OrderEvent>().command::<Pay>();
///     check_shapes(concat!(env!("CARGO_MANIFEST_DIR"), "/nexus.lock.json"), &shapes);
/// }
/// ```
///
/// - New kinds of events, commands and snapshots, and new versions, are added to the file; the test fails once, so
///   that the file is committed with them.
/// - A shape that changed under its name and version fails the test, field by field, until it has another version and,
///   for an event, an [`Upcast`](crate::Upcast). The file stays as it is.
/// - What was never stored may be changed: remove its entry from the file.
///
/// # Panics
/// As said above, and where the file cannot be read or written.
#[track_caller]
pub fn check_shapes(path: impl AsRef<Path>, shapes: &ShapeLock) {
    let path = path.as_ref();
    assert!(!shapes.is_empty(), "nothing is to be locked in {}: name your events", path.display());
    let locked = match fs::read_to_string(path) {
        Ok(text) => ShapeLock::from_json(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => ShapeLock::default(),
        Err(error) => panic!("{} cannot be read: {error}", path.display()),
    };
    let changes = locked.changes(shapes);
    if !changes.is_empty() {
        let mut message =
            format!("what is stored has another shape than the program, by {}:\n", path.display());
        for change in &changes {
            let _ = writeln!(message, "  {change}");
        }
        let mut remedies: Vec<&str> = changes.iter().map(crate::domain::ShapeChange::remedy).collect();
        remedies.dedup();
        for remedy in remedies {
            let _ = writeln!(message, "to mend it, {remedy}");
        }
        panic!("{message}or undo the change; if it was never stored, remove its entry from the file");
    }
    let (before, all) = (locked.len(), locked.clone().and(shapes));
    if all != locked {
        let written = fs::write(path, all.to_json());
        let path = path.display();
        written.unwrap_or_else(|error| panic!("{path} is out of date, and cannot be written: {error}"));
        panic!(
            "{path} was brought up to date, from {before} shapes to {}: look at it, and commit it",
            all.len()
        );
    }
}
