//! `BENCHMARKS.md` and its plots, made of the files of results.

mod plot;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::line::Line;

/// Where they are.
fn results() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("results")
}

/// Makes all of it anew: what stands between the marks of the document, and the plots.
pub fn write() -> anyhow::Result<()> {
    for (file, made) in made()? {
        if fs::read_to_string(&file).ok().as_ref() != Some(&made) {
            fs::write(&file, made)?;
            println!("{} is new", file.display());
        }
    }
    Ok(())
}

/// Each file, as the results make it.
pub fn made() -> anyhow::Result<Vec<(PathBuf, String)>> {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../BENCHMARKS.md");
    let text = fs::read_to_string(&document).with_context(|| document.display().to_string())?;
    for file in fs::read_dir(results())? {
        let file = file?.path();
        let name = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let is_told = file.extension().is_none_or(|kind| kind != "jsonl") || tables::is_marked(&text, name);
        anyhow::ensure!(is_told, "nothing in {} tells of {}", document.display(), file.display());
    }
    let mut files = vec![(document, tables::filled(&text, read)?)];
    for (name, plot) in plot::all(read)? {
        files.push((results().join(name), plot));
    }
    Ok(files)
}

/// A file of results; one that is not there has none.
fn read(name: &str) -> anyhow::Result<Vec<Line>> {
    let file = results().join(format!("{name}.jsonl"));
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let lines = text.lines().enumerate();
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}, line {}", file.display(), number + 1))
    };
    lines.map(line).collect()
}
