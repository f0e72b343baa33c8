//! A typical event of the shop, and its schema.

use serde_json::{Value, json};

/// An event of 3 lines.
pub fn event() -> Value {
    let line = |sku: &str| json!({ "sku": sku, "units": 2, "total_cents": 2354 });
    json!({
        "customer": "ada", "ordered_on": "1997-01-12",
        "lines": [line("kind-of-blue"), line("giant-steps"), line("blue-train")],
    })
}

/// What it has to fit.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "customer": { "type": "string", "minLength": 1 },
            "ordered_on": { "type": "string", "format": "date" },
            "lines": { "type": "array", "items": {
                "type": "object",
                "properties": {
                    "sku": { "type": "string", "pattern": "^[a-z0-9-]+$" },
                    "units": { "type": "integer", "minimum": 1 },
                    "total_cents": { "type": "integer", "minimum": 0 },
                },
                "required": ["sku", "units", "total_cents"],
                "additionalProperties": false,
            } },
        },
        "required": ["customer", "ordered_on", "lines"],
        "additionalProperties": false,
    })
}
