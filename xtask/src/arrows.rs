//! Arrows between our crates point down, never up.

use cargo_metadata::{DependencyKind, Metadata};

/// Each crate and which of ours it may depend on; in tests, too, but for itself.
const ALLOWED: [(&str, &[&str]); 22] = [
    ("nexus-macros", &[]),
    ("nexus-core", &["nexus-macros"]),
    ("nexus-sqlite", &["nexus-core", "nexus-services"]),
    ("nexus-postgres", &["nexus-core", "nexus-services"]),
    // What the backends on AWS have in common: how their services are called.
    ("nexus-aws", &["nexus-core"]),
    ("nexus-dynamodb", &["nexus-aws", "nexus-core", "nexus-services"]),
    ("nexus-kinesis", &["nexus-aws", "nexus-core", "nexus-services"]),
    ("nexus-sns", &["nexus-aws", "nexus-core", "nexus-services"]),
    ("nexus-lambda", &["nexus-core", "nexus-dynamodb", "nexus-kinesis", "nexus-sns"]),
    // The command reads stores: features that are off by default.
    ("nexus-governance", &["nexus-core", "nexus-postgres", "nexus-services", "nexus-sqlite"]),
    ("nexus-move", &["nexus-core", "nexus-dynamodb", "nexus-postgres", "nexus-sqlite"]),
    ("order-events", &["nexus-core"]),
    ("order-commands", &["nexus-core", "order-events"]),
    ("order-views", &["nexus-core", "order-events"]),
    (
        "order",
        &[
            "nexus-core",
            "nexus-dynamodb",
            "nexus-governance",
            "nexus-kinesis",
            "nexus-postgres",
            "nexus-services",
            "nexus-sns",
            "nexus-sqlite",
            "order-commands",
            "order-events",
            "order-views",
        ],
    ),
    (
        "nexus-benches",
        &[
            "nexus-core",
            "nexus-dynamodb",
            "nexus-governance",
            "nexus-kinesis",
            "nexus-postgres",
            "nexus-services",
            "nexus-sns",
            "nexus-sqlite",
        ],
    ),
    ("first-hour", &["nexus-core", "nexus-sqlite"]),
    (
        "nexus-book",
        &[
            "nexus-core",
            "nexus-dynamodb",
            "nexus-governance",
            "nexus-kinesis",
            "nexus-lambda",
            "nexus-postgres",
            "nexus-sns",
            "nexus-sqlite",
        ],
    ),
    (
        "nexus-fuzz-targets",
        &[
            "nexus-core",
            "nexus-dynamodb",
            "nexus-governance",
            "nexus-kinesis",
            "nexus-lambda",
            "nexus-sns",
            "nexus-sqlite",
            "order",
        ],
    ),
    ("nexus-torture", &["nexus-core", "nexus-postgres", "nexus-services", "nexus-sqlite"]),
    ("nexus-services", &[]),
    ("xtask", &["nexus-services"]),
];

pub(crate) fn violations(metadata: &Metadata) -> Vec<String> {
    let packages = metadata.workspace_packages();
    let ours: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let mut violations = Vec::new();
    for package in &packages {
        let name = package.name.as_str();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            violations.push(format!("{name} is not in the list of crates: add it to xtask/src/arrows.rs"));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|found| ours.contains(&found.name.as_str())) {
            // A crate's own tests use its features.
            let is_itself = dependency.name == name && dependency.kind == DependencyKind::Development;
            if !is_itself && !allowed.contains(&dependency.name.as_str()) {
                violations.push(format!(
                    "{name} depends on {}: it may depend on {}",
                    dependency.name,
                    if allowed.is_empty() { "none of our crates".to_owned() } else { allowed.join(", ") }
                ));
            }
        }
    }
    violations
}
