use std::fs;
use std::io::Write;

use nexus_core::{Clock, SystemClock};
use serde_json::Value;

use crate::cause::with_cause;
use crate::cli::arguments::{Register, Registry};
use crate::cli::report::{ERROR, FINE};
use crate::cli::{Exit, Failure, document};
use crate::registry::{RegisterError, Registered, Registration, RegistryError, SchemaRegistryExt};
use crate::schema::{CompatibilityMode, Origin, Schema, SchemaId};

pub(super) fn run(registry: &Registry, options: &Register, out: &mut impl Write) -> Result<Exit, Failure> {
    let file = options.file.display();
    let document = document::read(&options.file)?;
    let released = released(&document, options);
    let (id, mut registration) = match &released {
        Some(schema) => (schema.id().clone(), Registration::of(schema)),
        None => {
            let (id, compatibility, origin) = about(&document, options)?;
            let new = Registration::new(id.clone(), document).compatibility(compatibility).origin(origin);
            (id, new)
        }
    };
    let lock = registry.lock()?;
    if let Some(lock) = &lock {
        registration = registration.with_lock(lock);
    }
    if let Some(locked) = lock.as_ref().and_then(|lock| lock.schemas.get(&id.to_string())) {
        let digest = match &released {
            Some(schema) => schema.digest().cloned(),
            None if registry.schemas.exists() => {
                registry.schemas.loaded()?.get(&id).and_then(|there| there.digest().cloned())
            }
            None => None,
        };
        if digest.is_none_or(|digest| digest.as_str() != locked) {
            let lock = registry.lock_path();
            writeln!(
                out,
                "{ERROR}error[released-schema-altered]{ERROR:#}: {id} was released with another content, by {}",
                lock.display()
            )?;
            writeln!(out, "  to mend it: restore its file, or register a new version")?;
            return Ok(Exit::Found);
        }
    }
    let registered = registry
        .schemas
        .with(|schemas| async move { schemas.register_at(registration, &SystemClock).await })?;
    match registered {
        Ok(registered) => {
            let id = registered.schema().id();
            let what = if matches!(registered, Registered::New(..)) {
                "registered"
            } else {
                "was registered already"
            };
            writeln!(
                out,
                "{FINE}{what}{FINE:#}: {id}, {}",
                registered.schema().digest().map_or("", |digest| digest.as_str())
            )?;
            if let Some(mut lock) = lock {
                let digest = registered.schema().digest().map(ToString::to_string).unwrap_or_default();
                if lock.schemas.insert(id.to_string(), digest.clone()) != Some(digest) {
                    let path = registry.lock_path();
                    fs::write(&path, lock.to_json()).map_err(|error| {
                        let path = path.display();
                        Failure::Told(format!("{id} is registered, but {path} cannot be written: {error}"))
                    })?;
                    writeln!(out, "{} was brought up to date", path.display())?;
                }
            }
            Ok(Exit::Fine)
        }
        Err(RegisterError::Refused { id, objections }) => {
            for objection in objections {
                writeln!(out, "{ERROR}error[{}]{ERROR:#}: {id}: {objection}", objection.rule())?;
                writeln!(out, "  --> {file} ({})", objection.pointer())?;
                writeln!(out, "  to mend it: {}", objection.remedy())?;
            }
            Ok(Exit::Found)
        }
        Err(
            error @ (RegisterError::Document(_) | RegisterError::Registry(RegistryError::Unsupported { .. })),
        ) => {
            writeln!(out, "{ERROR}error[unsupported]{ERROR:#}: {}", with_cause(&error))?;
            Ok(Exit::Found)
        }
        Err(error) => Err(Failure::Told(with_cause(&error))),
    }
}

/// The schema in the file, where it is released, and is not to be registered as something else.
fn released(document: &Value, options: &Register) -> Option<Schema> {
    let schema = Schema::from_document(document.clone()).ok().filter(Schema::is_released)?;
    let is_other = options.id.as_ref().is_some_and(|id| id != schema.id())
        || options.compatibility.is_some_and(|mode| mode != schema.compatibility());
    (!is_other).then_some(schema)
}

/// What the schema is of, by the options or by itself.
fn about(document: &Value, options: &Register) -> Result<(SchemaId, CompatibilityMode, Origin), Failure> {
    let mut draft = document.clone();
    if let Some(about) = draft.get_mut("x-nexus").and_then(Value::as_object_mut) {
        // It may have been changed since; whether that is allowed is for the registry to say.
        about.remove("digest");
        about.entry("created_at").or_insert_with(|| SystemClock.now().to_string().into());
    }
    let draft = match (Schema::from_document(draft), &options.id) {
        (Ok(draft), _) => Some(draft),
        (Err(_), Some(_)) => None,
        (Err(error), None) => {
            return Err(Failure::Told(format!(
                "{}: {}; or name it with --id event/OrderPlaced/1.0.0",
                options.file.display(),
                with_cause(&error)
            )));
        }
    };
    let compatibility =
        options.compatibility.or(draft.as_ref().map(Schema::compatibility)).unwrap_or_default();
    let origin = draft.as_ref().map(Schema::origin).unwrap_or_default();
    let id = options.id.clone().or(draft.map(|draft| draft.id().clone()));
    let id = id.ok_or_else(|| Failure::Told("name the schema with --id event/OrderPlaced/1.0.0".into()))?;
    Ok((id, compatibility, origin))
}
