//! Each driver belongs to its backend: nobody else depends on it.

use cargo_metadata::{DependencyKind, Metadata};

/// Who may depend on a driver, by the start of its name. Benchmarks compare backends with their raw drivers; examples in
/// the book move what they have stored; who
/// damages or locks what a backend has stored does it by the driver.
const OWNERS: [(&str, &[&str]); 4] = [
    ("rusqlite", &["nexus-sqlite", "nexus-benches", "nexus-book", "nexus-fuzz-targets", "nexus-torture"]),
    ("libsqlite3", &[]),
    ("sqlx", &["nexus-postgres", "nexus-benches", "nexus-book", "nexus-torture"]),
    (
        "aws-",
        &["nexus-aws", "nexus-dynamodb", "nexus-kinesis", "nexus-sns", "nexus-governance", "nexus-benches"],
    ),
];

/// What the core depends on in a user's build, and nothing else: every crate here is in everybody's build.
const CORE: [&str; 24] = [
    "async-trait",
    "backon",
    "base64",
    "bytes",
    "futures",
    "getrandom",
    "governor",
    "hmac",
    "jiff",
    "metrics",
    "moka",
    "nexus-macros",
    "opentelemetry",
    "proptest",
    "schemars",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "tokio",
    "tracing",
    "tracing-opentelemetry",
    "uuid",
    "xxhash-rust",
];

pub(crate) fn violations(metadata: &Metadata) -> Vec<String> {
    let mut violations = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in &package.dependencies {
            let owners = OWNERS.iter().find(|(driver, _)| dependency.name.starts_with(driver));
            if let Some((_, owners)) = owners
                && !owners.contains(&package.name.as_str())
            {
                violations.push(format!(
                    "{} depends on the driver {}, which belongs to {}",
                    package.name,
                    dependency.name,
                    if owners.is_empty() { "no crate of ours" } else { owners[0] }
                ));
            }
            let is_core = package.name.as_str() == "nexus-core" && dependency.kind == DependencyKind::Normal;
            if is_core && !CORE.contains(&dependency.name.as_str()) {
                violations.push(format!(
                    "nexus-core depends on {}: every user builds it; add it to xtask/src/drivers.rs if it has to be",
                    dependency.name
                ));
            }
        }
    }
    violations
}
