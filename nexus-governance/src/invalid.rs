use std::collections::HashMap;

use jsonschema::Draft;
use serde_json::Value;

use crate::compatibility::{Unreadable, read};
use crate::validator;

/// What is no schema that can be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSchema {
    /// It is of a draft that is not understood here.
    #[error("\"$schema\" is {found}: draft-07 and 2020-12 are understood, such as {NEWEST:?}")]
    Draft {
        /// What it says.
        found: String,
    },
    /// It does not fit the rules of its draft.
    #[error("{}: {message}", at(pointer))]
    Malformed {
        /// Where in the schema, as a JSON Pointer.
        pointer: String,
        /// What is wrong there.
        message: String,
    },
    /// It takes too much to be used safely, or leads nowhere.
    #[error("{reason}")]
    Unusable {
        /// Why.
        reason: String,
    },
}

/// How 2020-12 is named.
pub(crate) const NEWEST: &str = "https://json-schema.org/draft/2020-12/schema";

fn at(pointer: &str) -> &str {
    if pointer.is_empty() { "the schema" } else { pointer }
}

impl From<Unreadable> for InvalidSchema {
    fn from(error: Unreadable) -> Self {
        Self::Unusable { reason: error.to_string() }
    }
}

impl InvalidSchema {
    /// Where in the schema the fault is, as a JSON Pointer; empty where it is all of it.
    pub fn pointer(&self) -> &str {
        match self {
            Self::Draft { .. } => "/$schema",
            Self::Malformed { pointer, .. } => pointer,
            Self::Unusable { .. } => "",
        }
    }
}

/// Refuses what is no schema, or one that could be used to hold everything up.
pub(crate) fn check(schema: &Value, references: &HashMap<String, Value>) -> Result<(), InvalidSchema> {
    if !matches!(schema, Value::Object(_) | Value::Bool(_)) {
        let message = format!("a schema is an object, or true or false, but this is {}", kind_of(schema));
        return Err(InvalidSchema::Malformed { pointer: String::new(), message });
    }
    if let Some(found) = schema.get("$schema") {
        let names = found.as_str().map(|uri| uri.trim_end_matches('#'));
        let is_known = names.is_some_and(|uri| KNOWN.contains(&uri));
        if !is_known {
            return Err(InvalidSchema::Draft { found: found.to_string() });
        }
    }
    // First what is bounded: the others follow the schema as deep as it goes.
    read(schema, references)?;
    let valid = match crate::compatibility::draft_of(schema) {
        Draft::Draft7 => jsonschema::draft7::meta::validate(schema),
        _ => jsonschema::draft202012::meta::validate(schema),
    };
    let malformed = |error: jsonschema::ValidationError<'_>, pointer: String| {
        let message = error.to_string();
        InvalidSchema::Malformed { pointer, message: shortened(&message) }
    };
    valid.map_err(|error| {
        let pointer = error.instance_path().to_string();
        malformed(error, pointer)
    })?;
    validator::build(schema, references).map(|_| ()).map_err(|error| {
        let pointer = error.schema_path().to_string();
        malformed(error, pointer)
    })
}

const KNOWN: [&str; 3] =
    [NEWEST, "http://json-schema.org/draft-07/schema", "https://json-schema.org/draft-07/schema"];

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A message that quotes a large document is cut.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
