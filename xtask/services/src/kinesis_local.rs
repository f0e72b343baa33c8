use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::port::free_port;
use crate::server::Server;

/// What is installed.
const PACKAGE: &str = "kinesis-local@0.6.2";

/// A stand-in for Kinesis that splits and merges shards, and tells consumers what shards have; for small volumes. It takes any credentials and forgets
/// everything when it ends. It listens on every address of the machine, which it cannot be told otherwise.
#[derive(Debug)]
pub struct KinesisLocal(Server);

impl KinesisLocal {
    /// Installs it into `folder`, unless it is there, and starts it.
    ///
    /// # Errors
    /// It cannot be installed, which takes Node.js with npm, or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("kinesis-local-0.6.2");
        install(&home)?;
        let (port, other) = (free_port()?, free_port()?);
        let mut command = Command::new("node");
        command.arg("main.js").current_dir(home.join("node_modules/kinesis-local"));
        command.env("KINESIS_MOCK_PLAIN_PORT", port.to_string());
        command.env("KINESIS_MOCK_TLS_PORT", other.to_string()).env("LOG_LEVEL", "ERROR");
        // What a test does with many shards takes more than it allows by itself.
        command.env("SHARD_LIMIT", "10000").env("ON_DEMAND_STREAM_COUNT_LIMIT", "1000");
        Ok(Self(Server::start("kinesis-local", &mut command, port, &home.join("log"))?))
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        self.0.url()
    }
}

fn install(home: &Path) -> anyhow::Result<()> {
    let done = home.join("installed");
    if done.exists() {
        return Ok(());
    }
    fs::create_dir_all(home)?;
    let needs = "the tests need Node.js with npm (Debian: apt-get install nodejs npm)";
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-fund", "--no-audit", "--prefix"]).arg(home).arg(PACKAGE);
    let installed = npm.status().context(needs)?;
    ensure!(installed.success(), "could not install {PACKAGE} from npm");
    fs::write(done, PACKAGE)?;
    Ok(())
}
