//! Values of the engine, made of what we have: by way of JSON each would be made twice.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regorus::Value;
use serde_json::Value as Json;

/// The names of members that every input has, or nearly so: each is made once.
macro_rules! names {
    ($($name:literal)*) => {
        static NAMES: LazyLock<BTreeMap<&'static str, Value>> =
            LazyLock::new(|| BTreeMap::from([$(($name, Value::from($name))),*]));
    };
}

names! {
    "actor" "aggregate" "category" "causation" "claims" "command" "correlation" "event" "event_types" "events" "extras" "id"
    "is_registered" "metadata" "name" "operation" "payload" "policy" "position" "roles" "tags" "tenant" "time" "trace" "type" "version"
}

/// The name of a member.
pub(super) fn name(name: &str) -> Value {
    NAMES.get(name).cloned().unwrap_or_else(|| Value::from(name))
}

/// An object of these members.
pub(super) fn object<'a>(members: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::from(members.into_iter().map(|(of, value)| (name(of), value)).collect::<BTreeMap<_, _>>())
}

/// A list.
pub(super) fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::from(items.into_iter().collect::<Vec<_>>())
}

/// The same as JSON has it, whatever its members are called.
pub(crate) fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::String(text) => Value::from(text.as_str()),
        Json::Number(number) => {
            if let Some(number) = number.as_u64() {
                Value::from(number)
            } else if let Some(number) = number.as_i64() {
                Value::from(number)
            } else {
                // Where a program asks serde_json for numbers of any precision, the text has more than a float.
                Value::from_json_str(&number.to_string()).unwrap_or(Value::Undefined)
            }
        }
        Json::Array(items) => list(items.iter().map(value)),
        Json::Object(members) => object(members.iter().map(|(name, of)| (name.as_str(), value(of)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_what_the_engine_makes_of_it() {
        let json = r#"{"a":[null,true,-1,18446744073709551615,1.5,1e300,0.0,2.0,"x"],"events":{"a":{}},"b":-9223372036854775808}"#;
        let json: Json = serde_json::from_str(json).unwrap();
        assert_eq!(value(&json), Value::from(json));
        let marked = serde_json::json!({ "$serde_json::private::Number": "none" });
        assert_eq!(value(&marked)["$serde_json::private::Number"], Value::from("none"));
    }
}
