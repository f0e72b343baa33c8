//! The versions of one schema, and which of them count.

use std::sync::PoisonError;
use std::time::Duration;

use aws_sdk_glue::operation::get_schema_version::GetSchemaVersionOutput;
use aws_sdk_glue::types::{SchemaStatus, SchemaVersionNumber, SchemaVersionStatus};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::{CALLS, SchemasInGlue, call};
use crate::registry::RegistryError;
use crate::schema::Schema;

/// A version, which does not change: the schema and when it was made, since it may have been deleted and made again, and its number.
pub(super) type Key = (String, Option<String>, i64);

/// One version.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) number: i64,
    /// When its schema was made.
    pub(super) made: Option<String>,
    /// The last that its author had seen.
    pub(super) after: i64,
    pub(super) schema: Box<Schema>,
}

/// Where a version says what its author had seen, and where its document is.
const AFTER: &str = "x-nexus-after";
const DOCUMENT: &str = "x-nexus-document";

/// The newest draft that Glue knows.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// How often a version is asked for that Glue has not settled, and how long after each time.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(50);

/// The text of a version: a draft-07 schema, since Glue may look at what it is given, and that knows neither 2020-12 nor references to
/// other schemas.
pub(super) fn written(schema: &Schema, after: i64) -> String {
    let (title, document) = (schema.id().to_string(), schema.document());
    json!({ "$schema": DRAFT, "title": title, AFTER: after, DOCUMENT: document }).to_string()
}

fn read(number: i64, made: Option<String>, text: &str) -> Result<Entry, nexus_core::BoxError> {
    let mut version: Value = serde_json::from_str(text)?;
    let after = version.get(AFTER).and_then(Value::as_i64);
    let after = after.ok_or_else(|| format!("it was not written by Nexus: {AFTER:?} has to be a number"))?;
    let document = version.get_mut(DOCUMENT).map(Value::take).unwrap_or_default();
    let schema = Box::new(Schema::from_document(document)?);
    if schema.is_released() {
        Ok(Entry { number, made, after, schema })
    } else {
        Err(format!("{} is a draft", schema.id()).into())
    }
}

/// Of all versions, by number, those whose authors had seen the last before that counts; or the number of one that is gone.
fn counting(entries: Vec<Entry>) -> Result<Vec<Entry>, i64> {
    let mut counting: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let has_counted = |number| number == 0 || counting.iter().any(|other| other.number == number);
        if !has_counted(entry.after) {
            return Err(entry.after);
        }
        // Otherwise somebody else was first.
        if counting.last().map_or(0, |last| last.number) == entry.after {
            counting.push(entry);
        }
    }
    Ok(counting)
}

impl SchemasInGlue {
    /// The names of all schemas in the registry.
    pub(super) async fn names(&self) -> Result<Vec<String>, RegistryError> {
        let attempted = || format!("list the schemas of the Glue registry {}", self.registry);
        let pages = self.client.list_schemas().registry_id(self.registry_id()).into_paginator();
        let mut items = pages.items().send();
        let mut names = Vec::new();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| call::failed(attempted(), error))?;
            // It is as good as gone.
            if item.schema_status != Some(SchemaStatus::Deleting) {
                names.extend(item.schema_name);
            }
        }
        Ok(names)
    }

    /// The versions of a schema that count, by number; none where there is no such schema.
    pub(super) async fn history(&self, name: &str) -> Result<Vec<Entry>, RegistryError> {
        let schema = match self.client.get_schema().schema_id(self.schema_id(name)).send().await {
            Ok(schema) => schema,
            Err(error) if error.as_service_error().is_some_and(|of| of.is_entity_not_found_exception()) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(call::failed(self.reading(name), error)),
        };
        let numbers = 1..schema.next_schema_version.unwrap_or(1);
        let made = schema.created_time;
        let entries = futures::stream::iter(numbers).map(|number| self.entry(name, made.clone(), number));
        let entries: Vec<Option<Entry>> = entries.buffered(CALLS).try_collect().await?;
        let entries = entries.into_iter().flatten().collect();
        counting(entries).map_err(|gone| RegistryError::Corrupt {
            place: self.place(name, gone),
            source: "it is gone, and later versions were registered after it".into(),
        })
    }

    /// One version, unless it was deleted or refused.
    async fn entry(
        &self,
        name: &str,
        made: Option<String>,
        number: i64,
    ) -> Result<Option<Entry>, RegistryError> {
        let key = (name.to_owned(), made.clone(), number);
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Some(known.clone()));
        }
        let Some(version) = self.settled(name, number).await? else { return Ok(None) };
        if version.status != Some(SchemaVersionStatus::Available) {
            return Ok(None);
        }
        let entry = read(number, made, version.schema_definition.as_deref().unwrap_or_default())
            .map_err(|source| RegistryError::Corrupt { place: self.place(name, number), source })?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, entry.clone());
        Ok(Some(entry))
    }

    /// A version as Glue has it when it has decided about it; none where there is none.
    pub(super) async fn settled(
        &self,
        name: &str,
        number: i64,
    ) -> Result<Option<GetSchemaVersionOutput>, RegistryError> {
        for attempt in 0..TRIES {
            let version = SchemaVersionNumber::builder().version_number(number).build();
            let call = self.client.get_schema_version().schema_id(self.schema_id(name));
            match call.schema_version_number(version).send().await {
                Ok(found) if found.status == Some(SchemaVersionStatus::Pending) => {
                    tokio::time::sleep(PAUSE * 2_u32.pow(attempt)).await;
                }
                Ok(found) => return Ok(Some(found)),
                Err(error)
                    if error.as_service_error().is_some_and(|of| of.is_entity_not_found_exception()) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(call::failed(self.reading(name), error)),
            }
        }
        let source = format!("version {number} is still pending").into();
        Err(RegistryError::Unavailable { attempted: self.reading(name), source })
    }

    fn reading(&self, name: &str) -> String {
        format!("read the schema {name} in the Glue registry {}", self.registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    fn entry(number: i64, after: i64) -> Entry {
        let (id, at) = ("event/A/1.0.0".parse().unwrap(), "2026-11-26T09:30:00Z".parse().unwrap());
        let (mode, origin) = Default::default();
        let draft = Schema::draft(id, at, mode, origin, serde_json::json!({})).unwrap();
        let text = written(&draft.released(), after);
        read(number, None, &text).unwrap()
    }

    #[test]
    fn of_those_that_saw_the_same_the_first_counts() {
        let numbers = |entries: &[(i64, i64)]| {
            let entries = entries.iter().map(|(number, after)| entry(*number, *after)).collect();
            counting(entries).map(|entries| entries.iter().map(|entry| entry.number).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&[(1, 0), (2, 1), (3, 1), (4, 1), (5, 2)]), Ok(vec![1, 2, 5]));
        // What Glue refused leaves a hole.
        assert_eq!(numbers(&[(2, 0), (5, 2)]), Ok(vec![2, 5]));
        assert_eq!(numbers(&[(1, 0), (3, 2)]), Err(2));
        assert_eq!(numbers(&[(1, 0), (3, 1), (4, 2)]), Err(2));
        assert_eq!(numbers(&[]), Ok(vec![]));
    }

    #[test]
    fn what_others_wrote_is_no_version() {
        let refused = |text: &str| read(1, None, text).unwrap_err().to_string();
        assert!(refused("{}").contains("was not written by Nexus"));
        assert!(refused("{\"x-nexus-after\":0}").contains("x-nexus"));
        assert!(refused("[").contains("EOF"));
    }
}
