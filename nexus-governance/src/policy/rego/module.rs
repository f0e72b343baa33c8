use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

/// A policy file, as far as it is looked at before it is evaluated.
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) file: String,
    /// Such as `nexus.command`.
    pub(crate) package: String,
    pub(crate) rules: Vec<Rule>,
}

/// One definition of a rule; a rule may have several.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Within its package; of `a["b"]`, `a`.
    pub(crate) name: String,
    /// Within its package, as far as it is fixed: of `a["b"][c]`, `a.b`.
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// Where it is in the text, in bytes.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "the command explains decisions by it"))]
    pub(crate) range: Range<usize>,
    /// Whether it adds a member to a set or an object, which are there without any, too.
    pub(crate) is_partial: bool,
    /// Whether it says what holds where nothing else does.
    pub(crate) is_default: bool,
    /// Whether it is a function.
    pub(crate) is_function: bool,
    /// Whether what it adds may not be there: the engine would forget what was added before.
    pub(crate) is_fragile: bool,
    /// What it refers to, by whole paths such as `data.nexus.command.deny` and `sprintf`, and where.
    pub(crate) references: BTreeMap<String, (usize, usize)>,
    /// Functions that it calls, and where.
    pub(crate) calls: Vec<Call>,
    /// How deep its expressions are nested.
    pub(crate) depth: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) place: (usize, usize),
    /// Its first argument, where that is a text in quotes.
    pub(crate) text: Option<String>,
}

impl Rule {
    pub(crate) fn place(&self) -> (usize, usize) {
        (self.line, self.column)
    }
}

impl Module {
    /// Those of an engine, as it writes them down.
    pub(crate) fn all(written: &Value) -> Vec<Self> {
        let all = || written.as_array().into_iter().flatten();
        // The rules of a package are known in all of its files.
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (package, rules) in all().filter_map(|written| rules_of(&written["ast"])) {
            let firsts = rules.iter().filter_map(|rule| head(rule)?.0.into_iter().next());
            names.entry(package).or_default().extend(firsts);
        }
        all().filter_map(|written| Self::of(written, &names)).collect()
    }

    fn of(written: &Value, names: &BTreeMap<String, BTreeSet<String>>) -> Option<Self> {
        let (source, ast) = (&written["source"], &written["ast"]);
        let file = source["file"].as_str()?.to_owned();
        let text = source["contents"].as_str()?;
        let (package, written) = rules_of(ast)?;
        let imports = imports(&ast["imports"], text);
        let within = Within { package: &package, imports: &imports, names: names.get(&package)?, text };
        let rules = written.iter().filter_map(|rule| within.rule(rule)).collect();
        Some(Self { file, package, rules })
    }
}

/// What names mean in a module.
struct Within<'a> {
    package: &'a str,
    imports: &'a BTreeMap<String, String>,
    names: &'a BTreeSet<String>,
    text: &'a str,
}

/// The package of a file, and its rules.
fn rules_of(ast: &Value) -> Option<(String, &Vec<Value>)> {
    Some((path(&ast["package"]["refr"])?.join("."), ast["rules"].as_array()?))
}

/// The path of a rule, and what is written about it.
fn head(rule: &Value) -> Option<(Vec<String>, &Value)> {
    let (kind, of) = rule.as_object()?.iter().next()?;
    let refr = if kind == "Default" {
        &of["refr"]
    } else {
        let (_, head) = of["head"].as_object()?.iter().next()?;
        &head["refr"]
    };
    Some((path(refr)?, of))
}

impl Within<'_> {
    fn rule(&self, rule: &Value) -> Option<Rule> {
        let (path, of) = head(rule)?;
        let name = path.first()?.clone();
        let place = place(&of["span"])?;
        let head_of = |kind: &str| of["head"].get(kind);
        let is_plain = |head: &Value| head["refr"].get("Var").is_some();
        let is_partial = head_of("Set").is_some_and(is_plain);
        let is_function = head_of("Func").is_some();
        let is_default = rule.get("Default").is_some();
        let adds = head_of("Set").or_else(|| head_of("Compr").filter(|head| !is_plain(head)));
        let is_fragile =
            adds.is_some_and(|head| self.may_miss(&head["key"]) || self.may_miss(&head["assign"]));
        let at = |name: &str| usize::try_from(of["span"][name].as_u64()?).ok();
        let range = at("start")?..at("end")?;
        let mut locals = BTreeSet::new();
        declared(of, self.text, &mut locals);
        // Those of a comprehension are known within it alone: what is called like a rule may be one.
        let mut within = BTreeSet::new();
        declared_in_comprehensions(of, self.text, &mut within);
        locals.retain(|name| !(within.contains(name) && self.names.contains(name)));
        let mut found = Found { locals, references: BTreeMap::new(), calls: Vec::new() };
        // What a rule is called is no reference to it.
        let head = of["head"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(_, head)| head.as_object().into_iter().flatten());
        let parts = head
            .filter(|(part, _)| *part != "refr")
            .map(|(_, part)| part)
            .chain([&of["bodies"], &of["value"]]);
        let depth = parts.map(|part| self.walk(part, 0, &mut found)).max().unwrap_or(0);
        let heads = of["head"].as_object().into_iter().flatten().map(|(_, head)| &head["refr"]);
        let depth = heads.map(|refr| self.brackets(refr, &mut found)).max().unwrap_or(0).max(depth);
        let (line, column) = place;
        let Found { references, calls, .. } = found;
        Some(Rule {
            name,
            path: path.join("."),
            line,
            column,
            range,
            is_partial,
            is_default,
            is_function,
            is_fragile,
            references,
            calls,
            depth,
        })
    }

    /// Notes what an expression refers to, and answers how deep it is.
    fn walk(&self, value: &Value, depth: usize, found: &mut Found) -> usize {
        match value {
            Value::Array(items) => {
                items.iter().map(|item| self.walk(item, depth, found)).max().unwrap_or(depth)
            }
            Value::Object(members) => {
                let mut deepest = depth;
                for (kind, of) in members {
                    let is_expression = of.get("eidx").is_some();
                    match kind.as_str() {
                        "span" => continue,
                        "Call" => {
                            if let (Some(path), Some(place)) = (path(&of["fcn"]), place(&of["span"])) {
                                let function = self.meant(path);
                                // Whatever else is called so.
                                found.references.entry(function.clone()).or_insert(place);
                                let text = of["params"][0]["String"]["value"].as_str();
                                let text = text.or(of["params"][0]["RawString"]["value"].as_str());
                                found.calls.push(Call { function, place, text: text.map(str::to_owned) });
                            }
                        }
                        "Var" | "RefDot" | "RefBrack" => {
                            deepest = deepest.max(self.reference(kind, of, depth, found));
                            continue;
                        }
                        _ => {}
                    }
                    let below = self.walk(of, depth + usize::from(is_expression), found);
                    deepest = deepest.max(below);
                }
                deepest
            }
            _ => depth,
        }
    }

    /// Notes what the brackets of a rule's name refer to.
    fn brackets(&self, refr: &Value, found: &mut Found) -> usize {
        let Some((_, of)) = refr.as_object().and_then(|refr| refr.iter().next()) else { return 0 };
        let index = self.walk(&of["index"], 1, found);
        if of.get("refr").is_some() { index.max(self.brackets(&of["refr"], found)) } else { index }
    }

    /// Whether a value has something in it that may not be there: a reference, or what a function of ours answers.
    fn may_miss(&self, value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().any(|item| self.may_miss(item)),
            Value::Object(members) => members.iter().any(|(kind, of)| match kind.as_str() {
                // What is missing within one makes it shorter.
                "ArrayCompr" | "SetCompr" | "ObjectCompr" => false,
                "RefDot" | "RefBrack" => true,
                "Call" => {
                    let is_ours = |path: Vec<String>| self.meant(path).starts_with("data.");
                    path(&of["fcn"]).is_some_and(is_ours) || self.may_miss(&of["params"])
                }
                _ => self.may_miss(of),
            }),
            _ => false,
        }
    }

    /// Notes a reference as a whole, and what its brackets refer to.
    fn reference(&self, kind: &str, of: &Value, depth: usize, found: &mut Found) -> usize {
        if let (Some(path), Some(place)) = (path_of(kind, of), place(&of["span"]))
            && !found.locals.contains(&path[0])
        {
            found.references.entry(self.meant(path)).or_insert(place);
        }
        let (mut deepest, mut of, mut kind) = (depth, of, kind);
        while matches!(kind, "RefDot" | "RefBrack") {
            deepest = deepest.max(self.walk(&of["index"], depth + 1, found));
            let Some((below, refr)) = of["refr"].as_object().and_then(|refr| refr.iter().next()) else {
                break;
            };
            (kind, of) = (below.as_str(), refr);
        }
        if kind == "Var" { deepest } else { deepest.max(self.walk(of, depth + 1, found)) }
    }

    /// The whole path of what is written in short.
    fn meant(&self, mut path: Vec<String>) -> String {
        if let Some(imported) = self.imports.get(&path[0]) {
            path[0].clone_from(imported);
        } else if self.names.contains(&path[0]) {
            path[0] = format!("data.{}.{}", self.package, path[0]);
        }
        path.join(".")
    }
}

struct Found {
    locals: BTreeSet<String>,
    references: BTreeMap<String, (usize, usize)>,
    calls: Vec<Call>,
}

/// The names that a rule gives itself: arguments, `some`, `every`, `:=`.
fn declared(value: &Value, text: &str, locals: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| declared(item, text, locals)),
        Value::Object(members) => {
            for (kind, of) in members {
                match kind.as_str() {
                    "Func" => variables(&of["args"], locals),
                    "SomeVars" => named(&of["vars"], text, locals),
                    "SomeIn" => {
                        variables(&of["key"], locals);
                        variables(&of["value"], locals);
                    }
                    "Every" => {
                        named(&of["key"], text, locals);
                        named(&of["value"], text, locals);
                    }
                    "AssignExpr" => variables(&of["lhs"], locals),
                    _ => {}
                }
                declared(of, text, locals);
            }
        }
        _ => {}
    }
}

fn declared_in_comprehensions(value: &Value, text: &str, locals: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| declared_in_comprehensions(item, text, locals)),
        Value::Object(members) => {
            for (kind, of) in members {
                if matches!(kind.as_str(), "ArrayCompr" | "SetCompr" | "ObjectCompr" | "Every") {
                    declared(of, text, locals);
                }
                declared_in_comprehensions(of, text, locals);
            }
        }
        _ => {}
    }
}

fn variables(value: &Value, locals: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| variables(item, locals)),
        Value::Object(members) => {
            for (kind, of) in members {
                if kind == "Var" {
                    locals.extend(of["value"].as_str().map(str::to_owned));
                }
                variables(of, locals);
            }
        }
        _ => {}
    }
}

/// Names that are written as their place in the text.
fn named(value: &Value, text: &str, locals: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| named(item, text, locals)),
        place => locals.extend(text_of(place, text).map(str::to_owned)),
    }
}

fn imports(written: &Value, text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for import in written.as_array().into_iter().flatten() {
        let Some(path) = path(&import["refr"]) else { continue };
        let alias = text_of(&import["as"], text).map(str::to_owned);
        if let Some(name) = alias.or_else(|| path.last().cloned()) {
            found.insert(name, path.join("."));
        }
    }
    found
}

fn text_of<'t>(span: &Value, text: &'t str) -> Option<&'t str> {
    let at = |name: &str| usize::try_from(span[name].as_u64()?).ok();
    text.get(at("start")?..at("end")?)
}

fn place(span: &Value) -> Option<(usize, usize)> {
    let at = |name: &str| usize::try_from(span[name].as_u64()?).ok();
    Some((at("line")?, at("col")?))
}

/// The parts of `a.b["c"]`, as far as they are fixed: of `a[b].c`, `a`.
fn path(expression: &Value) -> Option<Vec<String>> {
    let (kind, of) = expression.as_object()?.iter().next()?;
    path_of(kind, of)
}

fn path_of(kind: &str, of: &Value) -> Option<Vec<String>> {
    Some(fixed(kind, of)?.0)
}

/// The parts that are fixed, and whether these are all.
fn fixed(kind: &str, of: &Value) -> Option<(Vec<String>, bool)> {
    let below = || {
        let (kind, of) = of["refr"].as_object()?.iter().next()?;
        fixed(kind, of)
    };
    let part = match kind {
        "Var" => return Some((vec![of["value"].as_str()?.to_owned()], true)),
        "RefDot" => of["field"][1].as_str(),
        "RefBrack" => {
            let text = |kind: &str| of["index"][kind]["value"].as_str();
            text("String").or_else(|| text("RawString"))
        }
        _ => return None,
    };
    Some(match (below()?, part) {
        ((mut parts, true), Some(part)) => {
            parts.push(part.to_owned());
            (parts, true)
        }
        ((parts, _), _) => (parts, false),
    })
}
