use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::port::{EventRouter, RoutingError};
use crate::vocabulary::{Category, EventType, PathName, RecordedEvent, Tag};

/// Rules that choose the path of an event: the first one that matches, or else the default, which has to be given.
///
/// They are data: built here, or read with serde from a configuration.
///
/// ```
/// use nexus_core::{EventType, PathName, RouteRule, Routes};
///
/// let (fast, cheap) = (PathName::new("fast")?, PathName::new("cheap")?);
/// let routes = Routes::otherwise(cheap)
///     .rule(RouteRule::to(fast).types([EventType::new("PaymentTaken")?, EventType::new("OrderPaid")?]));
///
/// let read: Routes = serde_json::from_str(
///     r#"{"default": "cheap", "rules": [{"to": "fast", "types": ["OrderPaid", "PaymentTaken"]}]}"#,
/// )?;
/// assert_eq!(read, routes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    default: PathName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rules: Vec<RouteRule>,
}

/// A rule of [`Routes`]: an event matches when its type is among `types`, its category among `categories`, all of `tags` are on it,
/// and its metadata says what `metadata` says. What is left empty does not restrict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct RouteRule {
    to: PathName,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    types: BTreeSet<EventType>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    categories: BTreeSet<Category>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    tags: BTreeSet<Tag>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, Value>,
}

/// A rule as it is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    to: PathName,
    #[serde(default)]
    types: BTreeSet<EventType>,
    #[serde(default)]
    categories: BTreeSet<Category>,
    #[serde(default)]
    tags: BTreeSet<Tag>,
    #[serde(default)]
    metadata: BTreeMap<String, Value>,
}

/// A rule that matches everything hides those after it, and the default.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the rule to {to:?} restricts nothing: name types, categories, tags or metadata, or make {to:?} the default"
)]
pub struct BoundlessRule {
    to: PathName,
}

impl TryFrom<Written> for RouteRule {
    type Error = BoundlessRule;

    fn try_from(Written { to, types, categories, tags, metadata }: Written) -> Result<Self, BoundlessRule> {
        let rule = Self { to, types, categories, tags, metadata };
        if rule.restricts_nothing() { Err(BoundlessRule { to: rule.to }) } else { Ok(rule) }
    }
}

impl Routes {
    /// Every event goes to `default` that no rule names.
    pub fn otherwise(default: PathName) -> Self {
        Self { default, rules: Vec::new() }
    }

    /// The same with another rule, which is asked after those before it.
    #[must_use]
    pub fn rule(mut self, rule: RouteRule) -> Self {
        self.rules.push(rule);
        self
    }
}

impl RouteRule {
    /// What matches goes to `path`.
    pub fn to(path: PathName) -> Self {
        let (types, categories) = (BTreeSet::new(), BTreeSet::new());
        Self { to: path, types, categories, tags: BTreeSet::new(), metadata: BTreeMap::new() }
    }

    /// Adds types, one of which the event has to be of.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = EventType>) -> Self {
        self.types.extend(types);
        self
    }

    /// Adds categories, one of which the event's stream has to be in.
    #[must_use]
    pub fn categories(mut self, categories: impl IntoIterator<Item = Category>) -> Self {
        self.categories.extend(categories);
        self
    }

    /// Adds tags, all of which have to be on the event.
    #[must_use]
    pub fn tags(mut self, tags: impl IntoIterator<Item = Tag>) -> Self {
        self.tags.extend(tags);
        self
    }

    /// The event's metadata has to say just this: `actor`, `tenant`, or the name of an extra.
    #[must_use]
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    fn restricts_nothing(&self) -> bool {
        self.types.is_empty()
            && self.categories.is_empty()
            && self.tags.is_empty()
            && self.metadata.is_empty()
    }

    fn matches(&self, event: &RecordedEvent) -> bool {
        let says = |(name, value): (&String, &Value)| match name.as_str() {
            "actor" => event.metadata().actor() == value.as_str() && value.is_string(),
            "tenant" => event.metadata().tenant() == value.as_str() && value.is_string(),
            name => event.metadata().extra(name) == Some(value),
        };
        let category = event.stream().category();
        (self.types.is_empty() || self.types.contains(event.event_type()))
            && (self.categories.is_empty() || self.categories.iter().any(|of| of.as_str() == category))
            && self.tags.iter().all(|tag| event.tags().contains(tag))
            && self.metadata.iter().all(says)
    }
}

impl EventRouter for Routes {
    fn path(&self, event: &RecordedEvent) -> Result<PathName, RoutingError> {
        let rule = self.rules.iter().find(|rule| rule.matches(event));
        Ok(rule.map_or(&self.default, |rule| &rule.to).clone())
    }

    fn paths(&self) -> Option<Vec<PathName>> {
        let mut paths: Vec<PathName> = self.rules.iter().map(|rule| rule.to.clone()).collect();
        paths.push(self.default.clone());
        paths.sort_unstable();
        paths.dedup();
        Some(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::{EventId, Metadata, NewEvent, Payload, Position, StreamVersion, Timestamp};

    fn event(name: &str, stream: &str, tags: &[&str], metadata: Metadata) -> RecordedEvent {
        let (id, payload) = (EventId::from_bytes([1; 16]), Payload::from_checked("{}"));
        let event = NewEvent::new(id, EventType::new(name).unwrap(), payload)
            .with_tags(tags.iter().map(|tag| Tag::new(tag).unwrap()))
            .with_metadata(metadata);
        let stream = stream.parse().unwrap();
        RecordedEvent::of(event, stream, StreamVersion::FIRST, Position::FIRST, Timestamp::UNIX_EPOCH)
    }

    fn plain(name: &str, stream: &str) -> RecordedEvent {
        event(name, stream, &[], Metadata::default())
    }

    fn routes(text: &str) -> Result<Routes, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn the_first_rule_that_matches_chooses_the_path() {
        let routes = routes(
            r#"{"default": "cheap", "rules": [
                {"to": "vip", "metadata": {"tenant": "acme", "class": 1}},
                {"to": "fast", "types": ["OrderPaid", "OrderPlaced"], "categories": ["order"]},
                {"to": "tagged", "tags": ["a:1", "b:2"]},
                {"to": "by-actor", "metadata": {"actor": "ada"}}
            ]}"#,
        )
        .unwrap();
        let acme = Metadata::default().with_tenant("acme");
        let ada = Metadata::default().with_actor("ada");
        for (event, path) in [
            (plain("OrderPaid", "order-1"), "fast"),
            (plain("OrderPaid", "other-1"), "cheap"),
            (plain("Never heard of", "order-1"), "cheap"),
            (event("OrderPaid", "order-1", &[], acme.clone()), "fast"),
            (event("OrderPaid", "order-1", &[], acme.with_extra("class", 1)), "vip"),
            (event("X", "x-1", &["a:1"], Metadata::default()), "cheap"),
            (event("X", "x-1", &["a:1", "b:2", "c:3"], Metadata::default()), "tagged"),
            (event("X", "x-1", &[], ada), "by-actor"),
            (event("X", "x-1", &[], Metadata::default().with_actor("bob")), "cheap"),
            (
                event("X", "x-1", &[], Metadata::default().with_tenant("other").with_extra("class", 1)),
                "cheap",
            ),
        ] {
            assert_eq!(routes.path(&event).unwrap().as_str(), path, "{event:?}");
        }
        let paths: Vec<String> = routes.paths().unwrap().into_iter().map(String::from).collect();
        assert_eq!(paths, ["by-actor", "cheap", "fast", "tagged", "vip"]);
        assert_eq!(self::routes(&serde_json::to_string(&routes).unwrap()).unwrap(), routes);
    }

    #[test]
    fn rules_that_say_too_little_or_something_else_are_refused() {
        for (text, named) in [
            (r#"{"rules": []}"#, "default"),
            (r#"{"default": "cheap", "rules": [{"to": "fast"}]}"#, "restricts nothing"),
            (r#"{"default": "cheap", "rules": [{"types": ["A"]}]}"#, "to"),
            (r#"{"default": "cheap", "rules": [{"to": "fast", "type": "A"}]}"#, "type"),
            (r#"{"default": "Cheap!"}"#, "cannot name a path"),
        ] {
            let error = routes(text).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
