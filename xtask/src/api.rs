//! The public interface of each crate, an item a line, beside what is written down of it: what changes is seen where it is reviewed.

use std::collections::BTreeSet;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use cargo_metadata::{Metadata, Package, TargetKind};
use public_api::Builder;

/// In the environment of this program when cargo calls it in place of rustdoc: the real one.
const RUSTDOC: &str = "NEXUS_XTASK_RUSTDOC";

/// Where it is written down, in the folder of each crate.
const FILE: &str = "public-api.txt";

/// Does as rustdoc, allowed to write JSON; `None` where cargo has not called.
pub(crate) fn as_rustdoc() -> Option<anyhow::Result<ExitCode>> {
    let rustdoc = std::env::var_os(RUSTDOC)?;
    let status = Command::new(rustdoc)
        .args(std::env::args_os().skip(1))
        // Of rustdoc alone: of the compiler, everything would be built anew.
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove(RUSTDOC)
        .status();
    Some(status.context("could not start rustdoc").map(|status| match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }))
}

/// Compares the interface of each published library with what is written down, or writes it down.
pub(crate) fn run(metadata: &Metadata, is_to_be_written: bool) -> anyhow::Result<()> {
    let libraries: Vec<&Package> = metadata.workspace_packages().into_iter().filter(is_library).collect();
    document(&libraries)?;
    let mut differ = Vec::new();
    for library in &libraries {
        let found = interface(metadata, library)?;
        let folder = library.manifest_path.parent().context("a manifest is in a folder")?;
        let path = folder.join(FILE);
        if is_to_be_written {
            std::fs::write(&path, found).with_context(|| format!("could not write {path}"))?;
            continue;
        }
        let known = std::fs::read_to_string(&path).unwrap_or_default();
        if known != found {
            tell(&library.name, &known, &found);
            differ.push(library.name.as_str());
        }
    }
    ensure!(
        differ.is_empty(),
        "the interface of {} is not what is written down: `cargo xtask api --write` writes it down, and CHANGELOG.md says what users have \
         to do about what is gone or changed",
        differ.join(", ")
    );
    println!(
        "{} interfaces are {}",
        libraries.len(),
        if is_to_be_written { "written down" } else { "as they were" }
    );
    Ok(())
}

fn is_library(package: &&Package) -> bool {
    let is_published = package.publish.as_ref().is_none_or(|registries| !registries.is_empty());
    is_published && package.targets.iter().any(|target| target.kind.contains(&TargetKind::Lib))
}

/// Has rustdoc write JSON about each.
fn document(libraries: &[&Package]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let rustdoc = std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
    let mut command = Command::new(cargo);
    command.args(["doc", "--quiet", "--no-deps", "--all-features", "--lib", "--locked"]);
    libraries.iter().for_each(|library| {
        command.args(["--package", &library.name]);
    });
    command
        .env("RUSTDOC", std::env::current_exe()?)
        .env(RUSTDOC, rustdoc)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    ensure!(command.status().context("could not start cargo doc")?.success(), "cargo doc failed");
    Ok(())
}

fn interface(metadata: &Metadata, library: &Package) -> anyhow::Result<String> {
    let name = library.name.replace('-', "_");
    let json = metadata.target_directory.join("doc").join(format!("{name}.json"));
    let api = Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        // Each release of the compiler may write another form.
        .with_context(|| {
            format!("could not read {json}: public-api in xtask/Cargo.toml goes with a release of rustdoc")
        })?;
    let mut items: BTreeSet<String> = api.items().map(ToString::to_string).collect();
    items.retain(|item| !item.is_empty());
    Ok(items.into_iter().map(|item| item + "\n").collect())
}

fn tell(name: &str, known: &str, found: &str) {
    let (known, found): (BTreeSet<&str>, BTreeSet<&str>) = (known.lines().collect(), found.lines().collect());
    eprintln!("{name}:");
    known.difference(&found).for_each(|gone| eprintln!("  - {gone}"));
    found.difference(&known).for_each(|new| eprintln!("  + {new}"));
}
