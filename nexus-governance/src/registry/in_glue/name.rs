use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::registry::RegistryError;
use crate::schema::SchemaId;

/// What stands for itself in the name of a Glue schema.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-');

/// How long a name may be.
const LONGEST: usize = 255;

/// What a schema is called at Glue: `event.OrderPlaced`.
pub(super) fn of(id: &SchemaId) -> Result<String, RegistryError> {
    let encoded = utf8_percent_encode(&id.name, PLAIN).to_string().replace('%', "#");
    let name = format!("{}.{encoded}", id.kind);
    if name.len() > LONGEST {
        let reason =
            format!("at Glue its name would have {} characters, and {LONGEST} is the limit", name.len());
        return Err(RegistryError::Unsupported { id: id.clone(), reason });
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_as_what_they_are_of_does() {
        let name = |id: &str| of(&id.parse().unwrap()).unwrap();
        assert_eq!(name("event/OrderPlaced/1.0.0"), "event.OrderPlaced");
        assert_eq!(name("type/a.b-c_d/1.0.0"), "type.a.b-c_d");
        assert_eq!(name("command/a%2Fb%20%23%25%C3%BC~/1.0.0"), "command.a#2Fb#20#23#25#C3#BC#7E");
        let long = format!("event/{}/1.0.0", "%20".repeat(100)).parse().unwrap();
        assert!(of(&long).unwrap_err().to_string().contains("306 characters"), "{:?}", of(&long));
    }
}
