use nexus_governance::{Schema, Verdict};
use serde_json::Value;

/// Two schemas, a line between them: each may be registered, and whether they go together is told within a moment, with a witness that is one.
pub fn schemas(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (writer, reader) = text.split_once('\n').unwrap_or((text, "{}"));
    let (Some(writer), Some(reader)) = (read(writer), read(reader)) else { return };
    for document in [&writer, &reader] {
        if let Ok(schema) = Schema::from_document(document.clone()) {
            let again = Schema::from_document(schema.document().clone()).expect("as it was");
            assert_eq!(again, schema);
        }
    }
    match Verdict::of(&writer, &reader) {
        // It was accepted by the one and refused by the other: so the other does not go together with itself by it.
        Ok(Verdict::Incompatible(witness)) => {
            assert!(!witness.message.is_empty());
            let alike = writer == reader;
            assert!(!alike, "{writer} is not compatible with itself: {witness:?}");
        }
        Ok(Verdict::Undecided { reason }) => assert!(!reason.is_empty()),
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn read(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}
