use std::io::Write;

use crate::cli::arguments::{Registry, Show};
use crate::cli::{Exit, Failure};
use crate::schema::{SchemaId, SchemaKind};

pub(super) fn run(registry: &Registry, options: &Show, out: &mut impl Write) -> Result<Exit, Failure> {
    let schemas = registry.schemas.loaded()?;
    let asked = &options.schema;
    let found = match asked.parse::<SchemaId>() {
        Ok(id) => schemas.get(&id),
        Err(error) => {
            let (kind, name) = asked.split_once('/').ok_or_else(|| Failure::Told(error.to_string()))?;
            let kind = SchemaKind::ALL.into_iter().find(|of| of.as_str() == kind);
            let kind = kind.ok_or_else(|| Failure::Told(error.to_string()))?;
            let name = SchemaId::decoded(name).ok_or_else(|| Failure::Told(error.to_string()))?;
            schemas.versions(kind, &name).next_back()
        }
    };
    let schema = found.ok_or_else(|| registry.has_no(asked))?;
    write!(out, "{}", schema.to_text())?;
    Ok(Exit::Fine)
}
