//! Files of any content: what the targets of `fuzz/` call.

use std::collections::BTreeSet;
use std::path::Path;

use super::declared::Declared;
use super::facts::Facts;
use super::manifest::Manifest;
use super::place::{At, Fault};
use super::workspace::{Member, Workspace};
use super::{Exceptions, STACK};
use crate::registry::SchemaSet;
use crate::stack::on_a_large_stack;

const MANIFEST: &str = "[package]\nname = \"fuzz\"\n[package.metadata.nexus]\nservice = \"fuzz\"\nside = \"command\"\naddresses = [\"$FUZZ_URL\"]";

/// What a manifest says of its crate.
pub(crate) fn manifest(text: &str) {
    match Manifest::of("Cargo.toml", text) {
        Ok(manifest) => {
            manifest
                .dependencies
                .values()
                .chain(manifest.declared.iter().map(|(_, at)| at))
                .for_each(is_a_place);
        }
        Err(fault) => is_told(&fault),
    }
}

/// What is let pass.
pub(crate) fn exceptions(path: &Path) {
    match Exceptions::read(path, true) {
        Ok(exceptions) => drop(exceptions.applied(Vec::new(), true)),
        Err(fault) => is_told(&fault),
    }
}

/// A crate's source: a file of Rust, and the files of SQL in its folder.
pub(crate) fn source(root: &Path) {
    let Some((declared, at)): Option<(Declared, At)> =
        Manifest::of("Cargo.toml", MANIFEST).ok().and_then(|read| read.declared)
    else {
        return;
    };
    let member = Member {
        declared,
        at,
        folder: root.parent().unwrap_or(root).to_owned(),
        roots: vec![root.to_owned()],
        uses: BTreeSet::from(["reqwest".to_owned(), "sqlx".to_owned()]),
    };
    let workspace =
        Workspace { members: vec![member], dependencies: Vec::new(), silent: 0, faults: Vec::new() };
    let read = on_a_large_stack(STACK, || Facts::of(&workspace, (&SchemaSet::default(), &[])));
    if let Ok((_, faults)) = read {
        faults.iter().for_each(is_told);
    }
}

fn is_told(fault: &Fault) {
    assert!(!fault.message.is_empty());
    is_a_place(&fault.at);
}

/// People count from 1.
fn is_a_place(at: &At) {
    assert!(at.line > 0 && at.column > 0, "{at:?}");
}
