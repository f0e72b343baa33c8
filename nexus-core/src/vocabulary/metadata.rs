use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CommandId, CorrelationId, EventId};

/// What is known about an event besides its content: where it came from, for whom, as part of what.
///
/// It is shared by all events of one command. Extras hold whatever else an application wants to keep.
///
/// ```
/// use nexus_core::Metadata;
///
/// let metadata = Metadata::default().with_actor("alice").with_extra("channel", "web");
/// assert_eq!(metadata.actor(), Some("alice"));
/// assert_eq!(metadata.extra("channel").and_then(|channel| channel.as_str()), Some("web"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<CommandId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<CorrelationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    causation: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<TraceContext>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extras: BTreeMap<String, Value>,
}

/// The position of an event in a distributed trace, as the W3C Trace Context headers say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceContext {
    /// The `traceparent` header.
    pub parent: String,
    /// The `tracestate` header, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

impl Metadata {
    /// The one that events without metadata share.
    pub(crate) fn empty() -> &'static Self {
        static EMPTY: Metadata = Metadata {
            command: None,
            correlation: None,
            causation: None,
            actor: None,
            tenant: None,
            trace: None,
            extras: BTreeMap::new(),
        };
        &EMPTY
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self == Self::empty()
    }

    /// The command that decided the event.
    pub fn command(&self) -> Option<CommandId> {
        self.command
    }

    /// What the event belongs to. A command that was given no correlation starts one of its own.
    pub fn correlation(&self) -> Option<CorrelationId> {
        self.correlation.or(self.command.map(CorrelationId::from))
    }

    /// The event that the command reacted to; none where a person or another system sent it.
    pub fn causation(&self) -> Option<EventId> {
        self.causation
    }

    /// Who sent the command.
    pub fn actor(&self) -> Option<&str> {
        self.actor.as_deref()
    }

    /// On whose behalf, where one system serves several customers.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// The trace that the command was part of.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// The extra of this name.
    pub fn extra(&self, name: &str) -> Option<&Value> {
        self.extras.get(name)
    }

    /// All extras, by name.
    pub fn extras(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.extras.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The same, decided by `command`.
    #[must_use]
    pub fn with_command(self, command: CommandId) -> Self {
        Self { command: Some(command), ..self }
    }

    /// The same, as part of `correlation`.
    #[must_use]
    pub fn with_correlation(self, correlation: CorrelationId) -> Self {
        Self { correlation: Some(correlation), ..self }
    }

    /// The same, in reaction to `event`.
    #[must_use]
    pub fn with_causation(self, event: EventId) -> Self {
        Self { causation: Some(event), ..self }
    }

    /// The same, sent by `actor`.
    #[must_use]
    pub fn with_actor(self, actor: impl Into<String>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// The same, on behalf of `tenant`.
    #[must_use]
    pub fn with_tenant(self, tenant: impl Into<String>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// The same, as part of `trace`.
    #[must_use]
    pub fn with_trace(self, trace: TraceContext) -> Self {
        Self { trace: Some(trace), ..self }
    }

    /// The same, with an extra of this name, which replaces one that is there.
    #[must_use]
    pub fn with_extra(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extras.insert(name.into(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_without_correlation_starts_its_own() {
        let command = CommandId::from_bytes([3; 16]);
        let metadata = Metadata::default().with_command(command);
        assert_eq!(metadata.correlation(), Some(command.into()));
        let other = CorrelationId::from_bytes([4; 16]);
        assert_eq!(metadata.with_correlation(other).correlation(), Some(other));
    }

    #[test]
    fn what_is_absent_is_not_written() {
        assert_eq!(serde_json::to_string(&Metadata::default()).unwrap(), "{}");
        assert!(Metadata::default().is_empty());
        assert!(!Metadata::default().with_tenant("acme").is_empty());
    }
}
