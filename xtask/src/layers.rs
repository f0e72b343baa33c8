//! Inside nexus-core: vocabulary ← ports ← pure domain ← runtime ← memory store, testing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Each layer and those below it, which it may use.
const LAYERS: [(&str, &[&str]); 6] = [
    ("vocabulary", &[]),
    ("port", &["vocabulary"]),
    ("domain", &["vocabulary", "port"]),
    ("runtime", &["vocabulary", "port", "domain"]),
    ("memory", &["vocabulary", "port", "domain"]),
    ("testing", &["vocabulary", "port", "domain", "runtime", "memory"]),
];

pub(crate) fn violations(root: &Path) -> anyhow::Result<Vec<String>> {
    let source = root.join("nexus-core/src");
    let mut violations = Vec::new();
    for (layer, below) in LAYERS {
        let mut files = vec![source.join(format!("{layer}.rs"))];
        collect(&source.join(layer), &mut files)?;
        for file in files {
            if is_tests_alone(&file)? {
                continue;
            }
            let text =
                fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
            let name = file.strip_prefix(root).unwrap_or(&file).display();
            let found = in_text(layer, below, &text);
            violations.extend(found.map(|(line, reason)| format!("{name}:{line}: {reason}")));
        }
    }
    Ok(violations)
}

/// Whether a file is another's `mod tests;`, under the same `#[cfg(test)]` as tests in place.
fn is_tests_alone(file: &Path) -> anyhow::Result<bool> {
    if file.file_name().is_none_or(|name| name != "tests.rs") {
        return Ok(false);
    }
    let of = file.parent().map(|folder| folder.with_extension("rs")).filter(|of| of.exists());
    let Some(of) = of else { return Ok(false) };
    let text = fs::read_to_string(&of).with_context(|| format!("could not read {}", of.display()))?;
    Ok(text.contains("#[cfg(test)]\nmod tests;"))
}

/// Each place that names what it may not, with its line.
fn in_text<'a>(
    layer: &'a str,
    below: &'a [&str],
    text: &'a str,
) -> impl Iterator<Item = (usize, String)> + 'a {
    // What a file's own tests use is no part of its layer.
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    lines.flat_map(move |(number, line)| {
        // A macro's `$crate` is the user's view.
        line.split("crate::").skip(1).filter(move |_| !line.contains("$crate")).filter_map(move |rest| {
            let end = rest.find(|next: char| !next.is_alphanumeric() && next != '_').unwrap_or(rest.len());
            let other = &rest[..end];
            if other == layer || below.contains(&other) {
                return None;
            }
            let reason = if LAYERS.iter().any(|(known, _)| *known == other) {
                format!("{layer} uses {other}, which lies above it")
            } else {
                format!("crate::{other} does not say which layer it is from")
            };
            Some((number + 1, reason))
        })
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_in_a_file_of_their_own_are_tests() {
        let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nexus-core/src");
        assert!(is_tests_alone(&core.join("runtime/projection/runner/tests.rs")).unwrap());
        // The suite is no test of a file, whatever it is called; nor is a file that nobody has declared so.
        assert!(!is_tests_alone(&core.join("testing.rs")).unwrap());
        assert!(!is_tests_alone(&core.join("port/tests.rs")).unwrap());
    }

    #[test]
    fn arrows_that_point_up_are_found() {
        let text = "use crate::vocabulary::StreamId;\n/// see crate::runtime::Repository\nuse crate::runtime::Repository;\n\
                    fn f(_: crate::EventStore) {}\n#[cfg(test)]\nuse crate::memory::MemoryStore;";
        let found: Vec<usize> = in_text("port", &["vocabulary"], text).map(|(line, _)| line).collect();
        assert_eq!(found, [3, 4]);
    }
}
