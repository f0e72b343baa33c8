use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::port::free_port;

/// What is installed.
const PACKAGE: &str = "moto[glue,server]==5.2.5";

/// Starts it with what it lacks.
const PROGRAM: &str = include_str!("moto.py");

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stand-in for AWS Glue, without its compatibility checks. It listens on 127.0.0.1 alone and takes any credentials.
#[derive(Debug)]
pub struct Moto {
    process: Child,
    port: u16,
}

impl Moto {
    /// Installs it into `folder`, unless it is there, and starts it.
    ///
    /// # Errors
    /// It cannot be installed, which takes Python 3 with `venv`, or does not start.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("moto-5.2.5");
        install(&home)?;
        let (program, log) = (home.join("serve.py"), home.join("log"));
        fs::write(&program, PROGRAM)?;
        let port = free_port()?;
        let process = Command::new(home.join("bin/python"))
            .arg(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("could not start moto")?;
        let mut server = Self { process, port };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let has_ended = server.process.try_wait()?.is_some();
            if has_ended || started.elapsed() > PATIENCE {
                bail!("moto does not answer: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// Where it answers as every service of AWS that it knows.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // One that has ended already is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Whole, or not at all: what was interrupted is made again.
fn install(home: &Path) -> anyhow::Result<()> {
    let done = home.join("installed");
    if done.exists() {
        return Ok(());
    }
    fs::create_dir_all(home)?;
    let needs = "the tests need Python 3 with venv (Debian: apt-get install python3-venv)";
    let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(home).status().context(needs)?;
    ensure!(made.success(), needs);
    let pip = home.join("bin/pip");
    let installed =
        Command::new(&pip).args(["install", "-q", PACKAGE]).status().context("could not start pip")?;
    ensure!(installed.success(), "could not install {PACKAGE} from the Python package index");
    fs::write(done, PACKAGE)?;
    Ok(())
}
