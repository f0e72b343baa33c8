//! The files below a directory.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundFile {
    /// Its path within the directory, with `/` between its parts.
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
}

/// A file or directory that cannot be read.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) path: PathBuf,
    pub(crate) source: io::Error,
}

/// All files that end in one of these ways, by path. What starts with a dot is passed over; symbolic links are followed.
pub(crate) fn files(root: &Path, endings: &[&str]) -> Result<Vec<FoundFile>, Unreadable> {
    let (mut files, mut left) = (Vec::new(), vec![String::new()]);
    // Symbolic links may lead in a circle.
    let mut seen = HashSet::new();
    while let Some(folder) = left.pop() {
        let there = if folder.is_empty() { root.to_owned() } else { root.join(&folder) };
        let unreadable = |source| Unreadable { path: there.clone(), source };
        let entries = fs::read_dir(&there).map_err(unreadable)?;
        let mut entries = entries.collect::<io::Result<Vec<_>>>().map_err(unreadable)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Ok(name) = name.into_string() else {
                // What is looked for must not be passed over because of its name.
                let source = io::Error::new(io::ErrorKind::InvalidData, "its name is no UTF-8");
                return Err(Unreadable { path: entry.path(), source });
            };
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let unreadable = |source| Unreadable { path: entry.path(), source };
            if fs::metadata(entry.path()).is_ok_and(|of| of.is_dir()) {
                if seen.insert(fs::canonicalize(entry.path()).map_err(unreadable)?) {
                    left.push(path);
                }
            } else if endings.iter().any(|ending| path.ends_with(ending)) {
                let bytes = fs::read(entry.path()).map_err(unreadable)?;
                files.push(FoundFile { path, bytes });
            }
        }
    }
    files.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}
