use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use regorus::{Engine, Value};
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
    let (mut fresh, modules) = loaded(bundle, bundle.policies().chain(bundle.tests()), limits)?;
    fresh.set_enable_coverage(true);
    fresh.set_input(Value::new_object());
    let mut engine = fresh.clone();
    let mut lines = Lines::default();
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
                Err(error) => {
                    // It may have been left in the middle of something.
                    let spoilt = std::mem::replace(&mut engine, fresh.clone());
                    lines.add(&spoilt)?;
                    Some(PolicyFault::of_engine(&error, &module.file).to_string())
                }
            };
            let (line, column) = rule.place();
            tests.push(Test { name, file: module.file.clone(), line, column, failure });
        }
    }
    lines.add(&engine)?;
    let is_policy = |path: &str| bundle.policies().any(|(policy, _)| policy == path);
    let coverage = lines.0.into_iter().filter(|(file, _)| is_policy(file)).map(|(file, of)| Covered {
        missed: of.all.difference(&of.covered).copied().collect(),
        covered: of.covered.len(),
        file,
    });
    Ok(Tested { tests, coverage: coverage.collect() })
}

/// The lines of each file that can be covered, and those that are.
#[derive(Default)]
struct Lines(BTreeMap<String, LinesOf>);

#[derive(Default)]
struct LinesOf {
    all: BTreeSet<u32>,
    covered: BTreeSet<u32>,
}

impl Lines {
    fn add(&mut self, engine: &Engine) -> Result<(), PolicyFault> {
        let report =
            engine.get_coverage_report().map_err(|error| PolicyFault::of_engine(&error, "policies"))?;
        for file in &report.files {
            let of = self.0.entry(file.path.to_string()).or_default();
            of.covered.extend(&file.covered);
            of.all.extend(file.covered.iter().chain(&file.not_covered));
        }
        Ok(())
    }
}
