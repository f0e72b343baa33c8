use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};
use serde_json::Value as Json;

use super::rego::{self, DECIDING, Module, Rule};
use super::value::value;
use super::{
    BundleDigest, BundleError, Decision, Denial, Operation, PolicyBundle, PolicyFault, PolicyInput,
    PolicyLimits,
};
use crate::stack::on_a_large_stack;

/// A bundle that is compiled.
pub(crate) struct Prepared {
    pub(crate) digest: BundleDigest,
    #[cfg(feature = "cli")]
    pub(crate) modules: Vec<Module>,
    engine: Engine,
    /// Engines that are at rest: to make one takes as long as to decide.
    idle: Mutex<Vec<Engine>>,
    limits: PolicyLimits,
    decided: BTreeSet<Operation>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("digest", &self.digest).field("limits", &self.limits).finish()
    }
}

/// The stack for compiling, in bytes: the parser goes as deep as expressions are nested.
const STACK: usize = 64 << 20;

/// The rule of each package that puts together what is decided. It is in the package itself: a reference to a rule of another would
/// have all of its rules evaluated.
const ENTRY: &str = "decision__";

/// So many engines are kept at rest: as many as decide at the same time, on most machines.
const IDLE: usize = 16;

/// With so many steps the time is looked at.
const STEPS: NonZeroU32 = NonZeroU32::new(4).unwrap();

impl Prepared {
    pub(crate) fn new(bundle: &PolicyBundle, limits: PolicyLimits) -> Result<Self, BundleError> {
        on_a_large_stack(STACK, || Self::compiled(bundle, limits)).unwrap_or_else(|error| {
            let message = format!("no thread could be started: {error}");
            Err(PolicyFault::new("policies", (1, 1), message).into())
        })
    }

    fn compiled(bundle: &PolicyBundle, limits: PolicyLimits) -> Result<Self, BundleError> {
        let (mut engine, modules) = loaded(bundle, bundle.policies(), limits)?;
        let decided = Operation::ALL.into_iter().filter(|operation| decides(&modules, operation.as_str()));
        let decided: BTreeSet<Operation> = decided.collect();
        for operation in &decided {
            let text = entry(&modules, operation.as_str());
            let path = format!("{}.decision", operation.as_str());
            if let Some(fault) = added(&mut engine, &path, &text) {
                return Err(fault.into());
            }
        }
        // What is wrong with a rule is found before it is needed, and each evaluation finds it compiled.
        engine.set_input(Value::Undefined);
        if let Some(first) = decided.first() {
            let entry = format!("data.nexus.{}.{ENTRY}", first.as_str());
            let compiled = engine.compile_with_entrypoint(&entry.into());
            compiled.map_err(|error| PolicyFault::of_engine(&error, "policies"))?;
        }
        Ok(Self {
            digest: bundle.digest(),
            engine,
            idle: Mutex::default(),
            limits,
            decided,
            #[cfg(feature = "cli")]
            modules,
        })
    }

    /// Whether it decides about such a thing.
    pub(crate) fn decides(&self, operation: Operation) -> bool {
        self.decided.contains(&operation)
    }

    /// What the policies decide about something, which nobody is told of.
    pub(crate) fn decide_about(&self, input: PolicyInput) -> Decision {
        let (operation, input) = input.into_parts();
        self.decide(operation, input)
    }

    /// What the policies decide.
    pub(crate) fn decide(&self, operation: Operation, input: Result<Value, String>) -> Decision {
        let evaluated = input.and_then(|input| {
            if self.decided.contains(&operation) {
                return self.evaluated(operation.as_str(), input);
            }
            Err(format!("no policy decides about it: there is no package nexus.{}", operation.as_str()))
        });
        let (denials, obligations) = evaluated.unwrap_or_else(|reason| {
            let message = format!("policies cannot be evaluated for this {}: {reason}", operation.as_str());
            (vec![Denial::new(message)], BTreeMap::new())
        });
        let obligations = if denials.is_empty() { obligations } else { BTreeMap::new() };
        Decision { bundle: self.digest.clone(), denials, obligations }
    }

    /// What a rule says of an input; none where it says nothing.
    #[cfg(feature = "cli")]
    pub(crate) fn value(&self, package: &str, rule: &str, input: &Json) -> Result<Option<Json>, String> {
        let mut engine = self.engine.clone();
        engine.set_input(value(input));
        let results = engine.eval_query(format!("data.{package}.{rule}"), false);
        let results = results.map_err(|error| PolicyFault::of_engine(&error, "policies").to_string())?;
        let said = results.result.first().and_then(|result| Some(&result.expressions.first()?.value));
        match said {
            None | Some(Value::Undefined) => Ok(None),
            Some(said) => serde_json::to_value(said).map(Some).map_err(|error| error.to_string()),
        }
    }

    fn evaluated(
        &self,
        package: &str,
        input: Value,
    ) -> Result<(Vec<Denial>, BTreeMap<String, Json>), String> {
        let size = size(&input, self.limits.input);
        if size > self.limits.input {
            return Err(format!("the input has more than {} bytes, which is the limit", self.limits.input));
        }
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let resting = idle().pop();
        let mut engine = resting.unwrap_or_else(|| self.engine.clone());
        engine.set_input(input);
        let decision = engine.eval_rule(format!("data.nexus.{package}.{ENTRY}"));
        let decision = decision.map_err(|error| PolicyFault::of_engine(&error, "policies").to_string())?;
        // One that failed is not used again.
        engine.set_input(Value::Undefined);
        let mut idle = idle();
        if idle.len() < IDLE {
            idle.push(engine);
        }
        drop(idle);
        if !matches!(decision, Value::Object(_)) {
            return Err(format!("the rules of nexus.{package} do not come to a decision"));
        }
        // Each is a list of what there is: of one, or of nothing.
        let said = |name: &str| match &decision[name] {
            Value::Array(said) => said.first(),
            _ => None,
        };
        let mut denials = said("deny").map_or_else(|| Ok(Vec::new()), |found| denials(found, package))?;
        // Where it does not say what is allowed, what is not denied is.
        let has_allow = decision["allow"] != Value::Undefined;
        if denials.is_empty() && has_allow && said("allow") != Some(&Value::Bool(true)) {
            denials.push(Denial::new(format!("no rule of nexus.{package} allows it")));
        }
        let mut obligations = BTreeMap::new();
        match said("obligations") {
            None => {}
            Some(Value::Object(said)) => {
                for (name, obligation) in said.iter() {
                    let name = name.as_string().map_or_else(|_| name.to_string(), ToString::to_string);
                    obligations
                        .insert(name, serde_json::to_value(obligation).map_err(|error| error.to_string())?);
                }
            }
            Some(_) => return Err(format!("obligations of nexus.{package} have to be an object")),
        }
        Ok((denials, obligations))
    }
}

/// Whether a package has rules that decide.
fn decides(modules: &[Module], package: &str) -> bool {
    ["allow", "deny"].iter().any(|name| definitions(modules, package, name).next().is_some())
}

fn definitions<'a>(modules: &'a [Module], package: &str, name: &'a str) -> impl Iterator<Item = &'a Rule> {
    let package = format!("nexus.{package}");
    let within = modules.iter().filter(move |module| module.package == package);
    within.flat_map(|module| &module.rules).filter(move |rule| rule.name == name)
}

/// An engine with these policies of a bundle and its data, if nothing stands against them.
pub(crate) fn loaded<'a>(
    bundle: &PolicyBundle,
    policies: impl Iterator<Item = (&'a str, &'a str)>,
    limits: PolicyLimits,
) -> Result<(Engine, Vec<Module>), BundleError> {
    let mut engine = engine(limits)?;
    let faults: Vec<PolicyFault> =
        policies.filter_map(|(path, text)| added(&mut engine, path, text)).collect();
    if !faults.is_empty() {
        return Err(BundleError::Invalid { faults });
    }
    let modules = checked(&engine)?;
    let data = value(&bundle.data()?);
    engine.add_data(data).map_err(|error| PolicyFault::of_engine(&error, "data"))?;
    Ok((engine, modules))
}

/// An engine without policies.
fn engine(limits: PolicyLimits) -> Result<Engine, BundleError> {
    let mut engine = Engine::new();
    engine.set_strict_builtin_errors(true);
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: limits.time, check_interval: STEPS });
    rego::bound(&mut engine, limits).map_err(|error| PolicyFault::of_engine(&error, "policies"))?;
    Ok(engine)
}

/// Adds a policy, or answers what is wrong with it.
fn added(engine: &mut Engine, path: &str, text: &str) -> Option<PolicyFault> {
    if let Err(fault) = rego::check_nesting(path, text) {
        return Some(fault);
    }
    let added = engine.add_policy(path.to_owned(), text.to_owned());
    added.err().map(|error| PolicyFault::of_engine(&error, path))
}

/// The modules of an engine, if nothing stands against them.
fn checked(engine: &Engine) -> Result<Vec<Module>, BundleError> {
    let unreadable = |error: String| PolicyFault::new("policies", (1, 1), error);
    let written = engine.get_ast_as_json().map_err(|error| unreadable(error.to_string()))?;
    // Expressions may be nested deeper than JSON is read by default.
    let mut deserializer = serde_json::Deserializer::from_str(&written);
    deserializer.disable_recursion_limit();
    let written = serde::Deserialize::deserialize(&mut deserializer);
    let written: Json = written.map_err(|error| unreadable(error.to_string()))?;
    let modules = Module::all(&written);
    let faults = rego::faults(&modules);
    if faults.is_empty() { Ok(modules) } else { Err(BundleError::Invalid { faults }) }
}

/// The rule that puts together what a package decides, of what it has.
fn entry(modules: &[Module], package: &str) -> String {
    let decided = DECIDING.into_iter().filter(|name| definitions(modules, package, name).next().is_some());
    // What is not defined leaves its list empty.
    let members: Vec<String> = decided.map(|name| format!("\"{name}\": [said | said := {name}]")).collect();
    format!("package nexus.{package}\n{ENTRY} := {{{}}}\n", members.join(", "))
}

fn denials(found: &Value, package: &str) -> Result<Vec<Denial>, String> {
    let wrong = |found: &Value| {
        format!(
            "deny of nexus.{package} has {found}: expected texts, or objects with \"message\" and \"remedy\", such as \
             deny contains {{\"message\": \"…\", \"remedy\": \"…\"}} if {{ … }}"
        )
    };
    let all = |found: &mut dyn Iterator<Item = &Value>| -> Result<Vec<Denial>, String> {
        found.map(|of| denial(of).ok_or_else(|| wrong(of))).collect()
    };
    match found {
        Value::Bool(false) => Ok(Vec::new()),
        Value::Bool(true) => Ok(vec![Denial::new(format!("nexus.{package} denies it"))]),
        Value::Set(members) => all(&mut members.iter()),
        Value::Array(members) => all(&mut members.iter()),
        other => all(&mut std::iter::once(other)),
    }
}

fn denial(of: &Value) -> Option<Denial> {
    match of {
        Value::String(message) => Some(Denial::new(message.as_ref())),
        Value::Object(_) => {
            let denial = Denial::new(of["message"].as_string().ok()?.as_ref());
            match &of["remedy"] {
                Value::Undefined => Some(denial),
                remedy => Some(denial.with_remedy(remedy.as_string().ok()?.as_ref())),
            }
        }
        _ => None,
    }
}

/// About how many bytes a value has, at least up to a limit.
fn size(value: &Value, most: usize) -> usize {
    let within = |sum: usize, value: &Value| if sum > most { sum } else { sum + size(value, most - sum) };
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().fold(2, within),
        Value::Object(members) => {
            members.iter().fold(2, |sum, (name, value)| within(within(sum + 1, name), value))
        }
        _ => 8,
    }
}
