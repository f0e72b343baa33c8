use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{CompatibilityMode, InvalidSchemaId, SchemaDigest, SchemaId, SchemaKind, SemanticVersion};
use crate::invalid::kind_of;

/// Where a schema comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Origin {
    /// Somebody wrote it.
    #[default]
    Written,
    /// It was derived from a Rust type: it says what that type reads.
    Derived,
}

/// A schema as it is registered: a JSON Schema that also says, in `x-nexus`, what it is of.
///
/// ```json
/// {
///   "$schema": "https://json-schema.org/draft/2020-12/schema",
///   "$id": "nexus:event/OrderPlaced/1.0.0",
///   "x-nexus": {
///     "kind": "event", "name": "OrderPlaced", "version": "1.0.0", "created_at": "2026-11-26T09:30:00Z",
///     "compatibility": "BACKWARD_TRANSITIVE", "origin": "written", "digest": "sha256:…"
///   },
///   "type": "object",
///   "properties": { "customer": { "type": "string" } },
///   "required": ["customer"],
///   "additionalProperties": false
/// }
/// ```
///
/// With a digest it is *released*, and never changes any more; without one it is a draft, which nothing is validated by.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    id: SchemaId,
    created_at: Timestamp,
    compatibility: CompatibilityMode,
    origin: Origin,
    digest: Option<SchemaDigest>,
    document: Value,
}

/// What is written about a schema in itself.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    kind: SchemaKind,
    name: String,
    version: SemanticVersion,
    created_at: Timestamp,
    #[serde(default)]
    compatibility: CompatibilityMode,
    #[serde(default)]
    origin: Origin,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<SchemaDigest>,
}

const ABOUT: &str = "x-nexus";

/// What is no registered schema.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchemaDocument {
    /// It is no JSON object.
    #[error("a registered schema is a JSON object with \"x-nexus\", but this is {found}")]
    NoObject {
        /// What it is.
        found: &'static str,
    },
    /// It does not say what it is of.
    #[error("\"x-nexus\" has to say kind, name, version and created_at of the schema")]
    About(#[source] serde_json::Error),
    /// Its name is none.
    #[error(transparent)]
    Id(#[from] InvalidSchemaId),
    /// `$id` says otherwise.
    #[error("\"$id\" is {found}, but by \"x-nexus\" it is {expected:?}")]
    Otherwise {
        /// What `$id` says.
        found: String,
        /// What it has to be.
        expected: String,
    },
    /// It was altered after it had been released.
    #[error(
        "{id} was altered after it had been released: its digest is {found}, but {written} is written in it"
    )]
    Altered {
        /// Which it is.
        id: SchemaId,
        /// What was released.
        written: SchemaDigest,
        /// What is there now.
        found: SchemaDigest,
    },
}

impl InvalidSchemaDocument {
    /// Where the fault is, as a JSON Pointer.
    pub fn pointer(&self) -> &'static str {
        match self {
            Self::NoObject { .. } => "",
            Self::About(_) | Self::Id(_) => "/x-nexus",
            Self::Otherwise { .. } => "/$id",
            Self::Altered { .. } => "/x-nexus/digest",
        }
    }
}

impl Schema {
    /// A draft of the JSON Schema `schema`; what that says in `x-nexus` and `$id` is replaced.
    pub fn draft(
        id: SchemaId,
        created_at: Timestamp,
        compatibility: CompatibilityMode,
        origin: Origin,
        schema: Value,
    ) -> Result<Self, InvalidSchemaDocument> {
        let Value::Object(mut members) = schema else {
            return Err(InvalidSchemaDocument::NoObject { found: kind_of(&schema) });
        };
        members.entry("$schema").or_insert_with(|| json!(crate::invalid::NEWEST));
        members.insert("$id".into(), json!(id.uri()));
        // To the second: it is read by people.
        let created_at = Timestamp::from_second(created_at.as_second()).unwrap_or(created_at);
        let mut schema =
            Self { id, created_at, compatibility, origin, digest: None, document: Value::Object(members) };
        schema.write_about();
        Ok(schema)
    }

    /// What a document says.
    ///
    /// # Errors
    /// It does not say what it is of, or was altered after it had been released. Whether it is a JSON Schema is not looked at.
    pub fn from_document(document: Value) -> Result<Self, InvalidSchemaDocument> {
        let Value::Object(members) = &document else {
            return Err(InvalidSchemaDocument::NoObject { found: kind_of(&document) });
        };
        let about = members.get(ABOUT).cloned().unwrap_or(Value::Null);
        let about: About = serde_json::from_value(about).map_err(InvalidSchemaDocument::About)?;
        let About { kind, name, version, created_at, compatibility, origin, digest } = about;
        let id = SchemaId::new(kind, name, version)?;
        if let Some(found) = members.get("$id").filter(|found| **found != json!(id.uri())) {
            return Err(InvalidSchemaDocument::Otherwise { found: found.to_string(), expected: id.uri() });
        }
        let schema = Self { id, created_at, compatibility, origin, digest, document };
        let (found, id) = (schema.content_digest(), schema.id.clone());
        match &schema.digest {
            Some(written) if *written != found => {
                Err(InvalidSchemaDocument::Altered { id, written: written.clone(), found })
            }
            _ => Ok(schema),
        }
    }

    /// The same, released: from now on it has a digest.
    #[must_use]
    pub fn released(mut self) -> Self {
        // What was left out is written down, and counts.
        self.digest = None;
        self.write_about();
        self.digest = Some(self.content_digest());
        self.write_about();
        self
    }

    fn write_about(&mut self) {
        let Self { id, created_at, compatibility, origin, digest, .. } = self;
        let about = About {
            kind: id.kind,
            name: id.name.clone(),
            version: id.version,
            created_at: *created_at,
            compatibility: *compatibility,
            origin: *origin,
            digest: digest.clone(),
        };
        if let Value::Object(members) = &mut self.document {
            // Plain texts can always be written.
            members.insert(ABOUT.into(), serde_json::to_value(about).unwrap_or_default());
        }
    }

    /// Over everything but the digest itself.
    fn content_digest(&self) -> SchemaDigest {
        let mut document = self.document.clone();
        if let Some(Value::Object(about)) = document.get_mut(ABOUT) {
            about.remove("digest");
        }
        SchemaDigest::of(&document)
    }

    /// Whether both say the same, whenever they were made, and whether they are released or not.
    pub(crate) fn says_the_same_as(&self, other: &Self) -> bool {
        let content = |of: &Self| {
            let mut document = of.document.clone();
            if let Value::Object(members) = &mut document {
                members.remove(ABOUT);
            }
            (of.id.clone(), of.compatibility, of.origin, document)
        };
        content(self) == content(other)
    }

    /// What it is of, and its version.
    pub fn id(&self) -> &SchemaId {
        &self.id
    }

    /// When it was made.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// What its next version has to go together with.
    pub fn compatibility(&self) -> CompatibilityMode {
        self.compatibility
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Whether it never changes any more.
    pub fn is_released(&self) -> bool {
        self.digest.is_some()
    }

    /// What it was when it was released; `None` for a draft.
    pub fn digest(&self) -> Option<&SchemaDigest> {
        self.digest.as_ref()
    }

    /// The JSON Schema, with what it says about itself.
    pub fn document(&self) -> &Value {
        &self.document
    }

    /// The text of a file that holds it: what it is comes first, then what it says.
    pub fn to_text(&self) -> String {
        let first = ["$schema", "$id", ABOUT];
        let Value::Object(members) = &self.document else { return String::new() };
        let others: Map<String, Value> = members
            .iter()
            .filter(|(name, _)| !first.contains(&name.as_str()))
            .map(|(name, of)| (name.clone(), of.clone()))
            .collect();
        let of = |name: &&'static str| members.get(*name).map(|value| (*name, value));
        let ordered =
            first.iter().filter_map(of).chain(others.iter().map(|(name, value)| (name.as_str(), value)));
        let lines: Vec<String> = ordered
            .map(|(name, value)| {
                let value = serde_json::to_string_pretty(value).unwrap_or_default().replace('\n', "\n  ");
                format!("  {}: {value}", Value::from(name))
            })
            .collect();
        format!("{{\n{}\n}}\n", lines.join(",\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let id = "event/OrderPlaced/1.0.0".parse().unwrap();
        let (mode, at) = (CompatibilityMode::Full, "2026-11-26T09:30:00Z".parse().unwrap());
        Schema::draft(id, at, mode, Origin::Written, json!({ "type": "object", "title": "a\nb" })).unwrap()
    }

    #[test]
    fn a_document_says_all_of_a_schema() {
        for schema in [schema(), schema().released()] {
            assert_eq!(Schema::from_document(schema.document().clone()).unwrap(), schema);
            let text = schema.to_text();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), *schema.document());
            assert!(text.starts_with("{\n  \"$schema\": "), "{text}");
        }
        assert_eq!(schema().released().digest(), schema().released().released().digest());
    }

    #[test]
    fn what_was_left_out_is_written_down_when_it_is_released() {
        let about =
            json!({ "kind": "event", "name": "A", "version": "1.0.0", "created_at": "2026-11-26T09:30:00Z" });
        let released = Schema::from_document(json!({ "x-nexus": about })).unwrap().released();
        assert_eq!(released.document()["x-nexus"]["compatibility"], "BACKWARD_TRANSITIVE");
        assert_eq!(Schema::from_document(released.document().clone()).unwrap(), released);
    }

    #[test]
    fn what_was_released_is_not_altered() {
        let mut document = schema().released().document().clone();
        document["type"] = json!("string");
        let error = Schema::from_document(document).unwrap_err();
        assert!(matches!(error, InvalidSchemaDocument::Altered { .. }), "{error}");
        let mut document = schema().released().document().clone();
        document["x-nexus"]["compatibility"] = json!("NONE");
        assert!(Schema::from_document(document).is_err());
    }

    #[test]
    fn what_says_nothing_of_itself_is_refused() {
        let refused = |document| Schema::from_document(document).unwrap_err();
        assert_eq!(refused(json!([])).pointer(), "");
        assert_eq!(refused(json!({ "type": "object" })).pointer(), "/x-nexus");
        let mut document = schema().document().clone();
        document["$id"] = json!("nexus:event/Other/1.0.0");
        assert_eq!(refused(document).pointer(), "/$id");
    }
}
