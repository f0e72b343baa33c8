use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nexus_services::BadDisk;
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::Disk;
use crate::sabotage::Sabotage;
use crate::worker::{HEALED, quiet};

/// So long a process may take to stop when it is asked to.
const PATIENCE: Duration = Duration::from_secs(30);

/// What all of them are told.
#[derive(Debug)]
pub(crate) struct Brief {
    /// Where each finds the store.
    pub(crate) places: Vec<String>,
    pub(crate) directory: PathBuf,
    pub(crate) clients: u32,
    pub(crate) sabotage: Option<Sabotage>,
    /// The disk of those who have a bad one.
    pub(crate) bad_disk: Option<BadDisk>,
}

/// The processes that are tortured.
#[derive(Debug)]
pub(crate) struct Processes {
    brief: Brief,
    rng: StdRng,
    each: Vec<Process>,
}

#[derive(Debug)]
struct Process {
    child: Option<Child>,
    lives: u32,
    disk: Disk,
    /// Until when it stands still.
    stopped_until: Option<Instant>,
}

impl Processes {
    pub(crate) fn start(brief: Brief, rng: StdRng) -> anyhow::Result<Self> {
        let count = brief.places.len();
        let mut processes = Self { brief, rng, each: Vec::new() };
        for number in 0..count {
            let process = Process { child: None, lives: 0, disk: Disk::Good, stopped_until: None };
            processes.each.push(process);
            processes.give_life(number, Disk::Good)?;
        }
        Ok(processes)
    }

    pub(crate) fn count(&self) -> usize {
        self.each.len()
    }

    /// How many lives there were.
    pub(crate) fn lives(&self) -> u32 {
        self.each.iter().map(|process| process.lives).sum()
    }

    /// Kills a process; it comes back after `pause`.
    pub(crate) async fn kill(&mut self, number: usize, pause: Duration, disk: Disk) -> anyhow::Result<()> {
        self.go_on_in_time()?;
        if let Some(mut child) = self.each[number].child.take() {
            child.kill().await.context("could not kill a process")?;
        }
        sleep(pause).await;
        self.give_life(number, disk)
    }

    /// It stands still for so long, while others go on.
    pub(crate) fn stop(&mut self, number: usize, long: Duration) -> anyhow::Result<()> {
        self.go_on_in_time()?;
        self.signal(number, Signal::STOP)?;
        self.each[number].stopped_until = Some(Instant::now() + long);
        Ok(())
    }

    /// Who has stood still for long enough goes on.
    fn go_on_in_time(&mut self) -> anyhow::Result<()> {
        for number in 0..self.each.len() {
            if self.each[number].stopped_until.is_some_and(|until| until <= Instant::now()) {
                self.go_on(number)?;
            }
        }
        Ok(())
    }

    fn go_on(&mut self, number: usize) -> anyhow::Result<()> {
        if self.each[number].stopped_until.take().is_some() {
            self.signal(number, Signal::CONT)?;
        }
        Ok(())
    }

    /// All are there, run, and have a disk that works.
    pub(crate) async fn all_go_on(&mut self) -> anyhow::Result<()> {
        for number in 0..self.each.len() {
            self.go_on(number)?;
            if self.each[number].disk == Disk::Bad {
                self.kill(number, Duration::ZERO, Disk::Good).await?;
            }
        }
        Ok(())
    }

    /// From now on nothing is asked for, and poison is none.
    pub(crate) fn heal(&self) -> anyhow::Result<()> {
        std::fs::write(self.brief.directory.join(HEALED), "")?;
        Ok(())
    }

    /// Those whose clients still ask for something, and will not be heard of when nobody looks any more.
    pub(crate) fn asking(&self) -> Vec<String> {
        let is_asking = |(number, process): &(usize, &Process)| {
            let life = process.lives.saturating_sub(1);
            let quiet = u32::try_from(*number).map(|number| quiet(number, life));
            quiet.is_ok_and(|quiet| !self.brief.directory.join(quiet).exists())
        };
        let asking = self.each.iter().enumerate().filter(is_asking);
        asking.map(|(number, _)| format!("the clients of process {number} ask for something")).collect()
    }

    /// Asks all to stop; who does not, or fails at it, has not kept a promise.
    pub(crate) async fn end(&mut self) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for number in 0..self.each.len() {
            self.signal(number, Signal::TERM)?;
        }
        for (number, process) in self.each.iter_mut().enumerate() {
            let Some(child) = &mut process.child else { continue };
            match timeout(PATIENCE, child.wait()).await {
                Ok(ended) => {
                    let ended = ended?;
                    if !ended.success() {
                        failed.push(format!("process {number} ended with {ended}: see its file of errors"));
                    }
                }
                Err(_) => {
                    failed.push(format!("process {number} did not stop within {} s", PATIENCE.as_secs()));
                    child.kill().await?;
                }
            }
        }
        failed.extend(self.panics()?);
        Ok(failed)
    }

    /// What panicked in any life of theirs.
    fn panics(&self) -> anyhow::Result<Vec<String>> {
        let mut panics = Vec::new();
        for (number, process) in self.each.iter().enumerate() {
            for life in 0..process.lives {
                let said = std::fs::read(said(&self.brief.directory, number, life))?;
                let said = String::from_utf8_lossy(&said).into_owned();
                let lines = said.lines().filter(|line| line.contains("panicked at"));
                panics.extend(lines.map(|line| format!("process {number} in life {life}: {line}")));
            }
        }
        Ok(panics)
    }

    fn signal(&self, number: usize, signal: Signal) -> anyhow::Result<()> {
        let child = self.each[number].child.as_ref();
        let id = child.and_then(Child::id).and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let Some(id) = id else {
            bail!(
                "process {number} ended by itself: see its file of errors in {}",
                self.brief.directory.display()
            );
        };
        kill_process(id, signal)?;
        Ok(())
    }

    fn give_life(&mut self, number: usize, disk: Disk) -> anyhow::Result<()> {
        let Self { brief, rng, each } = self;
        let process = &mut each[number];
        let said = said(&brief.directory, number, process.lives);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("work")
            .args(["--place", &brief.places[number]])
            .args([OsString::from("--directory"), brief.directory.clone().into()])
            .args(["--process", &number.to_string(), "--life", &process.lives.to_string()])
            .args(["--seed", &rng.random::<u64>().to_string()])
            .args(["--clients", &brief.clients.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(said)?)
            .kill_on_drop(true);
        if let Some(sabotage) = brief.sabotage {
            let name = clap::ValueEnum::to_possible_value(&sabotage);
            command.args(["--sabotage", name.as_ref().map_or("", |name| name.get_name())]);
        }
        if let (Disk::Bad, Some(bad)) = (disk, &brief.bad_disk) {
            command.envs(bad.environment());
        }
        process.child = Some(command.spawn().context("could not start a process")?);
        process.lives += 1;
        process.disk = disk;
        process.stopped_until = None;
        Ok(())
    }
}

/// Where a process writes its errors.
fn said(directory: &Path, number: usize, life: u32) -> PathBuf {
    directory.join(format!("errors-{number}-{life}"))
}
