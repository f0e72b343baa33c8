use std::fs;
use std::path::Path;
use std::process::Command;

use crate::port::free_port;
use crate::python;
use crate::server::Server;

/// What is installed.
const PACKAGE: &str = "moto[glue,server]==5.2.5";

/// Starts it with what it lacks.
const PROGRAM: &str = include_str!("moto.py");

/// A stand-in for AWS Glue, without its compatibility checks. It listens on 127.0.0.1 alone and takes any credentials.
#[derive(Debug)]
pub struct Moto(Server);

impl Moto {
    /// Installs it into `folder`, unless it is there, and starts it.
    ///
    /// # Errors
    /// It cannot be installed, which takes Python 3 with `venv`, or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("moto-5.2.5");
        python::install(&home, PACKAGE)?;
        let program = home.join("serve.py");
        fs::write(&program, PROGRAM)?;
        let port = free_port()?;
        let mut command = Command::new(home.join("bin/python"));
        command.arg(&program).args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Ok(Self(Server::start("moto", &mut command, port, &home.join("log"))?))
    }

    /// Where it answers as every service of AWS that it knows.
    pub fn url(&self) -> String {
        self.0.url()
    }
}
