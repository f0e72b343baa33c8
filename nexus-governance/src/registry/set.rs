use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::schema::{Schema, SchemaId, SchemaKind, SemanticVersion};

/// Registered schemas, by what they are of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SchemaSet {
    schemas: BTreeMap<SchemaId, Schema>,
}

impl SchemaSet {
    /// One version of one schema.
    pub fn get(&self, id: &SchemaId) -> Option<&Schema> {
        self.schemas.get(id)
    }

    /// All, by kind, name and version.
    pub fn iter(&self) -> impl Iterator<Item = &Schema> {
        self.schemas.values()
    }

    /// How many versions there are, of all schemas.
    pub fn len(&self) -> usize {
        self.schemas.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.schemas.is_empty()
    }

    /// All versions of one schema, the oldest first.
    pub fn versions(&self, kind: SchemaKind, name: &str) -> impl DoubleEndedIterator<Item = &Schema> {
        let at = |version| SchemaId { kind, name: name.to_owned(), version };
        let last = SemanticVersion { major: u32::MAX, minor: u32::MAX, patch: u32::MAX };
        let first = SemanticVersion { major: 0, minor: 0, patch: 0 };
        self.schemas.range(at(first)..=at(last)).map(|(_, schema)| schema)
    }

    /// The newest released version of those with this major version: the one that events of that schema version have to fit.
    pub fn newest(&self, kind: SchemaKind, name: &str, major: u32) -> Option<&Schema> {
        let is_one = |schema: &&Schema| schema.is_released() && schema.id().version.major == major;
        self.versions(kind, name).rfind(is_one)
    }

    /// Those that are released, by kind, name and version.
    pub fn released(&self) -> impl Iterator<Item = &Schema> {
        self.iter().filter(|schema| schema.is_released())
    }

    /// With one more, in place of the one that has its id, if there is one.
    pub(crate) fn insert(&mut self, schema: Schema) -> Option<Schema> {
        self.schemas.insert(schema.id().clone(), schema)
    }

    /// All that these schemas refer to, and what that refers to, by their URIs.
    pub(crate) fn referred_by<'a>(
        &self,
        documents: impl IntoIterator<Item = &'a Value>,
    ) -> HashMap<String, Value> {
        let mut left: Vec<String> = documents.into_iter().flat_map(references).collect();
        let mut found = HashMap::new();
        while let Some(uri) = left.pop() {
            let Some(Ok(id)) = SchemaId::from_uri(&uri) else { continue };
            let Some(schema) = self.get(&id).filter(|_| !found.contains_key(&uri)) else { continue };
            left.extend(references(schema.document()));
            found.insert(uri, schema.document().clone());
        }
        found
    }
}

impl FromIterator<Schema> for SchemaSet {
    fn from_iter<I: IntoIterator<Item = Schema>>(schemas: I) -> Self {
        Self { schemas: schemas.into_iter().map(|schema| (schema.id().clone(), schema)).collect() }
    }
}

/// The URIs that a schema refers to, without what is behind `#`.
pub(super) fn references(schema: &Value) -> Vec<String> {
    let (mut found, mut left) = (Vec::new(), vec![schema]);
    while let Some(value) = left.pop() {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.push(reference.split('#').next().unwrap_or_default().to_owned());
                }
                left.extend(members.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    found.retain(|uri| !uri.is_empty());
    found
}
