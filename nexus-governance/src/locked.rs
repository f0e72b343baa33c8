//! What the lock file says beside what is registered.

use std::fmt;

use nexus_core::{Shape, ShapeLock, WayOfReading};
use serde_json::{Value, json};

use crate::compatibility::{Comparison, Side, Verdict, Witness};
use crate::registry::SchemaSet;
use crate::schema::{Origin, Schema, SchemaId, SchemaKind};

/// Where a program, by its lock file, and a registry do not go together.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LockProblem {
    /// The program writes or reads something that has no released schema.
    Unregistered {
        /// An event or a command.
        kind: SchemaKind,
        /// Its stored name.
        name: String,
        /// Its version.
        version: u32,
        /// The newest draft of its schema, if there is one.
        draft: Option<SchemaId>,
    },
    /// A document fits the schema, and the program does not read it.
    Unread {
        /// The schema.
        schema: SchemaId,
        /// The document.
        witness: Box<Witness>,
    },
    /// The schema was derived from a type that writes something else by now.
    Unfit {
        /// The schema.
        schema: SchemaId,
        /// What the type may write, and the schema refuses.
        witness: Box<Witness>,
    },
    /// It is not known whether the program reads all that fits the schema.
    Undecided {
        /// The schema.
        schema: SchemaId,
        /// Why that is not known.
        reason: String,
    },
    /// A released schema is not what it was.
    Altered {
        /// The schema.
        schema: SchemaId,
    },
    /// A released schema is gone.
    Missing {
        /// The schema, as the lock file names it.
        schema: String,
    },
    /// A released schema is not in the lock file.
    Unlocked {
        /// The schema.
        schema: SchemaId,
    },
}

impl LockProblem {
    /// The schema that it is about, if there is one.
    pub fn schema(&self) -> Option<&SchemaId> {
        match self {
            Self::Unregistered { .. } | Self::Missing { .. } => None,
            Self::Unread { schema, .. }
            | Self::Unfit { schema, .. }
            | Self::Undecided { schema, .. }
            | Self::Altered { schema }
            | Self::Unlocked { schema } => Some(schema),
        }
    }

    /// Where in the schema, as a JSON Pointer.
    pub fn pointer(&self) -> &str {
        match self {
            Self::Unread { witness, .. } | Self::Unfit { witness, .. } => &witness.pointer,
            Self::Altered { .. } | Self::Unlocked { .. } => "/x-nexus/digest",
            Self::Unregistered { .. } | Self::Undecided { .. } | Self::Missing { .. } => "",
        }
    }

    /// A name that does not change, for programs.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::Unregistered { .. } => "unregistered",
            Self::Unread { .. } | Self::Unfit { .. } => "shape-differs",
            Self::Undecided { .. } => "shape-undecided",
            Self::Altered { .. } => "released-schema-altered",
            Self::Missing { .. } => "released-schema-missing",
            Self::Unlocked { .. } => "unlocked",
        }
    }

    /// What can be done about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unregistered { draft: Some(draft), .. } => {
                format!("release the draft {draft}: `nexus-governance schema register FILE`")
            }
            Self::Unregistered { draft: None, .. } => {
                "register its schema: run the test that calls `check_schemas`, or `nexus-governance schema register`".into()
            }
            Self::Unread { schema, .. } => {
                format!("change the type so that it reads it, or register a schema {} that refuses it", next(schema))
            }
            Self::Unfit { .. } => "run the test that calls `check_schemas`: it registers the next version".into(),
            Self::Undecided { .. } => "say it in simpler keywords, or look at it yourself".into(),
            Self::Altered { .. } => "undo the change, and write it as a new version".into(),
            Self::Missing { .. } => "restore the file: events of that schema are stored".into(),
            Self::Unlocked { .. } => "register it: `nexus-governance schema register FILE` writes it into the lock file".into(),
        }
    }
}

fn next(schema: &SchemaId) -> SchemaId {
    SchemaId { version: schema.version.next_minor(), ..schema.clone() }
}

impl fmt::Display for LockProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unregistered { kind, name, version, draft } => {
                let found = if draft.is_some() { "only a draft" } else { "no schema" };
                write!(
                    f,
                    "the program has the {kind} {name} of version {version}, and {found} is registered for it"
                )
            }
            Self::Unread { witness, .. } => {
                write!(
                    f,
                    "the program does not read {}, which fits the schema: {}",
                    witness.document,
                    at(witness)
                )
            }
            Self::Unfit { witness, .. } => {
                write!(
                    f,
                    "the program may write {}, which the schema refuses: {}",
                    witness.document,
                    at(witness)
                )
            }
            Self::Undecided { reason, .. } => {
                write!(f, "it is not known whether the program reads all that fits the schema: {reason}")
            }
            Self::Altered { .. } => f.write_str("it was released with another content, by the lock file"),
            Self::Missing { schema } => write!(f, "{schema} was released, by the lock file, and is gone"),
            Self::Unlocked { .. } => f.write_str("it is released, and not in the lock file"),
        }
    }
}

fn at(witness: &Witness) -> String {
    let place = if witness.place.is_empty() { "the document" } else { &witness.place };
    format!("{place}: {}", witness.message)
}

impl SchemaSet {
    /// Where these schemas do not go together with the program that the lock file is of: events and commands without a schema,
    /// what a schema accepts and the program does not read, what a program writes and a schema that was derived from it refuses;
    /// and released schemas that are not what they were, by the digests in the lock file.
    pub fn compared_with(&self, lock: &ShapeLock) -> Vec<LockProblem> {
        let (mut problems, mut asked) = (Vec::new(), Vec::new());
        for (kind, name, version, shape, _) in shapes(lock) {
            match self.newest(kind, name, version) {
                Some(schema) => asked.push((schema, shape)),
                None => {
                    let mut of_version = self.versions(kind, name).map(Schema::id);
                    let draft = of_version.rfind(|id| id.version.major == version).cloned();
                    let name = name.to_owned();
                    problems.push(LockProblem::Unregistered { kind, name, version, draft });
                }
            }
        }
        problems.extend(differences(self, &asked).into_iter().flatten());
        for (id, digest) in &lock.schemas {
            let registered = id.parse().ok().and_then(|id| self.get(&id));
            match registered {
                None => problems.push(LockProblem::Missing { schema: id.clone() }),
                Some(schema) if schema.digest().is_none_or(|found| found.as_str() != digest) => {
                    problems.push(LockProblem::Altered { schema: schema.id().clone() });
                }
                Some(_) => {}
            }
        }
        for schema in self.released() {
            if !lock.schemas.contains_key(&schema.id().to_string()) {
                problems.push(LockProblem::Unlocked { schema: schema.id().clone() });
            }
        }
        problems
    }
}

/// What a program reads: kind, name, version, shape, and whether it writes that, too.
pub(crate) fn shapes(lock: &ShapeLock) -> impl Iterator<Item = (SchemaKind, &str, u32, &Shape, bool)> {
    let events = lock.events.iter().flat_map(|(name, versions)| {
        versions.iter().map(|(version, locked)| {
            (SchemaKind::Event, name.as_str(), *version, &locked.shape, locked.read == WayOfReading::Directly)
        })
    });
    // Of a command only the newest version is carried out.
    let commands = lock.commands.iter().filter_map(|(name, versions)| {
        let (version, shape) = versions.last_key_value()?;
        Some((SchemaKind::Command, name.as_str(), *version, shape, true))
    });
    events.chain(commands)
}

/// How each schema and the shape of the type differ that reads what fits it.
pub(crate) fn differences(schemas: &SchemaSet, asked: &[(&Schema, &Shape)]) -> Vec<Option<LockProblem>> {
    let references = schemas.referred_by(asked.iter().map(|(schema, _)| schema.document()));
    let closed: Vec<Value> = asked.iter().map(|(_, shape)| closed(shape)).collect();
    let sides: Vec<_> = asked
        .iter()
        .zip(&closed)
        .map(|((schema, shape), closed)| {
            (Side::new(schema.document()), Side::new(shape.as_value()), Side::new(closed))
        })
        .collect();
    let is_derived = |schema: &Schema| schema.origin() == Origin::Derived;
    // What a pair shows, and of which schema.
    let (mut pairs, mut shown) = (Vec::new(), Vec::new());
    for (index, ((schema, _), (registered, read, written))) in asked.iter().zip(&sides).enumerate() {
        if is_derived(schema) && content(registered.schema) == content(written.schema) {
            continue;
        }
        pairs.push((registered, read));
        shown.push((index, false));
        if is_derived(schema) {
            pairs.push((written, registered));
            shown.push((index, true));
        }
    }
    let mut found: Vec<Option<LockProblem>> = asked.iter().map(|_| None).collect();
    let verdicts = Comparison::new(&references).judged(&pairs);
    for ((index, is_written), verdict) in shown.into_iter().zip(verdicts) {
        let schema = asked[index].0.id().clone();
        let problem = match verdict {
            Verdict::Compatible => continue,
            Verdict::Incompatible(witness) if is_written => LockProblem::Unfit { schema, witness },
            Verdict::Incompatible(witness) => LockProblem::Unread { schema, witness },
            Verdict::Undecided { reason } => LockProblem::Undecided { schema, reason },
        };
        found[index].get_or_insert(problem);
    }
    found
}

/// What a schema says, without what it says about itself.
fn content(schema: &Value) -> Value {
    let mut content = schema.clone();
    if let Value::Object(keywords) = &mut content {
        keywords.retain(|keyword, _| !["$schema", "$id", "x-nexus"].contains(&keyword.as_str()));
    }
    content
}

/// The schema of what a type of that shape writes: its fields, and no others.
pub(crate) fn closed(shape: &Shape) -> Value {
    let mut schema = shape.as_value().clone();
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    let Value::Object(keywords) = schema else { return };
    let combining = ["allOf", "anyOf", "oneOf", "$ref", "if"];
    let combines = combining.iter().any(|keyword| keywords.contains_key(*keyword));
    let is_open =
        !keywords.contains_key("additionalProperties") && !keywords.contains_key("unevaluatedProperties");
    let is_plain_object =
        keywords.get("type") == Some(&json!("object")) && !keywords.contains_key("patternProperties");
    let has_members = keywords.contains_key("properties") || (is_plain_object && !combines);
    if has_members && is_open {
        // Beside alternatives the fields of each count, too.
        let keyword = if combines { "unevaluatedProperties" } else { "additionalProperties" };
        keywords.insert(keyword.into(), json!(false));
    }
    let has_fields = keywords.contains_key("properties");
    for (keyword, value) in keywords {
        match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "$defs" | "definitions", Value::Object(of)) => {
                of.values_mut().for_each(close);
            }
            ("prefixItems", Value::Array(of)) => of.iter_mut().for_each(close),
            ("anyOf" | "oneOf", Value::Array(of)) if !has_fields => of.iter_mut().for_each(close),
            ("items" | "additionalProperties" | "contains", of) => close(of),
            _ => {}
        }
    }
}
