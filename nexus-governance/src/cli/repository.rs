use std::path::{Path, PathBuf};

use super::against::git;
use super::home::Home;

/// The git repository that we are in: services that show findings beside code name files from its top.
#[derive(Debug)]
pub(super) struct Repository {
    top: Option<PathBuf>,
}

impl Repository {
    pub(super) fn here() -> Self {
        let top = git(Path::new("."), &["rev-parse", "--show-toplevel"]);
        Self { top: top.ok().and_then(|top| Path::new(top.trim_end()).canonicalize().ok()) }
    }

    /// The path of a file from the top, with `/` between its parts; as it is, where it is not in the repository.
    pub(super) fn path_of(&self, file: &Path) -> String {
        let plain = || file.display().to_string().replace('\\', "/");
        if Home::is_in_glue(file) {
            return plain();
        }
        let Some(top) = &self.top else { return plain() };
        // The file itself may be gone.
        let there = file.ancestors().skip(1).find_map(|folder| {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            Some((folder.canonicalize().ok()?, file.strip_prefix(folder).unwrap_or(file)))
        });
        let within = there.and_then(|(folder, rest)| {
            Some(folder.join(rest).strip_prefix(top).ok()?.display().to_string().replace('\\', "/"))
        });
        within.unwrap_or_else(plain)
    }
}
