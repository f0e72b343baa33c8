use std::io::Write;

use serde_json::{Value, json};

use crate::cli::arguments::{List, Plain, Registry};
use crate::cli::report::DIM;
use crate::cli::{Exit, Failure};
use crate::schema::Schema;

pub(super) fn run(registry: &Registry, options: &List, out: &mut impl Write) -> Result<Exit, Failure> {
    let schemas = registry.schemas.loaded()?;
    match options.format {
        Plain::Json => {
            let all: Vec<Value> = schemas.iter().map(described).collect();
            writeln!(out, "{:#}", Value::Array(all))?;
        }
        Plain::Human => {
            let widest =
                schemas.iter().map(|schema| schema.id().to_string().chars().count()).max().unwrap_or(0);
            for schema in schemas.iter() {
                let state = if schema.is_released() { "released" } else { "draft" };
                let (id, mode) = (schema.id().to_string(), schema.compatibility());
                let created = schema.created_at().strftime("%Y-%m-%d");
                writeln!(out, "{id:widest$}  {state:8}  {mode:20}  {DIM}{created}{DIM:#}")?;
            }
        }
    }
    Ok(Exit::Fine)
}

fn described(schema: &Schema) -> Value {
    json!({
        "id": schema.id().to_string(),
        "kind": schema.id().kind,
        "name": schema.id().name,
        "version": schema.id().version,
        "created_at": schema.created_at(),
        "compatibility": schema.compatibility(),
        "origin": schema.origin(),
        "digest": schema.digest(),
    })
}
