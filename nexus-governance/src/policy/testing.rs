use std::time::Duration;

use regorus::Value;
use serde::Serialize;

use super::prepared::loaded;
use super::{BundleError, PolicyBundle, PolicyFault, PolicyLimits};

/// How long one test may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What came of the tests of a bundle.
#[derive(Debug, Serialize)]
pub(crate) struct Tested {
    pub(crate) tests: Vec<Test>,
    pub(crate) coverage: Vec<Covered>,
}

/// A rule whose name starts with `test_`.
#[derive(Debug, Serialize)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// Why it failed; none if it passed.
    pub(crate) failure: Option<String>,
}

/// Which lines of a policy the tests have come by.
#[derive(Debug, Serialize)]
pub(crate) struct Covered {
    pub(crate) file: String,
    pub(crate) covered: usize,
    /// Those that no test has come by.
    pub(crate) missed: Vec<u32>,
}

/// Runs all tests, each with what is told of the input and data by `with`.
pub(crate) fn tested(bundle: &PolicyBundle) -> Result<Tested, BundleError> {
    let limits = PolicyLimits { time: PATIENCE, ..PolicyLimits::default() };
    let (mut engine, modules) = loaded(bundle, bundle.policies().chain(bundle.tests()), limits)?;
    engine.set_enable_coverage(true);
    engine.set_input(Value::new_object());
    let mut tests: Vec<Test> = Vec::new();
    for module in &modules {
        for rule in module.rules.iter().filter(|rule| rule.name.starts_with("test_")) {
            let name = format!("data.{}.{}", module.package, rule.name);
            if tests.iter().any(|test| test.name == name) {
                continue;
            }
            let failure = match engine.eval_rule(name.clone()) {
                Ok(Value::Bool(true)) => None,
                Ok(Value::Undefined) => Some("it does not hold".to_owned()),
                Ok(other) => Some(format!("it is {other}, and not true")),
                Err(error) => Some(PolicyFault::of_engine(&error, &module.file).to_string()),
            };
            let (line, column) = rule.place();
            tests.push(Test { name, file: module.file.clone(), line, column, failure });
        }
    }
    let report = engine.get_coverage_report().map_err(|error| PolicyFault::of_engine(&error, "policies"))?;
    let is_policy = |path: &str| bundle.policies().any(|(policy, _)| policy == path);
    let coverage = report.files.iter().filter(|file| is_policy(&file.path)).map(|file| Covered {
        file: file.path.to_string(),
        covered: file.covered.len(),
        missed: file.not_covered.iter().copied().collect(),
    });
    Ok(Tested { tests, coverage: coverage.collect() })
}
