use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::Failure;

/// The files of a directory as they were in a git revision, by path within the directory.
pub(super) fn files(directory: &Path, revision: &str) -> Result<BTreeMap<String, String>, Failure> {
    // The directory itself may be gone by now.
    let there = directory.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let below = directory.strip_prefix(there).unwrap_or(directory);
    let below = if below.as_os_str().is_empty() { ".".to_owned() } else { below.display().to_string() };
    if revision.starts_with('-') {
        return Err(Failure::Told(format!(
            "{revision:?} is no git revision: expected a name such as \"main\""
        )));
    }
    let commit = format!("{revision}^{{commit}}");
    git(there, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]).map_err(|_| {
        Failure::Told(format!(
            "git knows no revision {revision:?} in {}: expected one such as \"main\"",
            there.display()
        ))
    })?;
    let listed = git(there, &["ls-tree", "-r", "-z", "--name-only", revision, "--", &below])?;
    let mut files = BTreeMap::new();
    for path in listed.split('\0').filter(|path| path.ends_with(".json")) {
        let within = if below == "." {
            Some(path)
        } else {
            path.strip_prefix(&below).and_then(|path| path.strip_prefix('/'))
        };
        let Some(within) = within.filter(|path| !path.split('/').any(|part| part.starts_with('.'))) else {
            continue;
        };
        files.insert(within.to_owned(), git(there, &["show", &format!("{revision}:./{path}")])?);
    }
    Ok(files)
}

pub(super) fn git(folder: &Path, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .output()
        .map_err(|error| Failure::Told(format!("git cannot be run: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Told(format!("git {}: {}", arguments.join(" "), said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
