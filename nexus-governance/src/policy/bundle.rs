use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{BundleError, PolicyFault};
use crate::folder::{self, FoundFile, Unreadable};

/// Policies and the data they decide by, as they are written.
///
/// Of a directory, files that end in `.rego` are policies, in Rego v1; those that end in `_test.rego` are their tests, which take no part
/// in decisions. Files that end in `.json` are data: what is in the directory `limits` is `data.limits`, whatever the file is called, as
/// the Open Policy Agent has it. What starts with a dot is passed over.
///
/// ```
/// use nexus_governance::{PolicyBundle, PolicyEngine, PolicyInput};
///
/// let bundle = PolicyBundle::default()
///     .with("history.rego", "package nexus.history\nallow if \"auditor\" in input.actor.roles")
///     .with("limits/data.json", r#"{ "refund": 1000 }"#);
/// let engine = PolicyEngine::new(bundle)?;
/// # Ok::<(), nexus_governance::BundleError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyBundle {
    files: BTreeMap<String, String>,
}

/// Names the content of a bundle, its tests left out: `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BundleDigest(String);

impl BundleDigest {
    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How large a file may be, in bytes.
const LARGEST: usize = 4 << 20;

impl PolicyBundle {
    /// What is in a directory and those below.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn from_directory(path: impl AsRef<Path>) -> Result<Self, BundleError> {
        let unreadable =
            |Unreadable { path, source }| BundleError::Unreadable { path, source: source.into() };
        let mut bundle = Self::default();
        for FoundFile { path, bytes } in
            folder::files(path.as_ref(), &[".rego", ".json"]).map_err(unreadable)?
        {
            let text = String::from_utf8(bytes)
                .map_err(|error| PolicyFault::new(&path, (1, 1), format!("it is no text: {error}")))?;
            bundle.files.insert(path, text);
        }
        Ok(bundle)
    }

    /// The same with one more file, in place of one at that path.
    #[must_use]
    pub fn with(mut self, path: impl Into<String>, text: impl Into<String>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// The files, by path.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Whether it has no policy.
    pub fn is_empty(&self) -> bool {
        self.policies().next().is_none()
    }

    /// Its policies, without their tests.
    pub(crate) fn policies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with(".rego") && !path.ends_with("_test.rego"))
    }

    /// The tests of its policies.
    #[cfg(feature = "cli")]
    pub(crate) fn tests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| path.ends_with("_test.rego"))
    }

    /// What decides, by its content.
    pub fn digest(&self) -> BundleDigest {
        let mut digest = Sha256::new();
        for (path, text) in self.files().filter(|(path, _)| !path.ends_with("_test.rego")) {
            for part in [path, text] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        BundleDigest(format!("sha256:{hex}"))
    }

    /// All its data, as one document.
    pub(crate) fn data(&self) -> Result<Value, PolicyFault> {
        let mut data = Map::new();
        for (path, text) in self.files().filter(|(path, _)| path.ends_with(".json")) {
            let at_start = |message: String| PolicyFault::new(path, (1, 1), message);
            if text.len() > LARGEST {
                return Err(at_start(format!("it has {} bytes, and may have {LARGEST}", text.len())));
            }
            let value = crate::governed::parsed(text.as_bytes()).map_err(|error| {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default().to_owned();
                PolicyFault::new(path, (error.line(), error.column()), message)
            })?;
            let mut folders: Vec<&str> = path.split('/').collect();
            folders.pop();
            let value = folders
                .iter()
                .rev()
                .fold(value, |value, folder| Value::Object(Map::from_iter([((*folder).to_owned(), value)])));
            let Value::Object(members) = value else {
                return Err(at_start(
                    "data at the top is a JSON object: move it into a directory".to_owned(),
                ));
            };
            if members.contains_key("nexus") {
                return Err(at_start("\"nexus\" is where policies are: call it otherwise".to_owned()));
            }
            merge(&mut data, members, "").map_err(at_start)?;
        }
        Ok(Value::Object(data))
    }
}

/// Puts members together; what is there twice has to be objects.
fn merge(all: &mut Map<String, Value>, more: Map<String, Value>, at: &str) -> Result<(), String> {
    for (name, value) in more {
        let at = format!("{at}/{name}");
        match (all.get_mut(&name), value) {
            (None, value) => {
                all.insert(name, value);
            }
            (Some(Value::Object(there)), Value::Object(members)) => merge(there, members, &at)?,
            (Some(_), _) => return Err(format!("{at} is in another file, too")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn data_is_where_its_directory_is() {
        let bundle = PolicyBundle::default()
            .with("a/b/any.json", r#"{"x":1}"#)
            .with("a/data.json", r#"{"b":{"y":2},"c":3}"#)
            .with("top.json", r#"{"z":[4]}"#);
        assert_eq!(bundle.data().unwrap(), json!({ "a": { "b": { "x": 1, "y": 2 }, "c": 3 }, "z": [4] }));
        let twice = bundle.clone().with("a/c/data.json", "5").data().unwrap_err();
        assert_eq!(twice.to_string(), "a/data.json:1:1: /a/c is in another file, too");
        assert!(bundle.clone().with("t.json", "5").data().is_err());
        assert!(bundle.clone().with("nexus/data.json", "{}").data().is_err());
        let broken = bundle.with("e.json", "{\n \"a\": }").data().unwrap_err();
        assert_eq!((broken.file.as_str(), broken.line), ("e.json", 2));
    }

    #[test]
    fn tests_do_not_count() {
        let bundle = PolicyBundle::default().with("a.rego", "package a");
        assert_eq!(bundle.clone().with("a_test.rego", "package a_test").digest(), bundle.digest());
        assert_ne!(bundle.clone().with("a.rego", "package b").digest(), bundle.digest());
    }
}
