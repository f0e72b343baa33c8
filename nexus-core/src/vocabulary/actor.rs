use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

/// Who sends a command, or asks about the past, as far as guards and policies have to know. Whoever calls has made sure of who it is.
///
/// Roles and claims are looked at and not stored: of an actor, events carry the id alone.
///
/// ```
/// use nexus_core::Actor;
///
/// let ada = Actor::new("ada").role("clerk").claim("branch", "Vienna");
/// assert_eq!(ada.roles().collect::<Vec<_>>(), ["clerk"]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Actor {
    id: String,
    roles: BTreeSet<String>,
    claims: BTreeMap<String, Value>,
}

impl Actor {
    /// An actor without roles. The id is what requests are counted and logged by.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), roles: BTreeSet::new(), claims: BTreeMap::new() }
    }

    /// The same with one more role.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.roles.insert(role.into());
        self
    }

    /// The same with something else that is known of it, in place of what is known by that name.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its roles.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.roles.iter().map(String::as_str)
    }

    /// What else is known of it, by name.
    pub fn claims(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.claims.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl From<&str> for Actor {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for Actor {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}
