//! Proposed schemas and policies, over what is stored: what would break is known before they are merged.

mod progress;
mod reading;
mod report;

pub use progress::ReplayProgress;
pub use report::{ReplayBreak, ReplayReport};

use std::sync::Arc;

use futures::TryStreamExt;
use nexus_core::{
    DomainEvent, EventLog, EventType, NewEvent, Payload, Query, ReadOptions, RecordedEvent, StoreError,
};

use crate::governed::{Compiled, SchemaRefusal, UnusableSchema};
use crate::policy::{DecisionLog, Operation, PolicyEngine, PolicyInput};
use crate::registry::{RegistryRevision, SchemaSet, SchemaSnapshot};
use crate::schema::SchemaKind;
use reading::Reader;

/// Runs schemas and policies over all events of a log, and tells which of them they would not take. Nothing is written.
///
/// - *Schemas*: each stored event is compared with the newest schema of its version, drafts among them. With
///   [`reading`](Self::reading) it is read as your program reads it, upcasters and all, and what comes of it is compared with the
///   schemas of today; an event that is read need not have a schema in the version it was stored in.
/// - *Policies*: the packages `nexus.append` and `nexus.publish` decide as if it happened now, but at the time when it was recorded. Events
///   that follow each other in a stream and were stored by one command, at one time, are judged as one append. Commands are not
///   stored, nor are questions about the past: `nexus.command` and `nexus.history` are not asked.
///
/// Events of categories that start with `$`, and those that make a command void, belong to Nexus itself and are passed over.
///
/// ```
/// use nexus_core::MemoryStore;
/// use nexus_governance::{PolicyBundle, PolicyEngine, Replay};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let store = MemoryStore::new();
/// let policies = PolicyEngine::new(PolicyBundle::starter())?;
/// let report = Replay::new(store).with_policies(policies).run(|progress| eprintln!("{progress}")).await?;
/// print!("{report}");
/// assert!(report.breaks.is_empty());
/// # Ok(())
/// # }
/// ```
///
/// In a program of your own, `.reading::<OrderEvent>()` is all that has to be added for its upcasters to take part.
#[derive(Debug)]
pub struct Replay {
    log: Arc<dyn EventLog>,
    query: Query,
    schemas: Option<Compiled>,
    policies: Option<PolicyEngine>,
    readers: Vec<Reader>,
}

/// After so many events progress is told.
const TOLD_EVERY: u64 = 1_000;

impl Replay {
    /// Over this log. Give it the store itself, not one that is governed.
    pub fn new(log: impl EventLog) -> Self {
        Self { log: Arc::new(log), query: Query::all(), schemas: None, policies: None, readers: Vec::new() }
    }

    /// Over the events that match, and no others.
    #[must_use]
    pub fn of(self, query: Query) -> Self {
        Self { query, ..self }
    }

    /// With these schemas; drafts count as if they were released.
    ///
    /// # Errors
    /// There is a schema that nothing can be validated by.
    pub fn with_schemas(self, schemas: &SchemaSet) -> Result<Self, UnusableSchema> {
        let schemas = schemas.iter().map(|schema| schema.clone().released()).collect();
        let snapshot = SchemaSnapshot { schemas, revision: RegistryRevision::new("proposed") };
        Ok(Self { schemas: Some(Compiled::new(snapshot)?), ..self })
    }

    /// With these policies. They are neither logged nor counted here.
    #[must_use]
    pub fn with_policies(self, policies: PolicyEngine) -> Self {
        Self { policies: Some(policies.with_log(DecisionLog::Off)), ..self }
    }

    /// Events of this type are read as your program reads them, with its upcasters.
    #[must_use]
    pub fn reading<E: DomainEvent>(mut self) -> Self {
        self.readers.push(Reader::of::<E>());
        self
    }

    /// Goes over all that is stored by now, oldest first, and tells now and then how far it has come.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn run(self, mut progress: impl FnMut(ReplayProgress)) -> Result<ReplayReport, StoreError> {
        let mut report = ReplayReport::default();
        let Some(head) = self.log.head().await? else { return Ok(report) };
        let mut events = self.log.read_all(self.query.clone(), ReadOptions::forwards().to(head));
        let mut commit: Vec<RecordedEvent> = Vec::new();
        while let Some(event) = events.try_next().await? {
            report.events += 1;
            if report.events % TOLD_EVERY == 0 {
                progress(ReplayProgress { events: report.events, position: event.position(), head });
            }
            report.position = event.position().or(report.position);
            let is_ours = event.stream().category().starts_with('$');
            if is_ours || event.event_type().as_str() == EventType::VOIDED {
                continue;
            }
            self.check(&event, &mut report);
            if commit.last().is_some_and(|last| !is_one_append(last, &event)) {
                self.judge(&std::mem::take(&mut commit), &mut report);
            }
            commit.push(event);
        }
        self.judge(&commit, &mut report);
        progress(ReplayProgress { events: report.events, position: Some(head), head });
        Ok(report)
    }

    /// Compares an event with its schemas, as it is stored and as it is read.
    fn check(&self, event: &RecordedEvent, report: &mut ReplayReport) {
        let stored = (event.event_type().as_str(), event.schema_version().get());
        let fits = |(name, version): (&str, u32), payload: &Payload| {
            let Some(schemas) = &self.schemas else { return Ok(()) };
            schemas.check(SchemaKind::Event, name, version, payload)
        };
        let fits_as_stored = fits(stored, event.payload());
        let mut is_upcast = false;
        for reader in &self.readers {
            let Some(read) = reader.read(event) else { continue };
            report.read += 1;
            let became = read.unwrap_or_else(|reason| {
                report.add("unreadable-event", event, reason);
                Vec::new()
            });
            is_upcast |= became.iter().all(|(name, version, _)| (*name, *version) != stored);
            for (name, version, payload) in became {
                let is_told = (name, version) == stored && fits_as_stored.is_err();
                if let (false, Err(refusal)) = (is_told, fits((name, version), &payload)) {
                    report.add(
                        "unfit-as-read",
                        event,
                        format!("read as {name} version {version}: {refusal}"),
                    );
                }
            }
        }
        match fits_as_stored {
            Ok(()) => {}
            // Nobody reads that version any more.
            Err(SchemaRefusal::Unregistered { .. }) if is_upcast => {}
            Err(refusal @ SchemaRefusal::Unregistered { .. }) => {
                report.add("unregistered-event", event, refusal.to_string());
            }
            Err(refusal) => report.add("unfit-event", event, refusal.to_string()),
        }
    }

    /// Has policies judge what was stored at once, and each event as it would be published.
    fn judge(&self, commit: &[RecordedEvent], report: &mut ReplayReport) {
        let (Some(policies), Some(first)) = (&self.policies, commit.first()) else { return };
        report.appends += 1;
        let policies = policies.current();
        if policies.decides(Operation::Append) {
            let events: Vec<NewEvent> = commit.iter().cloned().map(RecordedEvent::into_new).collect();
            let mut input = PolicyInput::append(first.stream(), &events, first.recorded_at());
            if let Some(schemas) = &self.schemas {
                input = input.registered(|name, version| schemas.has_event(name, version));
            }
            for denial in policies.decide_about(input).denials {
                report.add("denied-append", first, denial.to_string());
            }
        }
        if policies.decides(Operation::Publish) {
            for event in commit {
                for denial in policies.decide_about(PolicyInput::publish(event, event.recorded_at())).denials
                {
                    report.add("denied-publish", event, denial.to_string());
                }
            }
        }
    }
}

/// Whether two events that follow each other were stored at once, as far as that can be told.
fn is_one_append(one: &RecordedEvent, next: &RecordedEvent) -> bool {
    one.stream() == next.stream()
        && one.recorded_at() == next.recorded_at()
        && one.metadata().command() == next.metadata().command()
        && one.version().next() == next.version()
}
