use std::collections::{BTreeMap, HashMap};

use jsonschema::Validator;
use nexus_core::Payload;

use super::{SchemaRefusal, document, violation};
use crate::invalid::InvalidSchema;
use crate::registry::{RegistryRevision, SchemaSet, SchemaSnapshot};
use crate::schema::{SchemaId, SchemaKind};
use crate::validator;

/// How many violations a refusal names.
const NAMED: usize = 10;

/// How many are counted.
const COUNTED: usize = 100;

/// The validators of one state of a registry.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(super) revision: RegistryRevision,
    pub(super) schemas: SchemaSet,
    events: Validators,
    commands: Validators,
}

/// By name and major version.
type Validators = HashMap<String, BTreeMap<u32, Newest>>;

/// The newest schema of a major version.
#[derive(Debug)]
struct Newest {
    id: SchemaId,
    validator: Validator,
}

/// A registered schema that nothing can be validated by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{id} cannot be used")]
pub struct UnusableSchema {
    /// Which.
    pub id: SchemaId,
    /// Why not.
    #[source]
    pub source: InvalidSchema,
}

impl Compiled {
    pub(crate) fn new(snapshot: SchemaSnapshot) -> Result<Self, UnusableSchema> {
        let SchemaSnapshot { schemas, revision } = snapshot;
        let (mut events, mut commands) = (Validators::new(), Validators::new());
        for schema in schemas.released() {
            let id = schema.id();
            let place = match id.kind {
                SchemaKind::Event => &mut events,
                SchemaKind::Command => &mut commands,
                SchemaKind::Type => continue,
            };
            let newest = schemas.newest(id.kind, &id.name, id.version.major);
            if newest.is_some_and(|newest| newest.id() != id) {
                continue;
            }
            let references = schemas.referred_by([schema.document()]);
            let unusable = |source| UnusableSchema { id: id.clone(), source };
            let validator = validator::build(schema.document(), &references).map_err(|error| {
                let pointer = error.schema_path().to_string();
                unusable(InvalidSchema::Malformed { pointer, message: error.to_string() })
            })?;
            let newest = Newest { id: id.clone(), validator };
            place.entry(id.name.clone()).or_default().insert(id.version.major, newest);
        }
        Ok(Self { revision, schemas, events, commands })
    }

    fn newest(&self, kind: SchemaKind, name: &str, version: u32) -> Option<&Newest> {
        let validators = match kind {
            SchemaKind::Event => &self.events,
            SchemaKind::Command | SchemaKind::Type => &self.commands,
        };
        validators.get(name).and_then(|versions| versions.get(&version))
    }

    /// Whether events of this type and version have a schema.
    pub(crate) fn has_event(&self, name: &str, version: u32) -> bool {
        self.newest(SchemaKind::Event, name, version).is_some()
    }

    /// Whether the payload fits.
    pub(crate) fn check(
        &self,
        kind: SchemaKind,
        name: &str,
        version: u32,
        payload: &Payload,
    ) -> Result<(), SchemaRefusal> {
        let Some(newest) = self.newest(kind, name, version) else {
            let released = self.schemas.versions(kind, name).filter(|schema| schema.is_released());
            let registered = released.map(|schema| schema.id().version).collect();
            return Err(SchemaRefusal::Unregistered { kind, name: name.to_owned(), version, registered });
        };
        let document = document::parsed(payload.as_bytes()).map_err(|error| SchemaRefusal::Ambiguous {
            schema: newest.id.clone(),
            reason: error.to_string(),
        })?;
        if newest.validator.is_valid(&document) {
            return Ok(());
        }
        // A long list of what is wrong helps nobody, and could be made to fill the memory.
        let errors = newest.validator.iter_errors(&document).take(COUNTED);
        let mut violations: Vec<_> =
            errors.flat_map(|error| violation::violations(&error).into_iter().take(COUNTED)).collect();
        let more = violations.len().saturating_sub(NAMED);
        violations.truncate(NAMED);
        Err(SchemaRefusal::Unfit { schema: newest.id.clone(), violations, more })
    }
}
