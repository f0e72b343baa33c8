//! How the validator is set up: without network, in bounded time.

use std::collections::HashMap;

use jsonschema::{PatternOptions, Registry, ValidationError, ValidationOptions, Validator};
use serde_json::Value;

/// The memory that a compiled pattern may take, in bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// Formats are checked; patterns are matched in linear time, or refused; nothing is fetched.
pub(crate) fn options<'a>() -> ValidationOptions<'a> {
    let patterns = PatternOptions::regex().size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE);
    jsonschema::options().should_validate_formats(true).with_pattern_options(patterns).offline()
}

/// A validator of the schema, which may refer to others by their URI.
pub(crate) fn build(
    schema: &Value,
    references: &HashMap<String, Value>,
) -> Result<Validator, ValidationError<'static>> {
    let draft = crate::compatibility::draft_of(schema);
    if references.is_empty() {
        return options().with_draft(draft).build(schema);
    }
    let mut registry = Registry::new();
    for (uri, schema) in references {
        registry = registry.add(uri, schema)?;
    }
    let registry = registry.prepare()?;
    options().with_draft(draft).with_registry(&registry).build(schema)
}
