//! Our `rust-version` is what our dependencies ask for: not less, and not more.

use cargo_metadata::Metadata;

/// What a program, a test or a benchmark needs does not bind the libraries' users.
const LIBRARIES: [&str; 9] = [
    "nexus-aws",
    "nexus-core",
    "nexus-dynamodb",
    "nexus-kinesis",
    "nexus-governance",
    "nexus-macros",
    "nexus-postgres",
    "nexus-sns",
    "nexus-sqlite",
];

pub(crate) fn violations(metadata: &Metadata) -> Vec<String> {
    let workspace = metadata.workspace_packages();
    let declared = workspace.iter().filter_map(|package| package.rust_version.clone()).max();
    let needed = workspace
        .iter()
        .filter(|package| LIBRARIES.contains(&package.name.as_str()))
        .flat_map(|package| &package.dependencies)
        .filter_map(|dependency| {
            metadata.packages.iter().find(|package| package.name.as_str() == dependency.name)
        })
        .filter(|package| package.source.is_some())
        .filter_map(|package| Some((package.rust_version.clone()?, package)))
        .max_by(|(one, _), (other, _)| one.cmp(other));
    match (declared, needed) {
        (None, _) => vec!["the workspace declares no rust-version".to_owned()],
        (Some(declared), Some((needed, package))) if declared != needed => vec![format!(
            "rust-version is {declared}, but {} {} needs {needed}, the highest: change it in Cargo.toml",
            package.name, package.version
        )],
        _ => Vec::new(),
    }
}
