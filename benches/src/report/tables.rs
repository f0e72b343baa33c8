//! What stands between `<!-- results: NAME -->` and `<!-- end -->`.

use std::fmt::Write;

use anyhow::Context;

use crate::line::{Figures, Line, Promise, Run, Scale, Workload};

const BEGIN: &str = "<!-- results: ";
const BEGUN: &str = " -->\n";
const END: &str = "<!-- end -->";

/// The document, with each table made of the file it names.
pub(super) fn filled(
    document: &str,
    read: impl Fn(&str) -> anyhow::Result<Vec<Line>>,
) -> anyhow::Result<String> {
    let (mut made, mut rest) = (String::new(), document);
    while let Some((before, after)) = rest.split_once(BEGIN) {
        let (name, after) = after.split_once(BEGUN).context("a mark is not ended")?;
        let (_, after) = after.split_once(END).with_context(|| format!("{name} has no end"))?;
        let lines = read(name)?;
        anyhow::ensure!(!lines.is_empty(), "there are no results of {name}");
        write!(made, "{before}{BEGIN}{name}{BEGUN}{}{END}", tables(&lines))?;
        rest = after;
    }
    made.push_str(rest);
    Ok(made)
}

fn tables(lines: &[Line]) -> String {
    let runs = lines.iter().filter_map(Line::run).map(run);
    let workloads: Vec<&Workload> = lines.iter().filter_map(Line::workload).collect();
    let promises: Vec<&Promise> = lines.iter().filter_map(Line::promise).collect();
    let scales: Vec<&Scale> = lines.iter().filter_map(Line::scale).collect();
    let mut text = runs.collect::<String>();
    let is_compared = workloads.iter().any(|workload| workload.beside.is_some());
    if is_compared {
        text.push_str(&compared(&workloads));
    } else if !workloads.is_empty() {
        text.push_str(&by_library(&workloads));
    }
    if !promises.is_empty() {
        text.push_str("\n| promised | limit | measured | |\n|---|---|---|---|\n");
        for Promise { backend, promise, promised, measured, kept } in promises {
            let kept = if *kept { "kept" } else { "**not kept**" };
            text.push_str(&format!("| {backend}: {promise} | {promised} | {measured} | {kept} |\n"));
        }
    }
    if !scales.is_empty() {
        text.push_str(&scaled(&scales));
    }
    text
}

fn run(run: &Run) -> String {
    format!("\n```sh\n{}\n```\n\n{}.\n", run.command, run.machine)
}

/// Of one backend, beside its driver.
fn compared(workloads: &[&Workload]) -> String {
    let mut text = String::new();
    let mut durability = None;
    for workload in workloads {
        if workload.durability != durability {
            durability.clone_from(&workload.durability);
            text.push_str(&format!(
                "{}; medians of {} rounds.\n",
                durability.as_deref().unwrap_or("?"),
                workload.rounds
            ));
            text.push_str("\n| workload | by hand, a second | Nexus, a second | ratio | asked (aim) | CPU by hand, µs | CPU Nexus, µs | median | p99 | memory |\n");
            text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
        }
        let Workload { workload: name, figures, beside, ratio, asked, note, .. } = workload;
        let cells = [
            note.as_ref().map_or_else(|| name.clone(), |note| format!("{name} ({note})")),
            cell(beside, |figures| Some(thousands(figures.per_second))),
            cell(figures, |figures| Some(thousands(figures.per_second))),
            ratio.map_or_else(String::new, |ratio| format!("**{ratio:.2}**")),
            asked
                .filter(|_| ratio.is_some())
                .map_or_else(String::new, |(least, aim)| format!("{least} ({aim})")),
            cell(beside, cpu),
            cell(figures, cpu),
            cell(figures, |figures| figures.median_micros.map(millis)),
            cell(figures, |figures| figures.p99_micros.map(millis)),
            cell(figures, |figures| Some(format!("{:.1} MiB", figures.peak_kib? as f64 / 1024.0))),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

/// Of the process, and of the server where there is one.
fn cpu(figures: &Figures) -> Option<String> {
    let own = figures.cpu_micros;
    Some(
        figures
            .server_cpu_micros
            .map_or_else(|| format!("{own:.1}"), |server| format!("{own:.1} + {server:.1}")),
    )
}

/// Of several libraries, which stand side by side.
fn by_library(workloads: &[&Workload]) -> String {
    let mut columns: Vec<(&str, &str)> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for workload in workloads {
        let column = (workload.library.as_str(), workload.backend.as_str());
        if !columns.contains(&column) {
            columns.push(column);
        }
        if !names.contains(&workload.workload.as_str()) {
            names.push(&workload.workload);
        }
    }
    let mut text = String::from("\n| workload, a second (p99) |");
    for (library, backend) in &columns {
        text.push_str(&format!(" {library}, {backend} |"));
    }
    text.push_str(&format!("\n|---|{}\n", "---|".repeat(columns.len())));
    let mut notes: Vec<String> = Vec::new();
    for name in names {
        text.push_str(&format!("| {name} |"));
        for (library, backend) in &columns {
            let of = |one: &&&Workload| {
                (one.library.as_str(), one.backend.as_str(), one.workload.as_str())
                    == (library, backend, name)
            };
            let found = workloads.iter().find(of);
            let figures = found.and_then(|found| found.figures.as_ref());
            let p99 = figures.and_then(|figures| figures.p99_micros).map(|p99| format!(" ({})", millis(p99)));
            let rate = figures.map_or_else(|| "–".to_owned(), |figures| thousands(figures.per_second));
            let mark = found.and_then(|found| found.note.as_ref()).map(|note| {
                let note = format!("{library}, {backend}, {name}: {note}");
                notes.push(note);
                format!(" [{}]", notes.len())
            });
            text.push_str(&format!(" {rate}{}{} |", p99.unwrap_or_default(), mark.unwrap_or_default()));
        }
        text.push('\n');
    }
    text.push('\n');
    for (number, note) in (1..).zip(notes) {
        text.push_str(&format!("{number}. {note}.\n"));
    }
    text
}

fn scaled(scales: &[&Scale]) -> String {
    let mut text = String::new();
    let mut backend = "";
    for scale in scales {
        if scale.backend != backend {
            backend = &scale.backend;
            text.push_str(&format!("\n| {backend}, events | bytes an event | append, median (p99) | load 1,000, median (p99) | decision over two tags, median (p99) | catch up, events a second | memory: append, load, decision, catch up |\n"));
            text.push_str("|---|---|---|---|---|---|---|\n");
        }
        let times = |figures: &Figures| {
            let time = |micros: Option<u64>| micros.map_or_else(|| "–".to_owned(), millis);
            format!("{} ({})", time(figures.median_micros), time(figures.p99_micros))
        };
        let memory = [&scale.append, &scale.load, &scale.decision, &scale.catch_up]
            .map(|figures| figures.peak_kib.map_or(f64::NAN, |kib| kib as f64 / 1024.0))
            .map(|mib| format!("{mib:.1}"));
        let cells = [
            thousands(scale.events as f64),
            (scale.bytes / scale.events).to_string(),
            times(&scale.append),
            times(&scale.load),
            times(&scale.decision),
            thousands(scale.catch_up.per_second),
            format!("{} MiB", memory.join(", ")),
        ];
        text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    text
}

fn cell(figures: &Option<Figures>, figure: impl Fn(&Figures) -> Option<String>) -> String {
    figures.as_ref().and_then(figure).unwrap_or_default()
}

fn millis(micros: u64) -> String {
    format!("{:.2} ms", micros as f64 / 1e3)
}

/// With commas, and no more digits than count.
fn thousands(number: f64) -> String {
    if number < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
