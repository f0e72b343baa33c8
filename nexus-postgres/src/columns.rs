//! Events as the columns that a statement takes them in.

use nexus_core::{AppendBatch, EventId, NewEvent, StoreError, StreamAppend};

use crate::kinds::Known;
use crate::values::{Json, Uuid};

/// Events of some parts of appends, a column a field.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    /// The number of the part, from 1.
    parts: Vec<i64>,
    /// The place within the part, from 1.
    nths: Vec<i64>,
    kinds: Vec<i32>,
    sizes: Vec<i32>,
    slices: Vec<i16>,
    ids: Vec<Uuid>,
    firsts: Vec<Option<Uuid>>,
    commands: Vec<Option<Uuid>>,
    metadata: Vec<Option<String>>,
    tags: Vec<Option<String>>,
    payloads: Vec<Json<'a>>,
    /// For each tag the number of its event, from 1.
    tagged: Vec<i64>,
    tag: Vec<&'a str>,
    last_part: i64,
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

impl<'a> Columns<'a> {
    /// Adds the events of a batch, of its parts that have any.
    pub(crate) fn add(&mut self, batch: &'a AppendBatch, kinds: &Known) -> Result<(), StoreError> {
        let first = batch.events().next().map(NewEvent::id);
        let size = i32::try_from(batch.len()).unwrap_or(i32::MAX);
        for part in batch.parts().iter().filter(|part| !part.events().is_empty()) {
            self.last_part += 1;
            self.add_part(part, first, size, kinds)?;
        }
        Ok(())
    }

    fn add_part(
        &mut self,
        part: &'a StreamAppend,
        first: Option<EventId>,
        size: i32,
        kinds: &Known,
    ) -> Result<(), StoreError> {
        let stream = part.stream();
        let slice = i16::try_from(stream.slice().get()).unwrap_or(i16::MAX);
        for (nth, event) in (1..).zip(part.events()) {
            let kind = kinds.number(stream.category(), event);
            let unknown = || StoreError::corrupt("the kinds of events", "one that was added is not there");
            self.parts.push(self.last_part);
            self.nths.push(nth);
            self.kinds.push(kind.ok_or_else(unknown)?);
            self.sizes.push(size);
            self.slices.push(slice);
            self.ids.push(uuid(event.id()));
            self.firsts.push(first.filter(|first| *first != event.id()).map(uuid));
            self.commands.push(event.metadata().command().map(|command| Uuid(*command.as_bytes())));
            self.metadata.push(details(event)?);
            self.tags.push(tags(event)?);
            self.payloads.push(Json(event.payload().as_bytes()));
            let number = i64::try_from(self.ids.len()).unwrap_or(i64::MAX);
            for tag in event.tags() {
                self.tagged.push(number);
                self.tag.push(tag.as_str());
            }
        }
        Ok(())
    }

    /// The eleven columns of events, in the order of their fields here.
    pub(crate) fn bind_events<'q>(&self, query: Query<'q>) -> Query<'q> {
        query
            .bind(&self.parts)
            .bind(&self.nths)
            .bind(&self.kinds)
            .bind(&self.sizes)
            .bind(&self.slices)
            .bind(&self.ids)
            .bind(&self.firsts)
            .bind(&self.commands)
            .bind(&self.metadata)
            .bind(&self.tags)
            .bind(&self.payloads)
    }

    /// The only event, as values by themselves.
    pub(crate) fn bind_one<'q>(&self, query: Query<'q>) -> Query<'q> {
        query
            .bind(self.kinds.first())
            .bind(self.slices.first())
            .bind(self.ids.first())
            .bind(self.commands.first().copied().flatten())
            .bind(self.metadata.first().and_then(Option::as_deref))
            .bind(self.payloads.first())
    }

    /// Those of one append without tags: what they have in common, then the columns in which they differ.
    pub(crate) fn bind_several<'q>(&self, query: Query<'q>) -> Query<'q> {
        let query = query.bind(self.slices.first()).bind(self.ids.first()).bind(&self.kinds).bind(&self.ids);
        query.bind(&self.commands).bind(&self.metadata).bind(&self.payloads)
    }

    /// Those of appends with one event each, without tags.
    pub(crate) fn bind_singles<'q>(&self, query: Query<'q>) -> Query<'q> {
        let query = query.bind(&self.kinds).bind(&self.slices).bind(&self.ids);
        query.bind(&self.commands).bind(&self.metadata).bind(&self.payloads)
    }

    /// The two columns of tags.
    pub(crate) fn bind_tags<'q>(&self, query: Query<'q>) -> Query<'q> {
        query.bind(&self.tagged).bind(&self.tag)
    }
}

pub(crate) fn uuid(id: EventId) -> Uuid {
    Uuid(*id.as_bytes())
}

fn tags(event: &NewEvent) -> Result<Option<String>, StoreError> {
    if event.tags().is_empty() { Ok(None) } else { json(event.tags()).map(Some) }
}

fn details(event: &NewEvent) -> Result<Option<String>, StoreError> {
    let details = event.metadata().without_command();
    if details.is_empty() { Ok(None) } else { json(&details).map(Some) }
}

fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    // What is said about an event is made of texts, ids and JSON.
    serde_json::to_string(value).map_err(|error| StoreError::unavailable("write metadata as JSON", error))
}
