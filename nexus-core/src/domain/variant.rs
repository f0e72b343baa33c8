//! Writes and reads the content of one variant of an enum, without the enum's own wrapping.
//!
//! serde writes `OrderEvent::Paid { cents: 5 }` as `{"Paid":{"cents":5}}`; which variant it is stands in the event's
//! type already, so the payload is `{"cents":5}`. Instead of generating a struct a variant, these adapters sit
//! between the user's own `Serialize`/`Deserialize` and JSON: all of serde's attributes keep their meaning,
//! and the text is parsed once, straight into the type.

mod reader;
mod writer;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::EventKind;
use crate::vocabulary::Payload;

/// The content of the variant that `event` is.
pub fn encode<E: Serialize>(event: &E) -> Result<Payload, serde_json::Error> {
    let mut text = Vec::with_capacity(128);
    event.serialize(writer::VariantWriter(&mut serde_json::Serializer::new(&mut text)))?;
    Ok(Payload::from_checked(Bytes::from(text)))
}

/// The variant that stands where `kind` stands in `kinds`, with this content.
pub fn decode<E: DeserializeOwned>(
    kinds: &[EventKind],
    kind: &EventKind,
    payload: &Payload,
) -> Result<E, serde_json::Error> {
    let index = kinds.iter().position(|known| std::ptr::eq(known, kind) || known == kind);
    let index = index.and_then(|index| u32::try_from(index).ok()).ok_or_else(|| {
        serde::de::Error::custom(format_args!("{:?} is none of the type's kinds", kind.name()))
    })?;
    let mut json = serde_json::Deserializer::from_slice(payload.as_bytes());
    let event = E::deserialize(reader::VariantReader { index, json: &mut json })?;
    json.end()?;
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DomainEvent;
    use serde::Deserialize;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Line {
        sku: String,
        units: u32,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, DomainEvent)]
    enum ShapesEvent {
        Unit,
        Newtype(Line),
        Tuple(u8, String),
        #[serde(rename_all = "camelCase")]
        Struct {
            two_words: u64,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            absent: Option<u8>,
        },
        #[serde(rename = "other")]
        Renamed {
            #[serde(flatten)]
            line: Line,
            deep: Option<Vec<Line>>,
        },
        Optional(Option<u8>),
    }

    fn all() -> Vec<(ShapesEvent, &'static str)> {
        let line = Line { sku: "cd".into(), units: 2 };
        vec![
            (ShapesEvent::Unit, "{}"),
            (ShapesEvent::Newtype(line.clone()), r#"{"sku":"cd","units":2}"#),
            (ShapesEvent::Tuple(1, "a".into()), r#"[1,"a"]"#),
            (
                ShapesEvent::Struct { two_words: u64::MAX, absent: None },
                r#"{"twoWords":18446744073709551615}"#,
            ),
            (
                ShapesEvent::Renamed { line: line.clone(), deep: Some(vec![line]) },
                r#"{"sku":"cd","units":2,"deep":[{"sku":"cd","units":2}]}"#,
            ),
            (ShapesEvent::Optional(None), "null"),
        ]
    }

    #[test]
    fn the_payload_is_the_content_of_the_variant_alone() {
        for (event, text) in all() {
            let payload = event.encode().unwrap();
            assert_eq!(payload.to_string(), text);
            assert_eq!(ShapesEvent::decode(event.kind(), &payload).unwrap(), event);
        }
    }

    #[test]
    fn enums_that_serde_tags_itself_keep_their_tag() {
        #[derive(Debug, PartialEq, Serialize, Deserialize, DomainEvent)]
        #[serde(tag = "type")]
        enum TaggedEvent {
            One { a: u8 },
            Two { a: u8 },
        }
        for event in [TaggedEvent::One { a: 1 }, TaggedEvent::Two { a: 2 }] {
            let payload = event.encode().unwrap();
            assert!(payload.to_string().contains("type"), "{payload}");
            assert_eq!(TaggedEvent::decode(event.kind(), &payload).unwrap(), event);
        }
    }

    #[test]
    fn content_that_does_not_fit_is_an_error() {
        let [_, _, _, kind, ..] = ShapesEvent::KINDS else { panic!("kinds") };
        for text in ["", "{}", "[]", "{\"twoWords\":-1}", "{\"twoWords\":1} 2", "{\"twoWords\":1"] {
            let payload = Payload::from_checked(text);
            assert!(ShapesEvent::decode(kind, &payload).is_err(), "{text}");
        }
    }
}
