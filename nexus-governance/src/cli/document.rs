use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Failure;
use crate::governed::parsed;

/// The JSON that a file holds.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let file = path.display();
    let text =
        fs::read_to_string(path).map_err(|error| Failure::Told(format!("{file} cannot be read: {error}")))?;
    parsed(text.as_bytes()).map_err(|error| Failure::Told(format!("{file} is no JSON: {error}")))
}
