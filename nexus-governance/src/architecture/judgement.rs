use std::time::Duration;

use regorus::Value;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::place::At;
use crate::policy::{BundleError, PolicyBundle, PolicyFault, PolicyLimits, loaded, value};
use crate::stack::on_a_large_stack;

/// Where policies find the architecture wanting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Violation {
    pub(crate) at: At,
    /// A name that does not change, for programs and for exceptions.
    pub(crate) rule: String,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

/// The package that says what is wrong with an architecture.
pub(crate) const PACKAGE: &str = "nexus.architecture";

/// Whether policies say something of an architecture.
pub(crate) fn speaks_of_architecture(bundle: &PolicyBundle) -> bool {
    bundle.policies().any(|(_, text)| {
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let first = lines.map(str::split_whitespace).find(|words| words.clone().next().is_some());
        first.is_some_and(|words| words.take(2).eq(["package", PACKAGE]))
    })
}

/// What one evaluation may take: it is one for a whole workspace.
const LIMITS: PolicyLimits =
    PolicyLimits { time: Duration::from_secs(10), input: usize::MAX, value: 64 << 20 };

/// The stack for compiling and evaluating, in bytes.
const STACK: usize = 64 << 20;

/// What the policies of a bundle deny of an architecture, by place.
pub(crate) fn judged(bundle: &PolicyBundle, facts: &Facts) -> Result<Vec<Violation>, BundleError> {
    let judged = on_a_large_stack(STACK, || evaluated(bundle, facts));
    judged.unwrap_or_else(|error| Err(fault(format!("no thread could be started: {error}"))))
}

fn fault(message: impl Into<String>) -> BundleError {
    PolicyFault::new("policies", (1, 1), message).into()
}

fn evaluated(bundle: &PolicyBundle, facts: &Facts) -> Result<Vec<Violation>, BundleError> {
    let (mut engine, modules) = loaded(bundle, bundle.policies(), LIMITS)?;
    let ours = || modules.iter().filter(|module| module.package == PACKAGE);
    let place = ours().find_map(|module| {
        let deny = module.rules.iter().find(|rule| rule.name == "deny")?;
        Some((module.file.clone(), deny.place()))
    });
    let Some((file, place)) = place else {
        let file = ours().next().map_or("policies", |module| module.file.as_str());
        let message = format!("{PACKAGE} has no rule deny: write deny contains {EXPECTED} if {{ … }}");
        return Err(PolicyFault::new(file, (1, 1), message).into());
    };
    let fault = |message: String| BundleError::from(PolicyFault::new(&file, place, message));
    let input = serde_json::to_value(facts).map_err(|error| fault(error.to_string()))?;
    engine.set_input(value(&input));
    let denied = engine.eval_rule(format!("data.{PACKAGE}.deny"));
    let denied = denied.map_err(|error| PolicyFault::of_engine(&error, "policies"))?;
    let Value::Set(denied) = denied else {
        return Err(fault(format!("deny of {PACKAGE} is no set: write deny contains {EXPECTED} if {{ … }}")));
    };
    let mut violations = Vec::with_capacity(denied.len());
    for denied in denied.iter() {
        let written = serde_json::to_value(denied).map_err(|error| fault(error.to_string()))?;
        let wrong = |reason: String| {
            fault(format!("deny of {PACKAGE} has {written}: expected {EXPECTED}, and {reason}"))
        };
        let violation: Violation =
            serde_json::from_value(written.clone()).map_err(|error| wrong(error.to_string()))?;
        if violation.at.line == 0 || violation.at.column == 0 {
            return Err(wrong("lines and columns start at 1".to_owned()));
        }
        violations.push(violation);
    }
    violations.sort_unstable();
    Ok(violations)
}

const EXPECTED: &str = "{\"rule\": \"…\", \"message\": \"…\", \"remedy\": \"…\", \"at\": at}";
