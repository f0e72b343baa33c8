//! 64 commands at once in all, from one process, then shared by four.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use nexus_core::Repository;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};

use super::Server;
use crate::Options;
use crate::by_hand::Backend;
use crate::measure::{Sample, Stopwatch};
use crate::nexus::{self, CONCURRENT};
use crate::table::Row;

/// Four processes, beside one.
pub(super) async fn measure(options: &Options, server: &Server) -> anyhow::Result<Row> {
    let mut row = Row::new(NAME, "command", (1.0, 1.0)).note("beside one process that sends 64 at once");
    for _ in 0..options.rounds {
        row.round(async || together(options, server, 1).await, async || together(options, server, 4).await)
            .await?;
    }
    Ok(row)
}

pub(super) const NAME: &str = "64 concurrent commands, four processes";

/// So many processes that share the commands. Each says when it is done, and what it took of the processor.
async fn together(options: &Options, server: &Server, processes: u64) -> anyhow::Result<Sample> {
    server.store("processes").await?.close().await;
    let commands = options.commands * 8;
    let mut running = Vec::new();
    for process in 0..processes {
        let mut command = tokio::process::Command::new(std::env::current_exe()?);
        command.args(["--store", "postgres", "--commands", &(commands / processes).to_string()]);
        command.args(["--from", &(process * commands).to_string()]);
        command.args(["--at-once", &(CONCURRENT / processes).to_string()]);
        command
            .env("DATABASE_URL", &server.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut process = command.spawn()?;
        let output = process.stdout.take().ok_or_else(|| anyhow::anyhow!("no pipe"))?;
        let mut lines = tokio::io::BufReader::new(output).lines();
        let ready = lines.next_line().await?;
        anyhow::ensure!(ready.as_deref() == Some("ready"), "a process does not start");
        running.push((process, lines));
    }
    let watch = Stopwatch::start();
    for (process, _) in &mut running {
        // They begin when they are let go.
        drop(process.stdin.take());
    }
    let mut cpu = Duration::ZERO;
    for (_, lines) in &mut running {
        let done = lines.next_line().await?.context("a process failed")?;
        cpu += Duration::from_micros(done.parse()?);
    }
    let sample = Sample { cpu, peak_kib: None, ..watch.stop(commands) };
    for (mut process, _) in running {
        anyhow::ensure!(process.wait().await?.success(), "a process failed");
    }
    Ok(sample)
}

/// One of several processes.
pub(super) async fn send(server: &Server, options: &Options, first: u64) -> anyhow::Result<()> {
    let orders = Repository::new(server.open("processes").await?);
    // Connections are made and statements prepared.
    nexus::concurrent_by(&orders, u64::from(u32::MAX) + first, options.at_once * 4, options.at_once).await?;
    println!("ready");
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    let watch = Stopwatch::start();
    nexus::concurrent_by(&orders, first, options.commands, options.at_once).await?;
    println!("{}", watch.cpu().as_micros());
    Ok(())
}
