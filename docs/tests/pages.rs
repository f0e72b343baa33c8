//! What the pages say of the repository is so.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what is wrong by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .replace("\r\n", "\n")
}

/// The files of a folder and those in it, by their paths from there.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found
}

fn pages() -> Vec<PathBuf> {
    files(&root().join("docs/src"), "md")
}

#[test]
fn every_page_is_in_the_table_of_contents_and_its_examples_are_compiled() {
    let (contents, library) = (read("docs/src/SUMMARY.md"), read("docs/lib.rs"));
    for page in pages() {
        let name = page.strip_prefix(root().join("docs/src")).expect("a page");
        let name = name.to_str().expect("text").replace('\\', "/");
        if name != "SUMMARY.md" {
            assert!(contents.contains(&format!("({name})")), "{name} is not in SUMMARY.md");
            assert!(library.contains(&format!("\"src/{name}\"")), "{name} is not in docs/lib.rs");
        }
    }
}

/// The targets of `[…](target)`, but for those elsewhere.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|one| one.is_alphanumeric() || matches!(one, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_leads_somewhere() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            let (path, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name("").join(path) };
            assert!(target.is_file(), "{}: {link} leads nowhere", page.display());
            let text = fs::read_to_string(&target).expect("a page");
            let headings = text.lines().filter(|line| line.starts_with('#'));
            let mut anchors = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
            assert!(place.is_empty() || anchors.any(|anchor| anchor == place), "{}: {link}", page.display());
        }
    }
}

/// A page that names a test which was renamed, or is gone, says what is not so.
#[test]
fn every_test_that_the_fault_matrix_names_is_there() {
    let mut known = BTreeSet::new();
    for file in files(&root(), "rs") {
        let text = fs::read_to_string(&file).expect("a file");
        known.extend(text.split("fn ").skip(1).map(|rest| {
            rest.chars().take_while(|one| one.is_ascii_alphanumeric() || *one == '_').collect::<String>()
        }));
        // Those that a macro makes of a name.
        known.extend(
            text.split("on_both!(").skip(1).filter_map(|rest| Some(rest.split(',').next()?.to_owned())),
        );
    }
    let page = read("docs/src/faults.md");
    let named = page.lines().filter(|line| line.starts_with('|') || line.starts_with("A *suite*"));
    let named = named.flat_map(|line| line.split('`').skip(1).step_by(2));
    let mut count = 0;
    for name in named.filter(|name| name.contains('_') && !name.contains(' ')) {
        let function = name.rsplit("::").next().expect("a name");
        assert!(known.contains(function), "there is no test {name}");
        count += 1;
    }
    assert!(count > 60, "only {count} tests are named");
}

#[test]
fn nothing_waits_for_its_output() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        assert!(!text.contains("<!-- OUTPUT"), "{}", page.display());
    }
}
