use std::fmt;

use serde_json::Value;

/// A JSON Pointer ([RFC 6901](https://www.rfc-editor.org/rfc/rfc6901)): where something is in a document; empty for all
/// of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pointer(String);

impl Pointer {
    /// The pointer in a URI's fragment.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = percent_decoded(text)?;
        (text.is_empty() || text.starts_with('/')).then_some(Self(text))
    }

    pub(crate) fn join(&self, part: &str) -> Self {
        Self(format!("{}/{}", self.0, part.replace('~', "~0").replace('/', "~1")))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is there, by the text of a pointer as it stands in a fragment.
pub(crate) fn resolve<'v>(document: &'v Value, pointer: &str) -> Option<&'v Value> {
    document.pointer(Pointer::parse(pointer)?.as_str())
}

/// `%24defs` is `$defs`.
fn percent_decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    percent_encoding::percent_decode_str(text).decode_utf8().ok().map(Into::into)
}
