use serde::Serialize;

use super::code;
use super::declared::Declared;
use super::place::{At, Fault, shown};
use super::source::{self, Sources};
use super::texts::Constants;
use super::workspace::{Member, Workspace};
use crate::registry::SchemaSet;
use crate::schema::SchemaId;

/// What policies decide about: `input` of the package `nexus.architecture`. What is not known of something is not there.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Facts {
    pub(super) crates: Vec<Crate>,
    pub(super) dependencies: Vec<Dependency>,
    pub(super) addresses: Vec<Named>,
    pub(super) statements: Vec<Changed>,
    pub(super) calls: Vec<Called>,
    pub(super) events: Vec<Declaration>,
    pub(super) commands: Vec<Declaration>,
    pub(super) schemas: Vec<Registered>,
    /// How many files were read.
    #[serde(skip)]
    pub(crate) files: usize,
}

/// A crate that says what it is.
#[derive(Debug, Serialize)]
pub(super) struct Crate {
    #[serde(flatten)]
    pub(super) declared: Declared,
    pub(super) at: At,
}

/// One crate depends on another, perhaps by way of others that say nothing.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Dependency {
    pub(super) from: Declared,
    pub(super) to: Declared,
    pub(super) through: Vec<String>,
    pub(super) at: At,
}

/// An address is named.
#[derive(Debug, Serialize)]
pub(super) struct Named {
    #[serde(rename = "crate")]
    pub(super) by: Declared,
    pub(super) address: String,
    /// Whose it is.
    pub(super) of: Declared,
    pub(super) at: At,
}

/// A statement of SQL changes something.
#[derive(Debug, Serialize)]
pub(super) struct Changed {
    #[serde(rename = "crate")]
    pub(super) by: Declared,
    pub(super) statement: &'static str,
    /// As it is written, with its schema.
    pub(super) table: String,
    pub(super) at: At,
}

/// A call of an SDK changes something.
#[derive(Debug, Serialize)]
pub(super) struct Called {
    #[serde(rename = "crate")]
    pub(super) by: Declared,
    pub(super) call: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) table: Option<String>,
    pub(super) at: At,
}

/// A kind of event or command is declared, or named.
#[derive(Debug, Serialize)]
pub(super) struct Declaration {
    #[serde(rename = "crate")]
    pub(super) by: Declared,
    #[serde(rename = "type")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    /// Whether only earlier code stored it.
    pub(super) is_former: bool,
    pub(super) at: At,
}

/// A schema of the registry.
#[derive(Debug, Serialize)]
pub(super) struct Registered {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) major: u32,
    pub(super) version: String,
    pub(super) is_released: bool,
}

impl Facts {
    /// What is to be known of a workspace and its schemas, those that are broken among them, and what could not be read.
    pub(crate) fn of(
        workspace: &Workspace,
        (schemas, broken): (&SchemaSet, &[SchemaId]),
    ) -> (Self, Vec<Fault>) {
        let mut facts = Self::default();
        let mut faults = workspace.faults.clone();
        for member in &workspace.members {
            facts.crates.push(Crate { declared: member.declared.clone(), at: member.at.clone() });
            facts.read(member, &workspace.members, &mut faults);
        }
        facts.dependencies = workspace.dependencies.clone();
        let registered = schemas.iter().map(|schema| Registered::new(schema.id(), schema.is_released()));
        // What is wrong with them is told elsewhere.
        facts.schemas = registered.chain(broken.iter().map(|id| Registered::new(id, true))).collect();
        (facts, faults)
    }

    fn read(&mut self, member: &Member, members: &[Member], faults: &mut Vec<Fault>) {
        let mut sources = Sources::default();
        member.roots.iter().for_each(|root| sources.read(root));
        faults.append(&mut sources.faults);
        let constants = Constants::of(&sources.files);
        self.files += sources.files.len();
        for file in &sources.files {
            code::read(file, member, members, &constants, self);
        }
        for path in source::sql_files(&member.folder) {
            let name = shown(&path);
            self.files += 1;
            match std::fs::read_to_string(&path) {
                Ok(text) => code::sql_of_file(&name, &text, member, self),
                Err(error) => {
                    let message = format!("{name} cannot be read: {error}");
                    faults.push(Fault::new(At::start(&name), "unreadable-source", message, "mend the file"));
                }
            }
        }
    }

    /// How many events and commands are declared.
    pub(crate) fn declarations(&self) -> usize {
        self.events.iter().chain(&self.commands).filter(|kind| kind.version.is_some()).count()
    }
}

impl Registered {
    fn new(id: &SchemaId, is_released: bool) -> Self {
        Self {
            kind: id.kind.to_string(),
            name: id.name.clone(),
            major: id.version.major,
            version: id.version.to_string(),
            is_released,
        }
    }
}
