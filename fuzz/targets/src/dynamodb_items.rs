use std::collections::HashMap;

use arbitrary::{Arbitrary, Unstructured};
use nexus_dynamodb::{AttributeValue, events_of_item};

use crate::recorded::look_at;

/// An attribute of any kind, under one of the names that count.
#[derive(Arbitrary, Debug)]
enum Value {
    Text(String),
    Number(String),
    Whole(i64),
    Bytes(Vec<u8>),
    Flag(bool),
    List(Vec<String>),
    Null,
}

impl Value {
    fn into_attribute(self) -> AttributeValue {
        match self {
            Self::Text(text) => AttributeValue::S(text),
            Self::Number(digits) => AttributeValue::N(digits),
            Self::Whole(number) => AttributeValue::N(number.to_string()),
            Self::Bytes(bytes) => AttributeValue::S(String::from_utf8_lossy(&bytes).into_owned()),
            Self::Flag(flag) => AttributeValue::Bool(flag),
            Self::List(texts) => AttributeValue::Ss(texts),
            Self::Null => AttributeValue::Null(true),
        }
    }
}

/// The names of a commit's attributes.
const NAMES: [&str; 6] = ["s", "v", "t", "h", "e", "b"];

/// An item of the table of events: as text, one attribute a line, a letter for its kind (`S` or `N`), its name and its value; or of any
/// attributes.
pub fn dynamodb_items(bytes: &[u8]) {
    let item = std::str::from_utf8(bytes).ok().and_then(written).or_else(|| any(bytes));
    let Some(item) = item else { return };
    for event in events_of_item(item).into_iter().flatten() {
        look_at(&event);
    }
}

fn written(text: &str) -> Option<HashMap<String, AttributeValue>> {
    let mut item = HashMap::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ' ');
        let (kind, name, value) = (parts.next()?, parts.next()?, parts.next()?.to_owned());
        let value = match kind {
            "S" => AttributeValue::S(value),
            "N" => AttributeValue::N(value),
            _ => return None,
        };
        item.insert(name.to_owned(), value);
    }
    Some(item)
}

fn any(bytes: &[u8]) -> Option<HashMap<String, AttributeValue>> {
    let mut source = Unstructured::new(bytes);
    let mut item = HashMap::new();
    for name in NAMES {
        if let Some(value) = Option::<Value>::arbitrary(&mut source).ok()? {
            item.insert(name.to_owned(), value.into_attribute());
        }
    }
    Some(item)
}
