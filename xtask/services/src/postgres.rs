use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, ensure};
use tempfile::TempDir;

use crate::PostgresBinaries;
use crate::port::free_port;

/// A line of `postgresql.conf`.
pub type Setting<'a> = (&'a str, &'a str);

/// A server of its own in a temporary directory. It listens on 127.0.0.1 alone and trusts whoever connects.
#[derive(Debug)]
pub struct Postgres {
    binaries: PostgresBinaries,
    directory: TempDir,
    port: u16,
}

impl Postgres {
    /// Makes an empty cluster and starts it, with these settings on top of the defaults.
    ///
    /// # Errors
    /// It does not start; the error has the server's log.
    pub fn start(binaries: PostgresBinaries, settings: &[Setting<'_>]) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("nexus-postgres-").tempdir()?;
        // PostgreSQL does not run as root: somebody else has to get in.
        if is_root() {
            let own = Command::new("chown").arg(user()).arg(directory.path()).status()?;
            ensure!(own.success(), "could not give {} to {}", directory.path().display(), user());
        }
        let server = Self { binaries, directory, port: free_port()? };
        server.run("initdb", &["-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"])?;
        let mut lines = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nmax_connections = 300\n",
            server.directory.path().display()
        );
        for (name, value) in settings {
            lines.push_str(&format!("{name} = '{value}'\n"));
        }
        let file = server.data().join("postgresql.conf");
        let text = fs::read_to_string(&file)? + &lines;
        fs::write(&file, text).context("could not write postgresql.conf")?;
        server.go()?;
        Ok(server)
    }

    /// Where it is, for a database that it has from the start.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory with its data, and its configuration.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it has logged.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        let log = fs::read(self.directory.path().join("log")).context("could not read the server's log")?;
        Ok(String::from_utf8_lossy(&log).into_owned())
    }

    /// Starts it again, on the same port, after it was stopped.
    ///
    /// # Errors
    /// It does not start.
    pub fn go(&self) -> anyhow::Result<()> {
        self.go_with([])
    }

    /// The same with this in its environment.
    ///
    /// # Errors
    /// It does not start.
    pub fn go_with(
        &self,
        environment: impl IntoIterator<Item = (&'static str, String)>,
    ) -> anyhow::Result<()> {
        let options = format!("-p {}", self.port);
        let log = self.directory.path().join("log");
        let arguments = ["-w", "-l", &log.display().to_string(), "-o", &options, "start"];
        let started = self.run_with("pg_ctl", &arguments, environment);
        started.with_context(|| format!("its log: {}", self.log().unwrap_or_default()))
    }

    /// Stops it at once, as a crash would: what was not committed is gone, what was is recovered.
    ///
    /// # Errors
    /// It does not run.
    pub fn crash(&self) -> anyhow::Result<()> {
        self.run("pg_ctl", &["-w", "-m", "immediate", "stop"])
    }

    /// Gives a file in the data directory the owner and mode that the server asks for.
    ///
    /// # Errors
    /// The file is not there.
    pub fn hand_over(&self, file: &Path) -> anyhow::Result<()> {
        let mode = Command::new("chmod").arg("600").arg(file).status()?;
        let owned = !is_root() || Command::new("chown").arg(user()).arg(file).status()?.success();
        ensure!(mode.success() && owned, "could not hand {} over", file.display());
        Ok(())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        self.run_with(program, arguments, [])
    }

    fn run_with(
        &self,
        program: &str,
        arguments: &[&str],
        environment: impl IntoIterator<Item = (&'static str, String)>,
    ) -> anyhow::Result<()> {
        let program = self.binaries.program(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", user(), "--"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        command.arg("-D").arg(self.data()).args(arguments).current_dir(self.directory.path());
        command.envs(environment);
        let told = || format!("could not start {}", program.display());
        let Output { status, stdout, stderr } =
            output(&mut command, self.directory.path()).with_context(told)?;
        ensure!(
            status.success(),
            "{} failed: {}{}",
            program.display(),
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // One that was stopped already is as good.
        let _ = self.crash();
    }
}

/// A server that goes on keeps what it was given to write to: a pipe would never end.
fn output(command: &mut Command, directory: &Path) -> std::io::Result<Output> {
    let (out, err) = (directory.join("out"), directory.join("err"));
    let status = command.stdout(fs::File::create(&out)?).stderr(fs::File::create(&err)?).status()?;
    Ok(Output { status, stdout: fs::read(&out)?, stderr: fs::read(&err)? })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

/// Who runs servers in root's place.
fn user() -> &'static str {
    let exists = Command::new("id").arg("postgres").output().is_ok_and(|output| output.status.success());
    if exists { "postgres" } else { "nobody" }
}
