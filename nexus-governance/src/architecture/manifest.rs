use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::declared::{Address, Declared, Side};
use super::place::{At, Fault};

/// What is looked at of a `Cargo.toml`.
#[derive(Debug)]
pub(super) struct Manifest {
    /// What the crate says it is, and where.
    pub(super) declared: Option<(Declared, At)>,
    /// Where its dependencies are, by the names they have here.
    pub(super) dependencies: BTreeMap<String, At>,
}

/// What is accepted in `[package.metadata.nexus]`.
const ACCEPTED: &str = "write service = \"…\", side = \"command\", \"query\" or \"shared\", and addresses = [\"billing.internal:8080\", \"$BILLING_URL\"]";

impl Manifest {
    /// What the text of a manifest says.
    pub(super) fn of(file: &str, text: &str) -> Result<Self, Fault> {
        let read = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or_else(|| At::start(file), |span| At::of_byte(file, text, span.start));
            Fault::new(at, "invalid-manifest", error.message(), "mend the file")
        })?;
        let reading = Reading { file, text };
        let root = read.get_ref();
        let package = table(root, "package");
        let name = package.and_then(|package| package.get("name")?.get_ref().as_str()).unwrap_or_default();
        let nexus = package.and_then(|package| table(package, "metadata")).and_then(|of| of.get("nexus"));
        let declared = nexus.map(|nexus| reading.declared(name, nexus)).transpose()?;
        let mut dependencies = BTreeMap::new();
        reading.dependencies(root, &mut dependencies);
        let targets = table(root, "target").into_iter().flat_map(|targets| targets.iter());
        for (_, target) in targets {
            if let DeValue::Table(target) = target.get_ref() {
                reading.dependencies(target, &mut dependencies);
            }
        }
        Ok(Self { declared, dependencies })
    }
}

struct Reading<'a> {
    file: &'a str,
    text: &'a str,
}

impl Reading<'_> {
    fn at(&self, span: Range<usize>) -> At {
        At::of_byte(self.file, self.text, span.start)
    }

    fn dependencies(&self, of: &DeTable<'_>, found: &mut BTreeMap<String, At>) {
        for kind in ["dependencies", "build-dependencies"] {
            for (name, _) in table(of, kind).into_iter().flat_map(|kind| kind.iter()) {
                found.entry(name.get_ref().to_string()).or_insert_with(|| self.at(name.span()));
            }
        }
    }

    fn declared(&self, name: &str, nexus: &Spanned<DeValue<'_>>) -> Result<(Declared, At), Fault> {
        let at = self.at(nexus.span());
        let fault = |span: Range<usize>, message: String| {
            Fault::new(self.at(span), "invalid-manifest", message, ACCEPTED)
        };
        let DeValue::Table(members) = nexus.get_ref() else {
            return Err(fault(nexus.span(), "package.metadata.nexus is no table".to_owned()));
        };
        let (mut service, mut side, mut addresses) = (None, None, Vec::new());
        for (key, value) in members {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("service", DeValue::String(text)) if !text.trim().is_empty() => {
                    service = Some(text.to_string());
                }
                ("service", _) => return Err(fault(value.span(), "a service has a name".to_owned())),
                ("side", value_of) => {
                    side = Some(match value_of.as_str() {
                        Some("command") => Side::Command,
                        Some("query") => Side::Query,
                        Some("shared") => Side::Shared,
                        _ => return Err(fault(value.span(), "there is no such side".to_owned())),
                    });
                }
                ("addresses", DeValue::Array(items)) => {
                    for item in items {
                        let address = item.get_ref().as_str().and_then(Address::new);
                        addresses.push(
                            address.ok_or_else(|| fault(item.span(), "this is no address".to_owned()))?,
                        );
                    }
                }
                ("addresses", _) => return Err(fault(value.span(), "addresses are a list".to_owned())),
                (other, _) => {
                    return Err(fault(key.span(), format!("{other} is nothing that a crate says of itself")));
                }
            }
        }
        let service = service.ok_or_else(|| fault(nexus.span(), "it names no service".to_owned()))?;
        Ok((Declared { name: name.to_owned(), service, side, addresses }, at))
    }
}

fn table<'t, 'i>(of: &'t DeTable<'i>, name: &str) -> Option<&'t DeTable<'i>> {
    match of.get(name)?.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[package]\nname = \"a\"\n[package.metadata.nexus]\n";

    #[test]
    fn a_crate_says_what_it_is_and_where_its_dependencies_are() {
        let text = format!(
            "{HEAD}service = \"order\"\nside = \"query\"\naddresses = [\"order:80\"]\n[dependencies]\nb.workspace = true\n[target.'cfg(unix)'.dependencies]\nc = \"1\"\n[dev-dependencies]\nd = \"1\"\n"
        );
        let manifest = Manifest::of("Cargo.toml", &text).unwrap();
        let (declared, at) = manifest.declared.unwrap();
        assert_eq!((declared.name.as_str(), declared.side, at.line), ("a", Some(Side::Query), 3));
        let lines: Vec<_> = manifest.dependencies.iter().map(|(name, at)| (name.as_str(), at.line)).collect();
        assert_eq!(lines, [("b", 8), ("c", 10)]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, line, column, message) in [
            ("service = \"\"", 4, 11, "a service has a name"),
            ("service = \"a\"\nside = \"both\"", 5, 8, "no such side"),
            ("service = \"a\"\nsides = \"query\"", 5, 1, "sides is nothing"),
            ("service = \"a\"\naddresses = [\"b:1\", \"c d\"]", 5, 21, "no address"),
            ("side = \"query\"", 3, 1, "names no service"),
            ("service = ", 4, 11, ""),
        ] {
            let fault = Manifest::of("Cargo.toml", &format!("{HEAD}{text}")).unwrap_err();
            assert_eq!((fault.at.line, fault.at.column), (line, column), "{text}: {fault:?}");
            assert!(fault.message.contains(message), "{text}: {fault:?}");
        }
    }
}
