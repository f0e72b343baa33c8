//! Where figures go besides the screen.

use std::path::PathBuf;

use clap::Args;

use crate::line::{Line, Run};
use crate::table;

/// Of every command that measures.
#[derive(Clone, Debug, Default, Args)]
pub struct Output {
    /// Also writes what was measured to this file, as JSON lines.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

impl Output {
    /// Prints all of it, and keeps it; `command` is how one runs it, without arguments.
    pub fn tell(&self, command: &str, lines: &[Line]) -> anyhow::Result<()> {
        anyhow::ensure!(!lines.is_empty(), "nothing was measured: no workload is called so");
        table::print(lines);
        self.keep(command, lines)?;
        let broken = lines.iter().filter_map(Line::promise).filter(|promise| !promise.kept).count();
        anyhow::ensure!(broken == 0, "{broken} promises are not kept");
        Ok(())
    }

    /// Keeps it, if that is asked for.
    pub fn keep(&self, command: &str, lines: &[Line]) -> anyhow::Result<()> {
        if let Some(file) = &self.json {
            let run = Line::Run(Run::of(command));
            let texts =
                [&run].into_iter().chain(lines).map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            std::fs::write(file, texts.join("\n") + "\n")?;
        }
        Ok(())
    }
}
