//! Proposed schemas and policies, over what is stored: what would break is known before they are merged.

mod appends;
mod kind;
mod progress;
mod reading;
mod report;

pub use progress::ReplayProgress;
#[cfg(feature = "cli")]
pub(crate) use report::NO_APPEND;
pub use report::{ReplayBreak, ReplayReport};

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use nexus_core::{
    Aggregate, DomainEvent, EventLog, EventType, NewEvent, Payload, Query, ReadOptions, RecordedEvent,
    StoreError,
};

use crate::cause::with_cause;
use crate::governed::{Compiled, SchemaRefusal, UnusableSchema};
use crate::policy::{DecisionLog, Operation, PolicyEngine, PolicyInput};
use crate::registry::{RegistryRevision, SchemaSet, SchemaSnapshot};
use crate::schema::SchemaKind;
use appends::Appends;
use kind::Kind;
use reading::Reader;

/// Runs schemas and policies over all events of a log, and tells which of them they would not take. Nothing is written.
///
/// - *Schemas*: each stored event is compared with the newest schema of its version, drafts among them, whatever is enforced where. With
///   [`reading`](Self::reading) it is read as your program reads it, upcasters and all, and what comes of it is compared with the
///   schemas of today; an event that is read as something else need not have a schema in the version it was stored in.
/// - *Policies*: the packages `nexus.append` and `nexus.publish` decide as if it happened now, but at the time when it was recorded. What was
///   appended to a stream at once is judged at once; where the [query](Self::of) leaves out its first event, each event by itself. Commands
///   are not stored, nor are questions about the past: `nexus.command` and `nexus.history` are not asked.
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
/// In a program of your own, `.reading::<Order>()` is all that has to be added for the upcasters of an aggregate's events to take part.
#[derive(Debug)]
pub struct Replay {
    log: Arc<dyn EventLog>,
    query: Query,
    schemas: Option<Compiled>,
    policies: Option<PolicyEngine>,
    readers: Vec<Reader>,
}

/// After so many events progress is told, or after so much time.
const TOLD_EVERY: u64 = 1_000;
const TOLD_AFTER: Duration = Duration::from_millis(500);

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

    /// Events of this aggregate are read as your program reads them, with upcasters; those that it does not know would break it.
    #[must_use]
    pub fn reading<A: Aggregate>(mut self) -> Self {
        self.readers.push(Reader::of_aggregate::<A>());
        self
    }

    /// Events of this type, in whatever streams, are read as your program reads them, with upcasters; those of other names are
    /// passed over. For events that belong to no aggregate.
    #[must_use]
    pub fn reading_events<E: DomainEvent>(mut self) -> Self {
        self.readers.push(Reader::of_events::<E>());
        self
    }

    /// Goes over all that is stored by now, oldest first, and tells now and then how far it has come.
    ///
    /// # Errors
    /// The log cannot be read. Where what is stored is damaged, the report says how far it came.
    pub async fn run(self, mut progress: impl FnMut(ReplayProgress)) -> Result<ReplayReport, StoreError> {
        let mut report = ReplayReport::default();
        if let Some(policies) = &self.policies {
            let asked = [Operation::Append, Operation::Publish].into_iter();
            let unasked = asked.filter(|operation| !policies.current().decides(*operation));
            report.undecided = unasked.map(Operation::as_str).collect();
        }
        let Some(head) = self.log.head().await? else { return Ok(report) };
        progress(ReplayProgress { events: 0, position: None, head });
        let mut told = Instant::now();
        let mut events = self.log.read_all(self.query.clone(), ReadOptions::forwards().to(head));
        let mut appends = Appends::default();
        loop {
            let event = match events.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(error @ StoreError::Corrupt { .. }) => {
                    report.stopped = Some(with_cause(&error));
                    break;
                }
                Err(error) => return Err(error),
            };
            report.events += 1;
            report.position = event.position().or(report.position);
            let is_ours = event.stream().category().starts_with('$');
            if !is_ours && event.event_type().as_str() != EventType::VOIDED {
                report.begin_event();
                let is_upcast = self.check(&event, &mut report);
                self.judge(&event, is_upcast, &mut appends, &mut report).await?;
            }
            if report.events % TOLD_EVERY == 0 || told.elapsed() >= TOLD_AFTER {
                told = Instant::now();
                progress(ReplayProgress { events: report.events, position: report.position, head });
            }
        }
        if report.stopped.is_none() {
            progress(ReplayProgress { events: report.events, position: Some(head), head });
        }
        Ok(report)
    }

    /// Compares an event with its schemas, as it is stored and as it is read; answers whether it is read as something else.
    fn check(&self, event: &RecordedEvent, report: &mut ReplayReport) -> bool {
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
            let became = match read {
                Ok(became) => became,
                Err(reason) => {
                    report.add("unreadable-event", event, Kind::of_text(&reason), reason);
                    continue;
                }
            };
            is_upcast |= became.iter().all(|(name, version, _)| (*name, *version) != stored);
            for (name, version, payload) in became {
                let is_told = (name, version) == stored && fits_as_stored.is_err();
                if let (false, Err(refusal)) = (is_told, fits((name, version), &payload)) {
                    let message = format!("read as {name} version {version}: {refusal}");
                    report.add("unfit-as-read", event, Kind::of_refusal(&refusal), message);
                }
            }
        }
        if let Err(refusal) = fits_as_stored {
            let rule = match refusal {
                // Nobody reads that version any more.
                SchemaRefusal::Unregistered { .. } if is_upcast => return is_upcast,
                SchemaRefusal::Unregistered { .. } => "unregistered-event",
                SchemaRefusal::Unfit { .. } | SchemaRefusal::Ambiguous { .. } => "unfit-event",
            };
            report.add(rule, event, Kind::of_refusal(&refusal), refusal.to_string());
        }
        is_upcast
    }

    /// Has policies judge what was appended at once, with its first event, and each event as it would be published.
    async fn judge(
        &self,
        event: &RecordedEvent,
        is_upcast: bool,
        appends: &mut Appends,
        report: &mut ReplayReport,
    ) -> Result<(), StoreError> {
        let Some(policies) = self.policies.as_ref().map(PolicyEngine::current) else { return Ok(()) };
        if policies.decides(Operation::Append)
            && let Some(append) = appends.beginning_with(event, &*self.log).await?
        {
            report.appends += 1;
            let events: Vec<NewEvent> = append.into_iter().map(RecordedEvent::into_new).collect();
            let mut input = PolicyInput::append(event.stream(), &events, event.recorded_at());
            if let Some(schemas) = &self.schemas {
                let stored = (event.event_type().as_str(), event.schema_version().get());
                input = input.registered(|name, version| {
                    (is_upcast && (name, version) == stored) || schemas.has_event(name, version)
                });
            }
            for denial in policies.decide_about(input).denials {
                let message = denial.to_string();
                report.add("denied-append", event, Kind::of_text(&message), message);
            }
        }
        if policies.decides(Operation::Publish) {
            for denial in policies.decide_about(PolicyInput::publish(event, event.recorded_at())).denials {
                let message = denial.to_string();
                report.add("denied-publish", event, Kind::of_text(&message), message);
            }
        }
        Ok(())
    }
}
