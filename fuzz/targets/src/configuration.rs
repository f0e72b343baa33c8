use nexus_core::{Routes, ShapeLock};

use crate::written::written;

/// Files that say how something is to be done: routes, lock files, manifests, exceptions.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(routes) = serde_json::from_str::<Routes>(text) {
        let written = serde_json::to_string(&routes).expect("what was read can be written");
        assert_eq!(serde_json::from_str::<Routes>(&written).expect("as it was"), routes);
    }
    if let Ok(lock) = ShapeLock::from_json(text) {
        let written = lock.to_json();
        assert_eq!(ShapeLock::from_json(&written).expect("as it was"), lock);
    }
    nexus_governance::cli::fuzzing::manifest(text);
    nexus_governance::cli::fuzzing::exceptions(&written("exceptions.json", text));
}
