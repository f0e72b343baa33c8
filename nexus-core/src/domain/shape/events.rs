//! The shapes of an event type's kinds: those of its variants, without serde's wrapping.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::{Value, json};

use super::Shape;
use crate::domain::{DomainEvent, EventKind};

impl Shape {
    /// The shapes of the payloads of an event type, one for each of its [`KINDS`](DomainEvent::KINDS).
    ///
    /// Where serde's attributes leave no telling which variant is which, each has the shape of the whole enum.
    pub fn of_events<E: DomainEvent + DeserializeOwned + JsonSchema>() -> Vec<(EventKind, Self)> {
        let whole = Self::of::<E>();
        let names = variant_names::<E>();
        let shape = |index: usize| {
            let branches =
                whole.0.get("oneOf").filter(|_| whole.0.get("properties").is_none())?.as_array()?;
            let mut found = match names.get(index) {
                Some(name) => branches.iter().find_map(|branch| external(branch, name))?,
                // What serde tags inside is read as any value; its variants are told in their order.
                None => branches.get(index).filter(|_| branches.len() == E::KINDS.len())?.clone(),
            };
            if let (Some(content), Some(definitions)) = (found.as_object_mut(), whole.0.get("$defs")) {
                content.insert("$defs".into(), definitions.clone());
            }
            Some(Self(found))
        };
        let kinds = E::KINDS.iter().enumerate();
        kinds.map(|(index, kind)| (*kind, shape(index).unwrap_or_else(|| whole.clone()))).collect()
    }
}

/// `{"Placed": CONTENT}`, or `"Delivered"`, whose content is written as `{}`.
fn external(branch: &Value, name: &str) -> Option<Value> {
    let object = branch.as_object()?;
    if let Some(properties) = object.get("properties").and_then(Value::as_object) {
        return properties.get(name).filter(|_| properties.len() == 1).cloned();
    }
    let names = object.get("enum").and_then(Value::as_array);
    let is_unit = object.get("const").is_some_and(|value| value == name)
        || names.is_some_and(|names| names.iter().any(|one| one == name));
    is_unit.then(|| json!({ "type": "object" }))
}

/// The names that serde knows the variants by, in their order; none for what is no enum.
fn variant_names<E: DeserializeOwned>() -> &'static [&'static str] {
    match E::deserialize(Asking) {
        Err(Answer::Variants(names)) => names,
        Ok(_) | Err(Answer::Nothing) => &[],
    }
}

/// Reads nothing, but hears what is asked for.
struct Asking;

/// What was heard.
#[derive(Debug)]
enum Answer {
    Variants(&'static [&'static str]),
    Nothing,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing is read")
    }
}

impl std::error::Error for Answer {}

impl de::Error for Answer {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Nothing
    }
}

impl<'de> Deserializer<'de> for Asking {
    type Error = Answer;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Answer> {
        Err(Answer::Nothing)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Answer> {
        Err(Answer::Variants(variants))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    #![allow(dead_code, reason = "their shapes are looked at, not they")]

    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
    enum TreeEvent {
        Planted {
            /// Where.
            place: String,
        },
        #[serde(rename = "leafed")]
        GrewLeaves(Branch),
        Felled,
        /// Said with words.
        Burnt,
    }

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Branch {
        leaves: u32,
        branches: Vec<Branch>,
    }

    fn shapes<E: DomainEvent + DeserializeOwned + JsonSchema>() -> Vec<(String, Value)> {
        Shape::of_events::<E>().into_iter().map(|(kind, shape)| (kind.name().into(), shape.0)).collect()
    }

    #[test]
    fn each_variant_has_the_shape_of_its_content() {
        let shapes = shapes::<TreeEvent>();
        let [(planted, place), (_, branch), (felled, nothing), (_, burnt)] = &shapes[..] else {
            panic!("{shapes:?}")
        };
        assert_eq!((planted.as_str(), felled.as_str()), ("TreePlanted", "TreeFelled"));
        assert_eq!(place["properties"], json!({ "place": { "type": "string" } }));
        assert!(branch.to_string().contains("$ref") && branch["$defs"]["Branch"].is_object(), "{branch}");
        assert_eq!((nothing["type"].clone(), burnt["type"].clone()), (json!("object"), json!("object")));
    }

    #[test]
    fn tags_of_serde_stay_part_of_the_shape() {
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        #[serde(tag = "kind")]
        enum TaggedEvent {
            One { a: u8 },
            Two { b: u8 },
        }
        let shapes = shapes::<TaggedEvent>();
        assert!(shapes[0].1["properties"]["a"].is_object(), "{shapes:?}");
        assert!(shapes[1].1["properties"]["b"].is_object(), "{shapes:?}");
        assert_eq!(shapes[1].1["properties"]["kind"]["const"], "Two");
    }

    #[test]
    fn one_variant_and_a_struct_have_shapes_too() {
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        enum LoneEvent {
            Moved { x: i32 },
        }
        #[derive(Serialize, Deserialize, JsonSchema, DomainEvent)]
        struct Moved {
            x: i32,
        }
        for shapes in [shapes::<LoneEvent>(), shapes::<Moved>()] {
            assert!(shapes[0].1["properties"]["x"].is_object(), "{shapes:?}");
        }
    }
}
