//! Formats are known by what the validator says of samples.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Texts that fit a format or another, or none.
pub(super) const SAMPLES: [&str; 40] = [
    "2026-11-26",
    "1999-01-31",
    "2026-11-26T10:20:30Z",
    "1999-01-31T23:59:59.5+01:00",
    "10:20:30Z",
    "23:59:59.5+01:00",
    "P1D",
    "PT30S",
    "a@b.co",
    "ada.lovelace@example.com",
    "example.com",
    "www.example.org",
    "a",
    "127.0.0.1",
    "10.20.30.40",
    "::1",
    "2001:db8::8:800:200c:417a",
    "http://example.com",
    "https://example.com/a?b=c#d",
    "urn:isbn:0451450523",
    "/a/b",
    "/a",
    "0",
    "1/a",
    "00000000-0000-4000-8000-000000000000",
    "123e4567-e89b-12d3-a456-426614174000",
    "http://example.com/{id}",
    "{id}",
    "[a-z]+",
    "^a$",
    "",
    " ",
    "?",
    "(",
    "{",
    "%",
    "é",
    "not of any format, for all one knows: \\ {",
    "1",
    "zzzzzzzz",
];

/// Whether the text fits the format, as the validator sees it.
pub(super) fn fits(format: &str, text: &str) -> bool {
    static KNOWN: OnceLock<Mutex<HashMap<String, Option<Validator>>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let validator = known
        .entry(format.to_owned())
        .or_insert_with(|| crate::validator::options().build(&json!({ "format": format })).ok());
    validator.as_ref().is_none_or(|validator| validator.is_valid(&Value::String(text.to_owned())))
}
