use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::port::free_port;
use crate::server::Server;

/// What is installed.
const VERSION: &str = "3.2.0";

/// A stand-in for DynamoDB with its streams. It listens on 127.0.0.1 alone, takes any credentials, and forgets everything when it ends.
#[derive(Debug)]
pub struct Dynoxide(Server);

impl Dynoxide {
    /// Builds it into `folder`, unless it is there, which takes some minutes, and starts it.
    ///
    /// # Errors
    /// It cannot be built, or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join(format!("dynoxide-{VERSION}"));
        install(&home)?;
        let port = free_port()?;
        let mut command = Command::new(home.join("bin/dynoxide"));
        command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]);
        Ok(Self(Server::start("dynoxide", &mut command, port, &home.join("log"))?))
    }

    /// Where it answers as DynamoDB and its streams.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

/// Whole, or not at all. What it is built in goes afterwards.
fn install(home: &Path) -> anyhow::Result<()> {
    let done = home.join("installed");
    if done.exists() {
        return Ok(());
    }
    fs::create_dir_all(home)?;
    eprintln!("building dynoxide {VERSION}, a stand-in for DynamoDB: this takes some minutes, once");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = home.join("build");
    // Optimised a little: it is built faster than it would be for good, and fast enough.
    let built = Command::new(cargo)
        .args(["install", "dynoxide-rs", "--version", VERSION, "--locked", "--debug", "--quiet"])
        .args(["--no-default-features", "--features", "native-sqlite,http-server,cli", "--root"])
        .arg(home)
        .env("CARGO_TARGET_DIR", &build)
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .status()
        .context("could not start cargo")?;
    ensure!(built.success(), "could not build dynoxide {VERSION}");
    fs::remove_dir_all(&build)?;
    fs::write(done, VERSION)?;
    Ok(())
}
