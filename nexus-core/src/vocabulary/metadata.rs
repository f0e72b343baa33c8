use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CommandId, CorrelationId, EventId};

/// What is known about an event besides its content: where it came from, for whom, as part of what.
///
/// All events of one command have the same; cloning is cheap. Extras hold whatever else an application wants to keep.
///
/// ```
/// use nexus_core::Metadata;
///
/// let metadata = Metadata::default().with_actor("alice").with_extra("channel", "web");
/// assert_eq!(metadata.actor(), Some("alice"));
/// assert_eq!(metadata.extra("channel").and_then(|channel| channel.as_str()), Some("web"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Metadata {
    command: Option<CommandId>,
    /// What many events do not have, so that they stay small.
    details: Option<Arc<Details>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Details {
    /// Only where it is another than the command starts.
    correlation: Option<CorrelationId>,
    causation: Option<EventId>,
    actor: Option<String>,
    tenant: Option<String>,
    trace: Option<TraceContext>,
    extras: BTreeMap<String, Value>,
}

/// Metadata as JSON: what is absent is not written.
#[derive(Serialize, Deserialize)]
struct Written {
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

impl From<Written> for Metadata {
    fn from(written: Written) -> Self {
        let Written { command, correlation, causation, actor, tenant, trace, extras } = written;
        let correlation = correlation.filter(|given| Some(*given) != command.map(CorrelationId::from));
        let details = Details { correlation, causation, actor, tenant, trace, extras };
        let details = (details != Details::default()).then(|| Arc::new(details));
        Self { command, details }
    }
}

impl From<Metadata> for Written {
    fn from(metadata: Metadata) -> Self {
        let Metadata { command, details } = metadata;
        let Details { correlation, causation, actor, tenant, trace, extras } =
            details.map(Arc::unwrap_or_clone).unwrap_or_default();
        Self { command, correlation, causation, actor, tenant, trace, extras }
    }
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
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The command that decided the event.
    pub fn command(&self) -> Option<CommandId> {
        self.command
    }

    /// What the event belongs to. A command that was given no correlation starts one of its own.
    pub fn correlation(&self) -> Option<CorrelationId> {
        let given = self.details().and_then(|details| details.correlation);
        given.or(self.command.map(CorrelationId::from))
    }

    /// The event that the command reacted to; none where a person or another system sent it.
    pub fn causation(&self) -> Option<EventId> {
        self.details()?.causation
    }

    /// Who sent the command.
    pub fn actor(&self) -> Option<&str> {
        self.details()?.actor.as_deref()
    }

    /// On whose behalf, where one system serves several customers.
    pub fn tenant(&self) -> Option<&str> {
        self.details()?.tenant.as_deref()
    }

    /// The trace that the command was part of.
    pub fn trace(&self) -> Option<&TraceContext> {
        self.details()?.trace.as_ref()
    }

    /// The extra of this name.
    pub fn extra(&self, name: &str) -> Option<&Value> {
        self.details()?.extras.get(name)
    }

    /// All extras, by name.
    pub fn extras(&self) -> impl Iterator<Item = (&str, &Value)> {
        let extras = self.details().into_iter().flat_map(|details| &details.extras);
        extras.map(|(name, value)| (name.as_str(), value))
    }

    /// The same, decided by `command`.
    #[must_use]
    pub fn with_command(self, command: CommandId) -> Self {
        // The correlation stays, also where it was that of another command; one that is the command's own is not
        // said twice.
        let correlation = self.correlation().filter(|known| *known != CorrelationId::from(command));
        let given = self.details().and_then(|details| details.correlation);
        let with_command = Self { command: Some(command), ..self };
        if given == correlation {
            return with_command;
        }
        with_command.with_details(|details| details.correlation = correlation)
    }

    /// The same, as part of `correlation`.
    #[must_use]
    pub fn with_correlation(self, correlation: CorrelationId) -> Self {
        let own = self.command.map(CorrelationId::from);
        self.with_details(|details| {
            details.correlation = Some(correlation).filter(|given| Some(*given) != own);
        })
    }

    /// The same, in reaction to `event`.
    #[must_use]
    pub fn with_causation(self, event: EventId) -> Self {
        self.with_details(|details| details.causation = Some(event))
    }

    /// The same, sent by `actor`.
    #[must_use]
    pub fn with_actor(self, actor: impl Into<String>) -> Self {
        self.with_details(|details| details.actor = Some(actor.into()))
    }

    /// The same, on behalf of `tenant`.
    #[must_use]
    pub fn with_tenant(self, tenant: impl Into<String>) -> Self {
        self.with_details(|details| details.tenant = Some(tenant.into()))
    }

    /// The same, as part of `trace`.
    #[must_use]
    pub fn with_trace(self, trace: TraceContext) -> Self {
        self.with_details(|details| details.trace = Some(trace))
    }

    /// The same, with an extra of this name, which replaces one that is there. An append refuses extras that are nested
    /// deeper than 100 levels: nobody could read them back.
    #[must_use]
    pub fn with_extra(self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with_details(|details| {
            details.extras.insert(name.into(), value.into());
        })
    }

    /// The same without the command: what is left for a backend that keeps that in a place of its own.
    #[must_use]
    pub fn without_command(&self) -> Self {
        Self { command: None, ..self.clone() }
    }

    /// How deep the extras are nested: a number or text is 1.
    pub(crate) fn depth(&self) -> usize {
        fn depth(value: &Value) -> usize {
            let deepest = match value {
                Value::Array(values) => values.iter().map(depth).max(),
                Value::Object(fields) => fields.values().map(depth).max(),
                _ => None,
            };
            1 + deepest.unwrap_or(0)
        }
        self.details().and_then(|details| details.extras.values().map(depth).max()).unwrap_or(0)
    }

    fn details(&self) -> Option<&Details> {
        self.details.as_deref()
    }

    fn with_details(mut self, set: impl FnOnce(&mut Details)) -> Self {
        let mut details = self.details.take().map(Arc::unwrap_or_clone).unwrap_or_default();
        set(&mut details);
        let details = (details != Details::default()).then(|| Arc::new(details));
        Self { details, ..self }
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
    fn metadata_of_an_event_can_be_passed_on_to_a_reaction() {
        let (first, second) = (CommandId::from_bytes([1; 16]), CommandId::from_bytes([2; 16]));
        let reaction = Metadata::default().with_command(first).with_command(second);
        assert_eq!((reaction.command(), reaction.correlation()), (Some(second), Some(first.into())));
        assert_eq!(reaction.with_command(first), Metadata::default().with_command(first));
    }

    #[test]
    fn there_is_one_way_to_write_it() {
        let command = CommandId::from_bytes([3; 16]);
        let plain = Metadata::default().with_command(command);
        assert_eq!(Metadata::default().with_correlation(command.into()).with_command(command), plain);
        let text = serde_json::to_string(&plain.clone().with_actor("a")).unwrap();
        assert_eq!(text, r#"{"command":"03030303-0303-0303-0303-030303030303","actor":"a"}"#);
        assert_eq!(serde_json::from_str::<Metadata>(&text).unwrap(), plain.with_actor("a"));
    }

    #[test]
    fn what_is_absent_is_not_written() {
        assert_eq!(serde_json::to_string(&Metadata::default()).unwrap(), "{}");
        assert!(Metadata::default().is_empty());
        assert!(!Metadata::default().with_tenant("acme").is_empty());
    }
}
