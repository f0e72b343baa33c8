use std::path::Path;
use std::process::Command;

use crate::port::free_port;
use crate::python;
use crate::server::Server;

/// What is installed.
const PACKAGE: &str = "ministack==1.5.33";

/// A stand-in for many services of AWS: of them we use DynamoDB with its streams, Kinesis, SNS, SQS, and CloudFormation. It listens on 127.0.0.1 alone, takes
/// any credentials, and forgets everything when it ends.
#[derive(Debug)]
pub struct Ministack(Server);

impl Ministack {
    /// Installs it into `folder`, unless it is there, and starts it.
    ///
    /// # Errors
    /// It cannot be installed, which takes Python 3 with `venv`, or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("ministack-1.5.33");
        python::install(&home, PACKAGE)?;
        let port = free_port()?;
        let mut command = Command::new(home.join("bin/ministack"));
        command.env("GATEWAY_PORT", port.to_string()).env("BIND_HOST", "127.0.0.1").env("LOG_LEVEL", "ERROR");
        command.current_dir(&home);
        Ok(Self(Server::start("ministack", &mut command, port, &home.join("log"))?))
    }

    /// Where it answers as every service of AWS that it knows.
    pub fn url(&self) -> String {
        self.0.url()
    }
}
