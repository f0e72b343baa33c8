mod events;

use std::fmt;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What values of a type look like when they are written as JSON: a JSON Schema (2020-12) that says nothing of what is
/// for people only, such as titles and descriptions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shape(Value);

/// What does not change how a value is written.
const FOR_PEOPLE: [&str; 6] = ["$schema", "title", "description", "examples", "deprecated", "$comment"];

impl Shape {
    /// The shape of `T` as it is read back.
    pub fn of<T: JsonSchema + ?Sized>() -> Self {
        Self::by::<T>(SchemaSettings::draft2020_12().for_deserialize())
    }

    fn by<T: JsonSchema + ?Sized>(settings: SchemaSettings) -> Self {
        // Each shape says all by itself; only what contains itself refers to definitions.
        let settings = settings.with(|settings| settings.inline_subschemas = true);
        Self::plain(SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value())
    }

    pub(crate) fn plain(mut schema: Value) -> Self {
        strip(&mut schema);
        Self(schema)
    }

    /// The schema.
    pub fn as_value(&self) -> &Value {
        &self.0
    }

    /// Says in 32 characters whether two programs write and read a type alike.
    pub(crate) fn fingerprint<T: JsonSchema + ?Sized>(version: u32, more: &[String]) -> String {
        let written = Self::by::<T>(SchemaSettings::draft2020_12().for_serialize());
        let read = Self::of::<T>();
        let mut digest = Sha256::new();
        for part in [version.to_string(), written.to_string(), read.to_string()].iter().chain(more) {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Removes what is for people. A name of a property is not a keyword, whatever it is called.
fn strip(schema: &mut Value) {
    match schema {
        Value::Object(keywords) => {
            keywords.retain(|keyword, _| !FOR_PEOPLE.contains(&keyword.as_str()));
            for (keyword, value) in keywords {
                match (keyword.as_str(), value) {
                    (
                        "properties" | "patternProperties" | "$defs" | "dependentSchemas",
                        Value::Object(named),
                    ) => {
                        named.values_mut().for_each(strip);
                    }
                    // Values, not schemas.
                    ("const" | "enum" | "default" | "required", _) => {}
                    (_, value) => strip(value),
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(dead_code, reason = "their shapes are looked at, not they")]

    use super::*;

    mod before {
        /// A point.
        #[derive(super::JsonSchema)]
        pub(super) struct Point {
            /// From the left.
            pub(super) x: i64,
        }
    }

    mod after {
        #[derive(super::JsonSchema)]
        pub(super) struct Point {
            /// From the right.
            pub(super) x: i64,
        }

        #[derive(super::JsonSchema)]
        pub(super) struct Titled {
            pub(super) title: i64,
        }
    }

    #[test]
    fn words_for_people_are_no_part_of_a_shape() {
        assert_eq!(Shape::of::<before::Point>(), Shape::of::<after::Point>());
        let titled = Shape::of::<after::Titled>();
        assert!(titled.as_value()["properties"]["title"].is_object(), "{titled}");
    }

    #[test]
    fn a_fingerprint_tells_shapes_and_versions_apart() {
        let point = Shape::fingerprint::<before::Point>(1, &[]);
        assert_eq!(point, Shape::fingerprint::<after::Point>(1, &[]));
        assert_eq!(point.len(), 32);
        assert_ne!(point, Shape::fingerprint::<before::Point>(2, &[]));
        assert_ne!(point, Shape::fingerprint::<before::Point>(1, &["v1".into()]));
        assert_ne!(point, Shape::fingerprint::<after::Titled>(1, &[]));
    }
}
