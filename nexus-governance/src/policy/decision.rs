use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::BundleDigest;

/// What policies decided about one operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// The policies that decided.
    pub bundle: BundleDigest,
    /// Why it may not be done; if there is nothing here, it may.
    pub denials: Vec<Denial>,
    /// What has to be done with it, by name: for example which bus path an event takes. Empty where it is denied.
    pub obligations: BTreeMap<String, Value>,
}

/// A reason why something may not be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Denial {
    /// What is wrong.
    pub message: String,
    /// What would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Denial {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: None }
    }

    pub(crate) fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remedy {
            Some(remedy) => write!(f, "{} (to mend it: {remedy})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        self.denials.is_empty()
    }

    /// Nothing, where it may be done; the refusal otherwise.
    ///
    /// # Errors
    /// It may not be done.
    pub fn into_result(self) -> Result<Self, PolicyRefusal> {
        if self.is_allowed() { Ok(self) } else { Err(PolicyRefusal { decision: Box::new(self) }) }
    }
}

/// Why policies refused something: the source of [`StoreError::Refused`](nexus_core::StoreError::Refused) and of
/// [`CommandRefusal::Refused`](nexus_core::CommandRefusal::Refused).
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRefusal {
    /// The decision; it has denials.
    pub decision: Box<Decision>,
}

impl fmt::Display for PolicyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, denial) in self.decision.denials.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{denial}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PolicyRefusal {}
