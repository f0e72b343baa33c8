use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What JSON text says, if everybody reads the same in it: a member that is there twice means the first to some and the last to
/// others, and serde_json takes an object with one member of a certain name for the JSON in that.
pub(crate) fn parsed<T: Document>(text: &[u8]) -> Result<T, serde_json::Error> {
    let value: T = serde_json::from_slice(text)?;
    let Seen { members, is_odd } = Seen::of(text);
    if is_odd || value.members() != members {
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        Unambiguous.deserialize(&mut deserializer)?;
    }
    Ok(value)
}

/// How serde_json marks a number; readers that understand the mark take the object for one.
const NUMBER: &str = "$serde_json::private::Number";

/// How serde_json marks a text that stands for JSON.
const RAW: &str = "$serde_json::private::RawValue";

/// What JSON is read as.
pub(crate) trait Document: DeserializeOwned {
    /// How many members its objects have.
    fn members(&self) -> usize;
}

impl Document for Value {
    fn members(&self) -> usize {
        match self {
            Self::Object(members) => members.len() + members.values().map(Self::members).sum::<usize>(),
            Self::Array(items) => items.iter().map(Self::members).sum(),
            _ => 0,
        }
    }
}

impl Document for regorus::Value {
    fn members(&self) -> usize {
        match self {
            Self::Object(members) => members.len() + members.values().map(Self::members).sum::<usize>(),
            Self::Array(items) => items.iter().map(Self::members).sum(),
            _ => 0,
        }
    }
}

/// What a look at a JSON text shows.
#[derive(Debug, PartialEq)]
struct Seen {
    /// How many members are written in it: each has a colon.
    members: usize,
    /// A name may be one that has a meaning of its own.
    is_odd: bool,
}

impl Seen {
    fn of(text: &[u8]) -> Self {
        let mut seen = Self { members: 0, is_odd: false };
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            at += 1;
            match byte {
                b':' => seen.members += 1,
                b'"' => {
                    seen.is_odd |= text.get(at) == Some(&b'$');
                    while let Some(byte) = text.get(at).filter(|byte| **byte != b'"') {
                        if *byte == b'\\' {
                            at += 1;
                            // What is written so may be any character.
                            seen.is_odd |= text.get(at) == Some(&b'u');
                        }
                        at += 1;
                    }
                    at += 1;
                }
                _ => {}
            }
        }
        seen
    }
}

/// Fails at a member that is there twice, or means something else.
struct Unambiguous;

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if name == RAW || name == NUMBER {
                return Err(A::Error::custom(format!("field {name:?} has a meaning of its own")));
            }
            if seen.contains(&name) {
                return Err(A::Error::custom(format!("field {name:?} is there twice")));
            }
            seen.insert(name);
            members.next_value_seed(Self)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_as_it_stands_or_not_at_all() {
        let text = r#"{"a":[null,true,-1,18446744073709551615,1.5,"x:\":\\"],"b":{"a":"\u00fc","c:":{}}}"#;
        assert_eq!(parsed::<Value>(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        let error = parsed::<Value>(br#"{"a":[{"b":1,"c":2.5,"b":1}]}"#).unwrap_err();
        assert!(error.to_string().starts_with("field \"b\" is there twice at line 1"), "{error}");
        assert!(parsed::<Value>(br#"{"a":1,"\u0061":1}"#).is_err());
        assert!(parsed::<Value>(b"{} {}").is_err());
        for raw in ["$serde_json::private::RawValue", "\\u0024serde_json::private::RawValue"] {
            let text = format!(r#"{{"a":{{"{raw}":"{{\"b\":1}}"}}}}"#);
            let error = parsed::<regorus::Value>(text.as_bytes()).unwrap_err();
            assert!(error.to_string().contains("has a meaning of its own"), "{error}");
        }
        assert!(parsed::<regorus::Value>(br#"{"$a":"\u00fc"}"#).is_ok());
    }

    #[test]
    fn members_are_counted_in_the_text() {
        let text = r#"{"a":[{"b:":":"},{"\"":{}}],"c\\":"\\"}"#;
        assert_eq!(Seen::of(text.as_bytes()), Seen { members: 4, is_odd: false });
        assert!(Seen::of(br#"{"a":"\u0024"}"#).is_odd && Seen::of(br#"{"$a":1}"#).is_odd);
        assert_eq!(serde_json::from_str::<Value>(text).unwrap().members(), 4);
    }
}
