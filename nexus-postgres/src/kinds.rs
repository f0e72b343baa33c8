use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use nexus_core::{EventType, NewEvent, QueryItem, SchemaVersion, StoreError};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Row};
use tokio::sync::Mutex;

use crate::connections::{Connections, retried};
use crate::error::store_error;
use crate::on_task::OnTask;
use crate::schema::{Schema, Sql};

/// The numbers of the kinds of events: category, type and schema version.
///
/// A kind is committed before any event has it, and numbers are given one process at a time: who has loaded them after an
/// event could be seen knows the event's kind.
#[derive(Debug)]
pub(crate) struct Kinds {
    known: RwLock<Arc<Known>>,
    /// One call at a time adds what many may want.
    adding: Mutex<()>,
    load: Sql,
    lock: Sql,
    add: Sql,
}

/// What is known of them by now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// By their numbers, from 1.
    kinds: Vec<Kind>,
    numbers: HashMap<String, HashMap<(EventType, SchemaVersion), i32>>,
}

#[derive(Clone, Debug)]
struct Kind {
    category: String,
    event_type: EventType,
    schema_version: SchemaVersion,
}

impl Kinds {
    pub(crate) fn new(schema: &Schema) -> Self {
        Self {
            known: RwLock::default(),
            adding: Mutex::default(),
            load: schema.sql("SELECT kind, category, type, schema_version FROM nexus.kinds ORDER BY kind"),
            lock: schema.sql("SELECT pg_advisory_xact_lock(:kinds, 0)"),
            add: schema.sql(include_str!("kinds/add.sql")),
        }
    }

    pub(crate) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those that are stored now.
    pub(crate) async fn loaded(&self, connection: &mut PgConnection) -> Result<Arc<Known>, StoreError> {
        let rows = self.load.query().fetch_all(connection).await.map_err(failed)?;
        let mut known = Known::default();
        for row in rows {
            let number: i32 = row.try_get(0).map_err(failed)?;
            let corrupt =
                || StoreError::corrupt(format!("kind {number} of the table of kinds"), "it is damaged");
            let (category, name): (String, &str) =
                (row.try_get(1).map_err(failed)?, row.try_get(2).map_err(failed)?);
            let version: i64 = row.try_get(3).map_err(failed)?;
            let event_type = EventType::new(name).map_err(|_| corrupt())?;
            let schema_version =
                u32::try_from(version).ok().and_then(SchemaVersion::new).ok_or_else(corrupt)?;
            if usize::try_from(number).ok() != Some(known.kinds.len() + 1) {
                return Err(corrupt());
            }
            let kind = (event_type.clone(), schema_version);
            known.numbers.entry(category.clone()).or_default().insert(kind, number);
            known.kinds.push(Kind { category, event_type, schema_version });
        }
        let known = Arc::new(known);
        let mut newest = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.kinds.len() > newest.kinds.len() {
            *newest = Arc::clone(&known);
        }
        Ok(Arc::clone(&newest))
    }

    /// Sees that the kinds of these events are known; those that are new are added.
    pub(crate) async fn know<'a>(
        self: &Arc<Self>,
        connections: &Connections,
        events: impl Iterator<Item = (&'a str, &'a NewEvent)> + Clone,
    ) -> Result<(), StoreError> {
        let known = self.known();
        let is_new = |(category, event): &(&str, &NewEvent)| known.number(category, event).is_none();
        let new: Vec<Wanted> =
            events.filter(is_new).map(|(category, event)| Wanted::of(category, event)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let (kinds, connections) = (Arc::clone(self), connections.clone());
        // Others wait for it, whether or not this is polled.
        OnTask::start(async move { kinds.add_all(&connections, new).await }).await
    }

    /// The same for who has a connection already, and others may be waiting for one: only what is new takes another.
    pub(crate) async fn know_on<'a>(
        self: &Arc<Self>,
        connection: &mut PgConnection,
        connections: &Connections,
        events: impl Iterator<Item = (&'a str, &'a NewEvent)> + Clone,
    ) -> Result<(), StoreError> {
        let known = self.known();
        if events.clone().any(|(category, event)| known.number(category, event).is_none()) {
            self.loaded(connection).await?;
        }
        self.know(connections, events).await
    }

    async fn add_all(&self, connections: &Connections, mut new: Vec<Wanted>) -> Result<(), StoreError> {
        let _adding = self.adding.lock().await;
        let known = self.known();
        new.retain(|wanted| !known.has(wanted));
        if new.is_empty() {
            return Ok(());
        }
        let categories: Vec<&str> = new.iter().map(|wanted| wanted.category.as_str()).collect();
        let types: Vec<&str> = new.iter().map(|wanted| wanted.event_type.as_str()).collect();
        let versions: Vec<i64> = new.iter().map(|wanted| i64::from(wanted.schema_version.get())).collect();
        retried!(connections, "add kinds of events", |connection| async {
            let known = self.loaded(connection).await?;
            if new.iter().all(|wanted| known.has(wanted)) {
                return Ok(());
            }
            let mut transaction = connection.begin().await.map_err(failed)?;
            self.lock.query().execute(&mut *transaction).await.map_err(failed)?;
            let add = self.add.query().bind(&categories).bind(&types).bind(&versions);
            add.execute(&mut *transaction).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)?;
            self.loaded(connection).await.map(drop)
        })
    }
}

/// A kind that an event is to have.
#[derive(Debug)]
struct Wanted {
    category: String,
    event_type: EventType,
    schema_version: SchemaVersion,
}

impl Wanted {
    fn of(category: &str, event: &NewEvent) -> Self {
        let (event_type, schema_version) = (event.event_type().clone(), event.schema_version());
        Self { category: category.to_owned(), event_type, schema_version }
    }
}

impl Known {
    /// The number of this event's kind; `None` where it is not known.
    pub(crate) fn number(&self, category: &str, event: &NewEvent) -> Option<i32> {
        let kind = (event.event_type().clone(), event.schema_version());
        self.numbers.get(category)?.get(&kind).copied()
    }

    fn has(&self, wanted: &Wanted) -> bool {
        let kind = (wanted.event_type.clone(), wanted.schema_version);
        self.numbers.get(&wanted.category).is_some_and(|kinds| kinds.contains_key(&kind))
    }

    /// Type and schema version of the kind with this number.
    pub(crate) fn kind(&self, number: i32) -> Option<(EventType, SchemaVersion)> {
        let kind = self.kinds.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        Some((kind.event_type.clone(), kind.schema_version))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.kinds.len()
    }

    /// Every kind that is of one of the item's types, in one of its categories.
    pub(crate) fn of_item(&self, item: &QueryItem) -> Vec<i32> {
        let of_category = |kind: &Kind| {
            item.category_list().is_empty()
                || item.category_list().iter().any(|meant| meant.as_str() == kind.category)
        };
        let of_type =
            |kind: &Kind| item.type_list().is_empty() || item.type_list().contains(&kind.event_type);
        let numbered = (1..).zip(&self.kinds);
        numbered.filter(|(_, kind)| of_category(kind) && of_type(kind)).map(|(number, _)| number).collect()
    }
}

fn failed(error: sqlx::Error) -> StoreError {
    store_error("read the kinds of events", error)
}
