use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

/// What is put between a program and the C library.
const SOURCE: &str = include_str!("bad_disk.c");

/// A disk that fails, for programs that are started with its [`environment`](Self::environment): Linux, with a C compiler.
#[derive(Debug)]
pub struct BadDisk {
    /// The library, and files that say what fails.
    directory: TempDir,
}

impl BadDisk {
    /// One on which nothing fails yet.
    ///
    /// # Errors
    /// There is no C compiler; the error says what is needed.
    pub fn new() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("nexus-bad-disk-").tempdir()?;
        // Servers run as somebody else.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755))?;
        let (source, library) = (directory.path().join("bad_disk.c"), directory.path().join("bad_disk.so"));
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let compiled =
            compiler.output().context("a disk that fails is made by a C compiler: install one (cc)")?;
        ensure!(compiled.status.success(), "cc failed: {}", String::from_utf8_lossy(&compiled.stderr));
        Ok(Self { directory })
    }

    /// What a program has in its environment to have its files on this disk.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let library = self.directory.path().join("bad_disk.so");
        [
            ("LD_PRELOAD", library.display().to_string()),
            ("NEXUS_BAD_DISK", self.directory.path().display().to_string()),
        ]
    }

    /// From now on one sync in so many fails.
    ///
    /// # Errors
    /// It cannot be said.
    pub fn fail_to_sync(&self, one_in: u32) -> anyhow::Result<()> {
        self.say("sync", one_in)
    }

    /// From now on there is no room: one write in so many that would make a file longer fails.
    ///
    /// # Errors
    /// It cannot be said.
    pub fn be_full(&self, one_in: u32) -> anyhow::Result<()> {
        self.say("full", one_in)
    }

    /// From now on nothing fails.
    ///
    /// # Errors
    /// It cannot be said.
    pub fn be_sound(&self) -> anyhow::Result<()> {
        self.say("sync", 0)?;
        self.say("full", 0)
    }

    fn say(&self, what: &str, one_in: u32) -> anyhow::Result<()> {
        let path = self.directory.path().join(what);
        fs::write(&path, one_in.to_string())?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        Ok(())
    }
}
