use std::path::PathBuf;

use tempfile::TempDir;

/// Writes a file into a folder of this thread's own.
pub(crate) fn written(name: &str, text: &str) -> PathBuf {
    thread_local! {
        static FOLDER: TempDir = tempfile::tempdir().expect("a directory");
    }
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        let parent = path.parent().expect("a file is in a folder");
        std::fs::create_dir_all(parent).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    })
}
