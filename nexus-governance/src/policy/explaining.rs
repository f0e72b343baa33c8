use serde::Serialize;
use serde_json::Value as Json;

use super::prepared::Prepared;
use super::rego::DECIDING;
use super::{BundleError, Operation, PolicyBundle, PolicyLimits};

/// What one definition of a rule has to do with a decision.
#[derive(Debug, Serialize)]
pub(crate) struct Explained {
    /// Such as `nexus.command.deny`.
    pub(crate) rule: String,
    pub(crate) file: String,
    pub(crate) line: usize,
    /// What it says of the input; none where it does not apply.
    pub(crate) says: Option<Json>,
    /// Why it cannot be evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Asks each definition of the rules that decide by itself, as if there were no others of its name.
pub(crate) fn explained(
    bundle: &PolicyBundle,
    operation: Operation,
    input: &Json,
) -> Result<Vec<Explained>, BundleError> {
    let limits = PolicyLimits::default();
    let prepared = Prepared::new(bundle, limits)?;
    let package = format!("nexus.{}", operation.as_str());
    let mut found = Vec::new();
    for module in prepared.modules.iter().filter(|module| module.package == package) {
        for rule in module.rules.iter().filter(|rule| DECIDING.contains(&rule.name.as_str())) {
            let alone = prepared.modules.iter().filter(|other| other.package == package).fold(
                bundle.clone(),
                |bundle, other| {
                    let others = other.rules.iter().filter(|one| {
                        let is_this = other.file == module.file && one.range == rule.range;
                        one.name == rule.name && !is_this
                    });
                    let ranges: Vec<_> = others.map(|one| one.range.clone()).collect();
                    let text =
                        bundle.files().find(|(path, _)| *path == other.file).map(|(_, text)| text.to_owned());
                    match text {
                        Some(text) => bundle.with(&other.file, blanked(&text, &ranges)),
                        None => bundle,
                    }
                },
            );
            let said = Prepared::new(&alone, limits)?.value(&package, &rule.name, input);
            let (says, error) = said.map_or_else(|error| (None, Some(error)), |says| (says, None));
            found.push(Explained {
                rule: format!("{package}.{}", rule.name),
                file: module.file.clone(),
                line: rule.line,
                says: says.filter(|said| !is_nothing(said)),
                error,
            });
        }
    }
    Ok(found)
}

/// What a set or an object is to which nothing was added.
fn is_nothing(said: &Json) -> bool {
    match said {
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// The text without these parts, with all else where it was.
fn blanked(text: &str, ranges: &[std::ops::Range<usize>]) -> String {
    let is_within = |index: usize| ranges.iter().any(|range| range.contains(&index));
    text.char_indices()
        .map(|(index, character)| if is_within(index) && character != '\n' { ' ' } else { character })
        .collect()
}
