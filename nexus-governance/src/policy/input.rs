use std::collections::BTreeMap;

use nexus_core::{
    Actor, HistoryScope, Metadata, NewEvent, OfferedCommand, RecordedEvent, StreamId, Timestamp,
};
use regorus::Value;

use super::value::{list, name, object, value};

/// What policies decide about, as `input`.
///
/// ```json
/// {
///   "operation": "command",
///   "actor": { "id": "ada", "roles": ["clerk"], "claims": { "branch": "Vienna" } },
///   "aggregate": { "category": "order", "id": "42" },
///   "command": { "name": "Refund", "version": 1 },
///   "event_types": [],
///   "payload": { "cents": 1177 },
///   "metadata": { "command": "…", "correlation": "…", "tenant": "acme", "extras": {} },
///   "time": "2026-11-26T09:30:00Z"
/// }
/// ```
///
/// What is not known is not there, so that `not input.actor` means what it says.
///
/// | | `command` | `append` | `publish` | `history` |
/// |---|---|---|---|---|
/// | `actor` | with roles and claims, where one is named | its id, no roles | its id, no roles | with roles and claims |
/// | `aggregate` | which carries it out | whose events they are | whose event it is | what is asked about: without `id`, a whole category; not there, everything |
/// | `event_types` | `[]` | each, once | one | `[]` |
/// | `payload` | the command | see `events` | of the event | |
/// | `metadata` | what its events will carry | of the first event | of the event | |
/// | besides | `command` with `name` and `version` | `events`, each with `type`, `version`, `payload`, `tags`, and in a [`Governed`](crate::Governed) store `is_registered`: whether it has a schema | `event` with `type`, `version`, `tags`, and `position` where the store has one | |
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyInput {
    operation: Operation,
    members: BTreeMap<Value, Value>,
    /// What cannot be read.
    unreadable: Option<String>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// A command is to be decided.
    Command,
    /// Events are to be stored.
    Append,
    /// A stored event is to be published.
    Publish,
    /// Somebody asks about the past.
    History,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Command, Self::Append, Self::Publish, Self::History];

    /// `command`, `append`, `publish` or `history`: the package `nexus.command` decides about commands.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Append => "append",
            Self::Publish => "publish",
            Self::History => "history",
        }
    }
}

impl PolicyInput {
    /// A command that somebody wants carried out.
    pub fn command(command: &OfferedCommand<'_>, now: Timestamp) -> Self {
        let mut input = Self::new(Operation::Command, now);
        input.set("actor", command.actor.map(actor).or_else(|| id_of(command.metadata)));
        input.set("aggregate", aggregate(command.stream));
        let version = Value::from(u64::from(command.version));
        input.set("command", object([("name", Value::from(command.name)), ("version", version)]));
        let payload = input.read(command.payload.as_bytes(), "the command");
        input.set("payload", payload);
        input.set("metadata", metadata(command.metadata));
        input
    }

    /// Events that are to be stored in a stream.
    pub fn append(stream: &StreamId, events: &[NewEvent], now: Timestamp) -> Self {
        let mut input = Self::new(Operation::Append, now);
        let mut types: Vec<&str> = Vec::new();
        let mut written = Vec::with_capacity(events.len());
        for event in events {
            let of = event.event_type().as_str();
            if !types.contains(&of) {
                types.push(of);
            }
            let payload = input.read(event.payload().as_bytes(), of);
            written.push(object([
                ("type", Value::from(of)),
                ("version", Value::from(u64::from(event.schema_version().get()))),
                ("payload", payload),
                ("tags", list(event.tags().iter().map(|tag| Value::from(tag.as_str())))),
            ]));
        }
        input.set("event_types", list(types.into_iter().map(Value::from)));
        input.set("events", Value::from(written));
        input.set("aggregate", aggregate(stream));
        if let Some(first) = events.first() {
            input.set("actor", id_of(first.metadata()));
            input.set("metadata", metadata(first.metadata()));
        }
        input
    }

    /// With what is known of the schemas of the events, by type and version.
    pub(crate) fn registered(mut self, has_schema: impl Fn(&str, u32) -> bool) -> Self {
        let Some(events) =
            self.members.get_mut(&name("events")).and_then(|events| events.as_array_mut().ok())
        else {
            return self;
        };
        for event in events {
            let version = event["version"].as_u64().ok().and_then(|version| u32::try_from(version).ok());
            let of = event["type"].as_string().ok();
            let is_registered = of.zip(version).is_some_and(|(of, version)| has_schema(of, version));
            if let Ok(members) = event.as_object_mut() {
                members.insert(name("is_registered"), Value::from(is_registered));
            }
        }
        self
    }

    /// A stored event that is to be published.
    pub fn publish(event: &RecordedEvent, now: Timestamp) -> Self {
        let mut input = Self::new(Operation::Publish, now);
        let of = event.event_type().as_str();
        let position = event.position().map(|position| ("position", Value::from(position.get())));
        let members = [
            ("type", Value::from(of)),
            ("version", Value::from(u64::from(event.schema_version().get()))),
            ("tags", list(event.tags().iter().map(|tag| Value::from(tag.as_str())))),
        ];
        input.set("event_types", list([Value::from(of)]));
        input.set("event", object(members.into_iter().chain(position)));
        let payload = input.read(event.payload().as_bytes(), of);
        input.set("payload", payload);
        input.set("aggregate", aggregate(event.stream()));
        input.set("actor", id_of(event.metadata()));
        input.set("metadata", metadata(event.metadata()));
        input
    }

    /// A question about the past.
    pub fn history(client: &Actor, scope: &HistoryScope, now: Timestamp) -> Self {
        let mut input = Self::new(Operation::History, now);
        input.set("actor", actor(client));
        input.set(
            "aggregate",
            match scope {
                HistoryScope::Stream(stream) => Some(aggregate(stream)),
                HistoryScope::Category(category) => {
                    Some(object([("category", Value::from(category.as_str()))]))
                }
                HistoryScope::Everything => None,
            },
        );
        input
    }

    fn new(operation: Operation, now: Timestamp) -> Self {
        let members = BTreeMap::from([
            (name("operation"), Value::from(operation.as_str())),
            (name("event_types"), list([])),
            (name("time"), Value::from(now.to_string())),
        ]);
        Self { operation, members, unreadable: None }
    }

    /// What is none is not known.
    fn set(&mut self, of: &str, value: impl Into<Option<Value>>) {
        if let Some(value) = value.into() {
            self.members.insert(name(of), value);
        }
    }

    /// A payload that is read in two ways is none to decide about.
    fn read(&mut self, payload: &[u8], of: &str) -> Value {
        crate::governed::parsed(payload).unwrap_or_else(|error| {
            self.unreadable = Some(format!("the payload of {of} cannot be looked at: {error}"));
            Value::Null
        })
    }

    /// What is to be done.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// What the engine is given, or why there is nothing to give it.
    pub(super) fn into_parts(self) -> (Operation, Result<Value, String>) {
        let members = match self.unreadable {
            None => Ok(Value::from(self.members)),
            Some(reason) => Err(reason),
        };
        (self.operation, members)
    }
}

/// Who, and about what: for a log.
pub(super) fn told(input: &Value) -> (String, String) {
    let of = |of: &str, part: &str| {
        input[of][part].as_string().map_or_else(|_| "-".to_owned(), ToString::to_string)
    };
    let stream = format!("{}-{}", of("aggregate", "category"), of("aggregate", "id"));
    (of("actor", "id"), stream)
}

fn actor(actor: &Actor) -> Value {
    object([
        ("id", Value::from(actor.id())),
        ("roles", list(actor.roles().map(Value::from))),
        ("claims", object(actor.claims().map(|(name, claim)| (name, value(claim))))),
    ])
}

fn id_of(metadata: &Metadata) -> Option<Value> {
    metadata.actor().map(|id| actor(&Actor::from(id)))
}

fn aggregate(stream: &StreamId) -> Value {
    object([("category", Value::from(stream.category())), ("id", Value::from(stream.id()))])
}

/// All but the actor, which is said as a whole elsewhere.
fn metadata(metadata: &Metadata) -> Value {
    let command = metadata.command().map(|id| ("command", Value::from(id.to_string())));
    let correlation = metadata.correlation().map(|id| ("correlation", Value::from(id.to_string())));
    let causation = metadata.causation().map(|id| ("causation", Value::from(id.to_string())));
    let tenant = metadata.tenant().map(|tenant| ("tenant", Value::from(tenant)));
    let trace = metadata.trace().map(|trace| {
        let state = trace.state.as_deref().map(|state| ("state", Value::from(state)));
        ("trace", object([("parent", Value::from(trace.parent.as_str()))].into_iter().chain(state)))
    });
    let extras = ("extras", object(metadata.extras().map(|(name, extra)| (name, value(extra)))));
    let known = [command, correlation, causation, tenant, trace, Some(extras)];
    object(known.into_iter().flatten())
}
