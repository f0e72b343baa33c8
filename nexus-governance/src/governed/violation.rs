use std::fmt;

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use serde_json::Value;

use crate::invalid::shortened;
use crate::pointer::Pointer;

/// Where a document does not fit its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, as a JSON Pointer; empty for the whole document.
    pub pointer: String,
    /// What would be accepted there.
    pub expected: String,
    /// What is there: JSON, of which a long one is cut.
    pub found: String,
    /// Which keyword of the schema asks for it, as a JSON Pointer.
    pub keyword: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pointer, expected, found, .. } = self;
        let place = if pointer.is_empty() { "the document" } else { pointer };
        write!(f, "{place}: expected {expected}, found {found}")
    }
}

/// How much of a value is shown.
const SHOWN: usize = 80;

/// What the validator found, a field each.
pub(super) fn violations(error: &ValidationError<'_>) -> Vec<Violation> {
    let at = error.instance_path().to_string();
    let instance = error.instance();
    let keyword = error.schema_path().to_string();
    let one = |pointer: String, expected: String, found: String| Violation {
        pointer,
        expected,
        found,
        keyword: keyword.clone(),
    };
    let member = |name: &str| Pointer::parse(&at).unwrap_or_default().join(name).as_str().to_owned();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            vec![one(member(name), "a value: the field is required".into(), "nothing".into())]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let each = unexpected.iter().map(|name| {
                let found = instance.get(name).map_or_else(|| "one".into(), shown);
                one(member(name), "no field of that name".into(), found)
            });
            each.collect()
        }
        kind => vec![one(at, expected(kind), shown(instance))],
    }
}

fn expected(kind: &ValidationErrorKind) -> String {
    match kind {
        ValidationErrorKind::Type { kind: TypeKind::Single(of) } => format!("type {of}"),
        ValidationErrorKind::Type { kind: TypeKind::Multiple(of) } => {
            let names: Vec<String> = of.iter().map(|of| of.to_string()).collect();
            format!("type {}", names.join(" or "))
        }
        ValidationErrorKind::Constant { expected_value } => shown(expected_value),
        ValidationErrorKind::Enum { options } => format!("one of {}", shortened(&options.to_string())),
        ValidationErrorKind::Minimum { limit } => format!("at least {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("more than {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("at most {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("less than {limit}"),
        ValidationErrorKind::MultipleOf { multiple_of } => format!("a multiple of {multiple_of}"),
        ValidationErrorKind::MinLength { limit } => format!("at least {limit} characters"),
        ValidationErrorKind::MaxLength { limit } => format!("at most {limit} characters"),
        ValidationErrorKind::Pattern { pattern } => format!("what matches {}", shortened(pattern)),
        ValidationErrorKind::Format { format } => format!("a text of format {format}"),
        ValidationErrorKind::MinItems { limit } => format!("at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("at most {limit} items"),
        ValidationErrorKind::AdditionalItems { .. } | ValidationErrorKind::UnevaluatedItems { .. } => {
            "no more items".to_owned()
        }
        ValidationErrorKind::UniqueItems => "no item twice".to_owned(),
        ValidationErrorKind::Contains => {
            "more, or fewer, items of the kind that it has to contain".to_owned()
        }
        ValidationErrorKind::MinProperties { limit } => format!("at least {limit} fields"),
        ValidationErrorKind::MaxProperties { limit } => format!("at most {limit} fields"),
        ValidationErrorKind::PropertyNames { error } => format!("other names of fields ({error})"),
        ValidationErrorKind::AnyOf { .. } => "what fits one of the alternatives of its schema".to_owned(),
        ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::OneOfMultipleValid { .. } => {
            "what fits exactly one of the alternatives of its schema".to_owned()
        }
        ValidationErrorKind::Not { schema } => format!("nothing that fits {}", shown(schema)),
        ValidationErrorKind::FalseSchema => "nothing".to_owned(),
        other => format!("what `{}` of its schema asks for", other.keyword()),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
