use crate::written::written;

/// A file of Rust, and one of SQL, as the gate reads them.
pub fn sources(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    written("src/queries.sql", text);
    let root = written("src/lib.rs", text);
    nexus_governance::cli::fuzzing::source(&root);
}
