mod call;
mod history;
mod name;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use aws_config::BehaviorVersion;
use aws_sdk_glue::Client;
use aws_sdk_glue::types::{
    Compatibility, DataFormat, RegistryId, SchemaId as GlueSchemaId, SchemaVersionStatus,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use futures::{StreamExt, TryStreamExt};

use super::{RegistryError, RegistryRevision, SchemaRegistry, SchemaSet, SchemaSnapshot};
use crate::schema::{Schema, SchemaId};
use history::{Entry, Key};

/// A registry in the Glue Schema Registry of AWS (feature `glue`).
///
/// The event `OrderPlaced` is the Glue schema `event.OrderPlaced`, and each of its registered versions is one version there, numbered
/// from 1, with the document that [`Schema`] shows in `x-nexus-document` of a draft-07 schema, since Glue knows no newer draft. Glue's own
/// compatibility mode of it is `NONE`: what joins is judged here, as in every registry, since Glue shows no witness. Nothing is ever
/// deleted or changed, and must not be: a version that is missed makes the registry unreadable.
///
/// Glue has no conditional write. So each version says, in `x-nexus-after`, which version its author had seen last, and one whose
/// author had not seen the last that counts does not count, to any reader: of two that are registered at once the first wins.
///
/// It was tried on a stand-in; how the real Glue answers where that is silent is taken from its documentation.
///
/// A registry holds nothing but what was written by this; other schemas in it are an error. A document takes 170,000 bytes at most
/// (Glue's limit), and a name 255 characters, with `#` and two digits for each byte that is no letter, digit, `-`, `_` or `.`.
///
/// It calls `glue:ListSchemas`, `GetSchema`, `GetSchemaVersion`, `CreateSchema`, `RegisterSchemaVersion`, and [`create`](Self::create)
/// `CreateRegistry`. What was loaded before is not fetched again: to load takes a call a schema, and one a version that is new.
#[derive(Clone, Debug)]
pub struct SchemasInGlue {
    client: Client,
    registry: String,
    /// Versions do not change.
    known: Arc<Mutex<HashMap<Key, Entry>>>,
}

/// How many calls are under way at once.
const CALLS: usize = 8;

/// How many bytes of text Glue takes for a schema.
const LARGEST: usize = 170_000;

impl SchemasInGlue {
    /// The Glue registry of this name, which has to exist.
    pub fn new(client: Client, registry: impl Into<String>) -> Self {
        Self { client, registry: registry.into(), known: Arc::default() }
    }

    /// The same, with credentials, region and endpoint as AWS programs find them: environment, profile, role.
    pub async fn from_environment(registry: impl Into<String>) -> Self {
        let tls = tls::Provider::Rustls(CryptoMode::Ring);
        let http = aws_smithy_http_client::Builder::new().tls_provider(tls).build_https();
        let config = aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await;
        Self::new(Client::new(&config), registry)
    }

    /// Makes the Glue registry, if there is none of its name.
    ///
    /// # Errors
    /// Glue refuses, or does not answer.
    pub async fn create(&self) -> Result<(), RegistryError> {
        let call = self.client.create_registry().registry_name(&self.registry);
        match call.description("Schemas of Nexus: they are added by it alone").send().await {
            Ok(_) => Ok(()),
            Err(error) if error.as_service_error().is_some_and(|of| of.is_already_exists_exception()) => {
                Ok(())
            }
            Err(error) => Err(call::failed(format!("create the Glue registry {}", self.registry), error)),
        }
    }

    fn registry_id(&self) -> RegistryId {
        RegistryId::builder().registry_name(&self.registry).build()
    }

    fn schema_id(&self, name: &str) -> GlueSchemaId {
        GlueSchemaId::builder().registry_name(&self.registry).schema_name(name).build()
    }

    /// What an error says that a version is corrupt.
    fn place(&self, name: &str, number: i64) -> String {
        format!("version {number} of {name} in the Glue registry {}", self.registry)
    }
}

#[async_trait]
impl SchemaRegistry for SchemasInGlue {
    async fn load(&self) -> Result<SchemaSnapshot, RegistryError> {
        let names = self.names().await?;
        let histories = futures::stream::iter(names).map(|name| async move {
            let entries = self.history(&name).await?;
            Ok::<_, RegistryError>((name, entries))
        });
        let mut histories = histories.buffer_unordered(CALLS);
        let (mut schemas, mut last) = (SchemaSet::default(), Last::new());
        while let Some((name, entries)) = histories.try_next().await? {
            for Entry { number, made, schema, .. } in entries {
                let id = schema.id().clone();
                if name::of(&id)? != name {
                    let source = format!("by its content it is {id}").into();
                    return Err(RegistryError::Corrupt { place: self.place(&name, number), source });
                }
                if schemas.insert(*schema).is_some() {
                    return Err(RegistryError::Twice { id });
                }
                last.insert(name.clone(), (number, made));
            }
        }
        Ok(SchemaSnapshot { schemas, revision: revision(&last) })
    }

    async fn add(&self, schema: &Schema, after: &RegistryRevision) -> Result<(), RegistryError> {
        if !schema.is_released() {
            return Err(RegistryError::Draft { id: schema.id().clone() });
        }
        let name = name::of(schema.id())?;
        // The revision of another registry is none of ours.
        let last: Last = serde_json::from_str(after.as_str()).map_err(|_| RegistryError::Conflict)?;
        let seen = last.get(&name);
        let after = seen.map_or(0, |(number, _)| *number);
        let text = history::written(schema, after);
        if text.len() > LARGEST {
            let reason = format!("it takes {} bytes, and Glue {LARGEST} at most", text.len());
            return Err(RegistryError::Unsupported { id: schema.id().clone(), reason });
        }
        let before = self.history(&name).await?;
        let is_there = before.iter().any(|entry| entry.schema.id() == schema.id());
        if is_there || before.last().map(|entry| (entry.number, entry.made.clone())) != seen.cloned() {
            return Err(RegistryError::Conflict);
        }
        let number = self.write(schema.id(), &name, &text).await?;
        let status = self.settled(&name, number).await?.and_then(|version| version.status);
        if status == Some(SchemaVersionStatus::Failure) {
            let reason =
                format!("Glue judges versions of {name} itself: set its compatibility there to NONE");
            return Err(RegistryError::Unsupported { id: schema.id().clone(), reason });
        }
        // Somebody else may have been first.
        let counts = self.history(&name).await?.iter().any(|entry| *entry.schema == *schema);
        if counts { Ok(()) } else { Err(RegistryError::Conflict) }
    }
}

impl SchemasInGlue {
    /// Adds a version, and answers its number.
    async fn write(&self, id: &SchemaId, name: &str, text: &str) -> Result<i64, RegistryError> {
        let failed = |error| {
            let attempted = format!("register a version of {name} in the Glue registry {}", self.registry);
            call::unregistered(id, attempted, error)
        };
        let create = self.client.create_schema().registry_id(self.registry_id()).schema_name(name);
        let create = create.data_format(DataFormat::Json).compatibility(Compatibility::None);
        match create.schema_definition(text).send().await {
            Ok(created) => return Ok(created.latest_schema_version.unwrap_or(1)),
            Err(error) if error.as_service_error().is_some_and(|of| of.is_already_exists_exception()) => {}
            Err(error) => return Err(failed(error.into())),
        }
        // The same text again is the same version.
        let register = self.client.register_schema_version().schema_id(self.schema_id(name));
        let registered = register.schema_definition(text).send().await;
        let registered = registered.map_err(|error| failed(error.into()))?;
        Ok(registered.version_number.unwrap_or_default())
    }
}

/// By schema the number of its last version that counts, and when the schema was made.
type Last = BTreeMap<String, (i64, Option<String>)>;

fn revision(last: &Last) -> RegistryRevision {
    // Texts and numbers can always be written.
    RegistryRevision::new(serde_json::to_string(last).unwrap_or_default())
}
