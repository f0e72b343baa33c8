use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// Makes the system calls of a program fail: libfiu, which is put between it and the C library.
#[derive(Clone, Debug)]
pub struct Fiu {
    folder: PathBuf,
}

/// What is loaded into the program, in this order.
const LIBRARIES: [&str; 2] = ["fiu_run_preload.so", "fiu_posix_preload.so"];

impl Fiu {
    /// Finds it, or installs it by the system's packages.
    ///
    /// # Errors
    /// It is not there, and cannot be installed; the error says what to install.
    pub fn find() -> anyhow::Result<Self> {
        if let Some(found) = Self::installed() {
            return Ok(found);
        }
        eprintln!("libfiu is not installed: trying the system's packages");
        let install = "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y fiu-utils";
        let installed = Command::new("sh").args(["-c", install]).status();
        let found = Self::installed().filter(|_| installed.is_ok_and(|status| status.success()));
        found.context("disks that fail need libfiu: install it (Debian: apt-get install fiu-utils)")
    }

    fn installed() -> Option<Self> {
        let folders = ["/usr/lib/fiu", "/usr/local/lib/fiu"];
        let is_there = |folder: &Path| LIBRARIES.iter().all(|library| folder.join(library).exists());
        folders.into_iter().map(PathBuf::from).find(|folder| is_there(folder)).map(|folder| Self { folder })
    }

    /// What a program has in its environment so that these commands, such as `enable_random name=posix/io/sync/*,probability=0.1`, hold in it from its start.
    pub fn environment(&self, commands: &[&str]) -> [(&'static str, String); 2] {
        let libraries = LIBRARIES.map(|library| self.folder.join(library).display().to_string());
        [("LD_PRELOAD", libraries.join(" ")), ("FIU_ENABLE", commands.join("\n"))]
    }
}
