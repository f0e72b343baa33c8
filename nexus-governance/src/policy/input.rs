use nexus_core::{
    Actor, HistoryScope, Metadata, NewEvent, OfferedCommand, RecordedEvent, StreamId, Timestamp,
};
use serde_json::{Map, Value, json};

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
    members: Map<String, Value>,
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
        input.set("actor", command.actor.map_or_else(|| id_of(command.metadata), actor));
        input.set("aggregate", aggregate(command.stream));
        input.set("command", json!({ "name": command.name, "version": command.version }));
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
            let name = event.event_type().as_str();
            if !types.contains(&name) {
                types.push(name);
            }
            let payload = input.read(event.payload().as_bytes(), name);
            let tags: Vec<&str> = event.tags().iter().map(|tag| tag.as_str()).collect();
            let version = event.schema_version().get();
            written.push(json!({ "type": name, "version": version, "payload": payload, "tags": tags }));
        }
        let types = json!(types);
        input.set("event_types", types);
        input.set("events", written.into());
        input.set("aggregate", aggregate(stream));
        if let Some(first) = events.first() {
            input.set("actor", id_of(first.metadata()));
            input.set("metadata", metadata(first.metadata()));
        }
        input
    }

    /// With what is known of the schemas of the events, by type and version.
    pub(crate) fn registered(mut self, has_schema: impl Fn(&str, u32) -> bool) -> Self {
        for event in self.members.get_mut("events").and_then(Value::as_array_mut).into_iter().flatten() {
            let version = event["version"].as_u64().and_then(|version| u32::try_from(version).ok());
            let has_schema =
                event["type"].as_str().zip(version).is_some_and(|(name, version)| has_schema(name, version));
            event["is_registered"] = json!(has_schema);
        }
        self
    }

    /// A stored event that is to be published.
    pub fn publish(event: &RecordedEvent, now: Timestamp) -> Self {
        let mut input = Self::new(Operation::Publish, now);
        let name = event.event_type().as_str();
        let tags: Vec<&str> = event.tags().iter().map(|tag| tag.as_str()).collect();
        let position = event.position().map(|position| position.get());
        let version = event.schema_version().get();
        input.set("event_types", json!([name]));
        input.set("event", json!({ "type": name, "version": version, "tags": tags }));
        if let Some(position) = position {
            input.members["event"]["position"] = json!(position);
        }
        let payload = input.read(event.payload().as_bytes(), name);
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
                HistoryScope::Stream(stream) => aggregate(stream),
                HistoryScope::Category(category) => json!({ "category": category.as_str() }),
                HistoryScope::Everything => Value::Null,
            },
        );
        input
    }

    fn new(operation: Operation, now: Timestamp) -> Self {
        let members = Map::from_iter([
            ("operation".to_owned(), json!(operation.as_str())),
            ("event_types".to_owned(), json!([])),
            ("time".to_owned(), json!(now.to_string())),
        ]);
        Self { operation, members, unreadable: None }
    }

    /// What is `null` is not known.
    fn set(&mut self, name: &str, value: Value) {
        if !value.is_null() {
            self.members.insert(name.to_owned(), value);
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

    /// Who, and about what: for a log.
    pub(super) fn told(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let of = |name: &str, part: &str| {
            let part = self.members.get(name).map(|of| &of[part]);
            part.map_or_else(|| "-".to_owned(), text)
        };
        let stream = format!("{}-{}", of("aggregate", "category"), of("aggregate", "id"));
        (of("actor", "id"), stream)
    }

    pub(super) fn into_parts(self) -> (Operation, Result<Value, String>) {
        let members = match self.unreadable {
            None => Ok(Value::Object(self.members)),
            Some(reason) => Err(reason),
        };
        (self.operation, members)
    }
}

fn actor(actor: &Actor) -> Value {
    // Texts and JSON can always be written.
    serde_json::to_value(actor).unwrap_or_default()
}

fn id_of(metadata: &Metadata) -> Value {
    metadata.actor().map_or(Value::Null, |id| actor(&Actor::from(id)))
}

fn aggregate(stream: &StreamId) -> Value {
    json!({ "category": stream.category(), "id": stream.id() })
}

fn metadata(metadata: &Metadata) -> Value {
    let mut written = serde_json::to_value(metadata).unwrap_or_default();
    if let Value::Object(members) = &mut written {
        // Said as a whole elsewhere.
        members.remove("actor");
        if let Some(correlation) = metadata.correlation() {
            members.insert("correlation".into(), json!(correlation));
        }
        members.entry("extras").or_insert_with(|| json!({}));
    }
    written
}
