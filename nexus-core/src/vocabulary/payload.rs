use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// An event's content: JSON text, held as bytes and parsed once, when somebody asks.
///
/// Stores keep the text as it is, byte for byte: what was written comes back, with its 64-bit integers, its
/// floats and its order of fields. Two payloads are equal when their text is. Cloning is cheap.
///
/// Numbers that are no JSON (`NaN` and the infinities) become `null` when they are written, as `serde_json` has
/// it; amounts of money are integers.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Payload(Bytes);

/// Bytes that are no JSON text, or a value that JSON cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("a payload must be JSON text in UTF-8")]
pub struct InvalidPayload(#[source] serde_json::Error);

impl Payload {
    /// The JSON text of `value`.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_vec(value).map(Self::from_checked)
    }

    /// Takes JSON text as it is, after checking that it is just that.
    pub fn from_json(text: impl Into<Bytes>) -> Result<Self, InvalidPayload> {
        let text = text.into();
        // `IgnoredAny` passes over the inside of strings, so UTF-8 is checked by itself.
        std::str::from_utf8(&text)
            .map_err(|error| InvalidPayload(serde::de::Error::custom(error)))
            .and_then(|text| serde_json::from_str::<IgnoredAny>(text).map_err(InvalidPayload))?;
        Ok(Self(text))
    }

    /// Takes bytes that are known to be JSON text, since they came out of [`Payload::as_bytes`] once.
    ///
    /// For backends. Bytes that were damaged since are found when the payload is decoded.
    pub fn from_checked(text: impl Into<Bytes>) -> Self {
        Self(text.into())
    }

    /// Parses the text into `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes the text has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text, which is no JSON: only damaged storage yields such a payload.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Written into other JSON as it stands, byte for byte: for `#[serde(with = …)]`, and JSON alone.
pub(crate) mod as_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use serde_json::value::RawValue;

    use super::Payload;

    pub(crate) fn serialize<S: Serializer>(payload: &Payload, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(payload.as_bytes()).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Payload::from_checked(String::from(Box::<str>::from(raw))))
    }

    /// The same where there may be none.
    pub(crate) mod option {
        use super::{Deserialize, Deserializer, Payload, Serialize, Serializer};

        #[derive(Serialize, Deserialize)]
        struct Written(#[serde(with = "super")] Payload);

        pub(crate) fn serialize<S: Serializer>(
            payload: &Option<Payload>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            payload.clone().map(Written).serialize(serializer)
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Payload>, D::Error> {
            Ok(Option::<Written>::deserialize(deserializer)?.map(|written| written.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "{} {}", "'a'", "\"\u{1}\"", "[1,]"] {
            assert!(Payload::from_json(text).is_err(), "{text:?}");
        }
        assert!(Payload::from_json(vec![b'"', 0xff, b'"']).is_err());
        assert!(Payload::from_json("[".repeat(100_000)).is_err());
    }

    #[test]
    fn text_is_kept_as_it_is() {
        let text = "{ \"b\": 18446744073709551615, \"a\": 1.10 }";
        assert_eq!(Payload::from_json(text).unwrap().as_bytes(), text.as_bytes());
    }

    proptest! {
        #[test]
        fn floats_and_integers_come_back_exactly(float in any::<f64>(), signed in any::<i64>(), unsigned in any::<u64>()) {
            prop_assume!(float.is_finite());
            let payload = Payload::of(&(float, signed, unsigned)).unwrap();
            let back: (f64, i64, u64) = payload.decode().unwrap();
            prop_assert_eq!(back, (float, signed, unsigned));
        }
    }
}
