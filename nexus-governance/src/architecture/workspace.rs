use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, TargetKind};

use super::declared::Declared;
use super::facts::Dependency;
use super::manifest::Manifest;
use super::place::{At, Fault, shown};
use crate::pointed::pointed;

/// The crates of a workspace that say what they are.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(super) members: Vec<Member>,
    /// From one of them to another.
    pub(super) dependencies: Vec<Dependency>,
    /// How many crates of the workspace say nothing.
    pub(crate) silent: usize,
    /// What is wrong with manifests.
    pub(crate) faults: Vec<Fault>,
}

/// A crate that says what it is.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) declared: Declared,
    pub(super) at: At,
    pub(super) folder: PathBuf,
    /// The first file of each of its libraries and programs.
    pub(super) roots: Vec<PathBuf>,
    /// The names of all crates that it depends on.
    pub(super) uses: BTreeSet<String>,
}

/// Why there is no workspace to look at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A manifest is broken.
    #[error("{}", .0.message)]
    Broken(Fault),
    #[error("{0}")]
    Told(String),
}

impl Workspace {
    /// The workspace of a manifest.
    pub(crate) fn read(manifest: &Path) -> Result<Self, Unreadable> {
        let text = std::fs::read_to_string(manifest).map_err(|error| {
            let path = manifest.display();
            Unreadable::Told(format!(
                "{path} cannot be read: {error}: name the Cargo.toml with --manifest-path"
            ))
        })?;
        Manifest::of(&manifest.display().to_string(), &text).map_err(Unreadable::Broken)?;
        let mut command = MetadataCommand::new();
        // Without dependencies from elsewhere nothing is resolved, and nothing fetched.
        let metadata =
            command.manifest_path(manifest).no_deps().other_options(["--offline".to_owned()]).exec();
        let metadata = metadata.map_err(|error| broken(&error))?;
        Self::of(&metadata)
    }

    fn of(metadata: &Metadata) -> Result<Self, Unreadable> {
        let (mut members, mut faults, mut silent) = (Vec::new(), Vec::new(), 0);
        let mut places = BTreeMap::new();
        let packages = metadata.workspace_packages();
        for package in &packages {
            let path = package.manifest_path.as_std_path();
            let file = shown(path);
            let text = std::fs::read_to_string(path)
                .map_err(|error| Unreadable::Told(format!("{file} cannot be read: {error}")))?;
            match Manifest::of(&file, &text) {
                Ok(Manifest { declared: Some((declared, at)), dependencies }) => {
                    places.insert(package.name.as_str(), dependencies);
                    members.push(Member::of(package, declared, at));
                }
                Ok(Manifest { declared: None, .. }) => silent += 1,
                Err(fault) => faults.push(fault),
            }
        }
        let dependencies = members.iter().flat_map(|from| {
            let places = &places[from.declared.name.as_str()];
            dependencies_of(from, &packages, &members, places)
        });
        let dependencies = dependencies.collect();
        Ok(Self { members, dependencies, silent, faults })
    }

    /// The names of the services.
    pub(crate) fn services(&self) -> BTreeSet<&str> {
        self.members.iter().map(|member| member.declared.service.as_str()).collect()
    }

    /// How many crates say what they are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }
}

impl Member {
    fn of(package: &Package, declared: Declared, at: At) -> Self {
        let is_read =
            |kind: &TargetKind| !matches!(kind, TargetKind::Test | TargetKind::Bench | TargetKind::Example);
        let targets = package.targets.iter().filter(|target| target.kind.iter().any(is_read));
        let uses =
            package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        let folder = package.manifest_path.parent();
        Self {
            declared,
            at,
            folder: folder.map_or_else(PathBuf::new, |folder| folder.as_std_path().to_owned()),
            roots: targets.map(|target| target.src_path.as_std_path().to_owned()).collect(),
            uses: uses.map(|dependency| dependency.name.clone()).collect(),
        }
    }
}

/// What a crate depends on of those that say what they are, directly or by way of others that do not.
fn dependencies_of(
    from: &Member,
    packages: &[&Package],
    members: &[Member],
    places: &BTreeMap<String, At>,
) -> Vec<Dependency> {
    let package = |name: &str| packages.iter().find(|package| package.name.as_str() == name);
    let targets = |name: &str| {
        let dependencies = package(name).into_iter().flat_map(|package| &package.dependencies);
        let ours = dependencies.filter(|dependency| {
            let is_here = dependency.path.is_some() && package(&dependency.name).is_some();
            is_here && dependency.kind != DependencyKind::Development
        });
        ours.map(|dependency| (dependency.name.clone(), dependency.rename.clone()))
    };
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let mut left: Vec<(String, Vec<String>, At)> = targets(&from.declared.name)
        .map(|(name, rename)| {
            let written = rename.as_ref().unwrap_or(&name);
            let at = places.get(written).cloned().unwrap_or_else(|| At::start(&from.at.file));
            (name, Vec::new(), at)
        })
        .collect();
    while let Some((name, through, at)) = left.pop() {
        if name == from.declared.name || !seen.insert((name.clone(), at.clone())) {
            continue;
        }
        if let Some(to) = members.iter().find(|member| member.declared.name == name) {
            found.push(Dependency { from: from.declared.clone(), to: to.declared.clone(), through, at });
            continue;
        }
        let through = [through, vec![name.clone()]].concat();
        left.extend(targets(&name).map(|(next, _)| (next, through.clone(), at.clone())));
    }
    found.sort_by(|one, other| one.at.cmp(&other.at));
    found
}

/// What cargo says of a workspace that it cannot read; it shows a place as `--> file:line:column`.
fn broken(error: &cargo_metadata::Error) -> Unreadable {
    let cargo_metadata::Error::CargoMetadata { stderr } = error else {
        return Unreadable::Told(format!("cargo metadata: {error}"));
    };
    let message = stderr.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(stderr.trim());
    match pointed(stderr) {
        Some((file, line, column)) => {
            let at = At { file: file.to_owned(), line, column };
            Unreadable::Broken(Fault::new(at, "invalid-manifest", message, "mend the file"))
        }
        None => Unreadable::Told(format!("cargo metadata: {}", stderr.trim())),
    }
}
