use std::collections::{BTreeMap, HashMap};

use regorus::Engine;

use super::module::Rule;
use super::{DECIDING, Module};
use crate::policy::PolicyFault;

/// How deep the expressions of a rule, and of all that it leads to, may be: evaluating them goes as deep.
const DEEPEST: usize = 120;

/// What would not answer the same for the same input, or asks somebody else.
const REFUSED: [(&str, &str); 8] = [
    ("http.send", "policies reach nobody"),
    ("net.lookup_ip_addr", "policies reach nobody"),
    ("opa.runtime", "there is no such runtime"),
    ("rand.intn", "the same input is decided alike"),
    ("time.now_ns", "the same input is decided alike: use input.time"),
    ("uuid.rfc4122", "the same input is decided alike"),
    ("io.jwt.decode_verify", "tokens are verified before: use input.actor.claims"),
    ("print", "what a decision was made by is shown by `nexus-governance policy explain`"),
];

/// What stands against using these policies.
pub(crate) fn faults(modules: &[Module]) -> Vec<PolicyFault> {
    let mut faults = Vec::new();
    let graph = Graph::of(modules);
    let mut known: HashMap<&str, bool> = HashMap::new();
    for module in modules {
        for rule in &module.rules {
            if rule.is_function && DECIDING.contains(&rule.name.as_str()) {
                let message = format!("{} is no function: what is decided about is the input", rule.name);
                faults.push(PolicyFault::new(&module.file, rule.place(), message));
            }
            if rule.is_fragile {
                let message =
                    format!("{} adds what may not be there: give it a name in the body first", rule.name);
                faults.push(PolicyFault::new(&module.file, rule.place(), message));
            }
            if let Some((_, place)) = rule.references.iter().find(|(path, _)| *path == "data") {
                let message = "data is not looked at as a whole, nor by a name that is not written: name what is meant, such as data.limits";
                faults.push(PolicyFault::new(&module.file, *place, message));
            }
            for call in &rule.calls {
                let function = call.function.as_str();
                let is_known = *known
                    .entry(function)
                    .or_insert_with(|| graph.rules.contains_key(function) || is_built_in(function));
                if let Some((name, why)) = REFUSED.iter().find(|(name, _)| *name == call.function) {
                    let message = format!("{name} cannot be called: {why}");
                    faults.push(PolicyFault::new(&module.file, call.place, message));
                } else if !is_known {
                    let message = format!("there is no function {function}");
                    faults.push(PolicyFault::new(&module.file, call.place, message));
                }
                if call.function == "sprintf" && call.text.is_none() {
                    let message =
                        "sprintf takes its format as a text in quotes: what it makes could be of any size";
                    faults.push(PolicyFault::new(&module.file, call.place, message));
                }
            }
        }
    }
    faults.extend(graph.faults());
    faults.extend(graph.conflicts());
    faults.sort();
    faults.dedup();
    faults
}

/// Whether the engine has a function of this name: it says so when it is called.
fn is_built_in(function: &str) -> bool {
    let mut engine = Engine::new();
    let probe = format!("package probe\nfound := {function}()");
    let answer = engine.add_policy("probe.rego".to_owned(), probe).and_then(|_| {
        engine.set_input(regorus::Value::new_object());
        engine.eval_rule("data.probe.found".to_owned())
    });
    answer.err().is_none_or(|error| !error.to_string().contains("could not find function"))
}

/// Which rules refer to which.
struct Graph<'a> {
    /// All definitions, by the whole path of the rule.
    rules: BTreeMap<String, Vec<(&'a Module, &'a Rule)>>,
}

#[derive(Clone, Copy)]
enum Seen {
    InProgress,
    Done(usize),
}

impl<'a> Graph<'a> {
    fn of(modules: &'a [Module]) -> Self {
        let mut rules: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for module in modules {
            for rule in &module.rules {
                let path = format!("data.{}.{}", module.package, rule.path);
                rules.entry(path).or_default().push((module, rule));
            }
        }
        Self { rules }
    }

    fn faults(&self) -> Vec<PolicyFault> {
        let (mut seen, mut faults) = (HashMap::new(), Vec::new());
        for path in self.rules.keys() {
            let depth = self.depth(path, &mut seen, &mut faults, 0);
            if depth > DEEPEST
                && faults.is_empty()
                && let Some((module, rule)) = self.rules[path].first()
            {
                let message =
                    format!("with all that it refers to it is nested more than {DEEPEST} levels deep");
                faults.push(PolicyFault::new(&module.file, rule.place(), message));
            }
        }
        faults
    }

    /// Rules that are sets in one place and values in another: each evaluation would fail.
    fn conflicts(&self) -> Vec<PolicyFault> {
        let odd = self.rules.values().filter_map(|all| {
            let (module, rule) = all.iter().find(|(_, rule)| rule.is_partial)?;
            let (other, value) = all.iter().find(|(_, rule)| !rule.is_partial && !rule.is_default)?;
            let message =
                format!("{} is a set here, and a value at {}:{}", rule.name, other.file, value.line);
            Some(PolicyFault::new(&module.file, rule.place(), message))
        });
        odd.collect()
    }

    /// How deep a rule leads; what leads to itself is a fault.
    fn depth(
        &self,
        path: &str,
        seen: &mut HashMap<String, Seen>,
        faults: &mut Vec<PolicyFault>,
        above: usize,
    ) -> usize {
        // A chain that long is too deep, whatever it leads to.
        if above > DEEPEST {
            return DEEPEST;
        }
        match seen.get(path) {
            Some(Seen::Done(depth)) => return *depth,
            Some(Seen::InProgress) => return 0,
            None => {}
        }
        seen.insert(path.to_owned(), Seen::InProgress);
        let mut deepest = 0;
        for (module, rule) in &self.rules[path] {
            let mut below = 0;
            for (reference, place) in &rule.references {
                for target in self.targets(reference) {
                    if matches!(seen.get(target), Some(Seen::InProgress)) {
                        let message = format!("{} refers to itself by way of {target}", rule.name);
                        faults.push(PolicyFault::new(&module.file, *place, message));
                        continue;
                    }
                    below = below.max(self.depth(target, seen, faults, above + 1));
                }
            }
            deepest = deepest.max(rule.depth + below);
        }
        seen.insert(path.to_owned(), Seen::Done(deepest));
        deepest
    }

    /// The rules that a path names: one, or all of a package.
    fn targets<'s>(&'s self, reference: &str) -> Vec<&'s str> {
        if !reference.starts_with("data.") {
            return Vec::new();
        }
        let is_named = |rule: &&str| {
            let starts = |long: &str, short: &str| {
                long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            starts(reference, rule) || starts(rule, reference)
        };
        self.rules.keys().map(String::as_str).filter(is_named).collect()
    }
}
