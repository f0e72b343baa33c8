//! What stands between `<!-- results: NAME -->` and `<!-- end -->`.

use std::fmt::Write;

use anyhow::Context;

use crate::line::{Figures, Line, Promise, Run, Scale, Workload, millis};

const BEGIN: &str = "<!-- results: ";
const BEGUN: &str = " -->\n";
const END: &str = "<!-- end -->";

const NEXUS: &str = "Nexus";

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
        let is_of_peers = lines.iter().filter_map(Line::workload).any(|workload| workload.library != NEXUS);
        let text = if is_of_peers {
            let nexus = [read("sqlite")?, read("postgres")?].concat();
            peers(&nexus, &lines)
        } else {
            tables(&lines)
        };
        write!(made, "{before}{BEGIN}{name}{BEGUN}{text}{END}")?;
        rest = after;
    }
    made.push_str(rest);
    Ok(made)
}

/// Whether the document has a place for these results.
pub(super) fn is_marked(document: &str, name: &str) -> bool {
    document.contains(&format!("{BEGIN}{name}{BEGUN}"))
}

fn tables(lines: &[Line]) -> String {
    let runs = lines.iter().filter_map(Line::run).map(run);
    let workloads: Vec<&Workload> = lines.iter().filter_map(Line::workload).collect();
    let promises: Vec<&Promise> = lines.iter().filter_map(Line::promise).collect();
    let scales: Vec<&Scale> = lines.iter().filter_map(Line::scale).collect();
    let mut text = runs.collect::<String>();
    if !workloads.is_empty() {
        text.push_str(&compared(&workloads));
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
    let day = i64::try_from(run.at).ok().and_then(|at| nexus_core::Timestamp::from_second(at).ok());
    let day = day.map_or_else(String::new, |at| at.to_string().chars().take(10).collect());
    format!("\n```sh\n{}\n```\n\n{day}, {}.\n", run.command, run.machine)
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
            text.push_str("\n| workload | baseline, a second | Nexus, a second | ratio | asked (aim) | CPU baseline, µs | CPU Nexus, µs | median | p99 | memory |\n");
            text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
        }
        let Workload { workload: name, figures, beside, ratio, asked, note, .. } = workload;
        let cells = [
            note.as_ref().map_or_else(|| name.clone(), |note| format!("{name} ({note})")),
            cell(beside, |figures| Some(thousands(figures.per_second))),
            // At a set pace only the delays tell anything.
            cell(figures, |figures| (!name.contains("projection")).then(|| thousands(figures.per_second))),
            ratio.map_or_else(String::new, |ratio| match workload.falls_short() {
                true => format!("**{ratio:.2}**, short"),
                false => format!("**{ratio:.2}**"),
            }),
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

/// Nexus, and others on the same backend.
fn peers(nexus: &[Line], peers: &[Line]) -> String {
    let mut text: String = peers.iter().filter_map(Line::run).map(run).collect();
    let workloads: Vec<&Workload> = peers.iter().filter_map(Line::workload).collect();
    let mut backends: Vec<&str> = Vec::new();
    for workload in &workloads {
        if !backends.contains(&workload.backend.as_str()) {
            backends.push(&workload.backend);
        }
    }
    for backend in backends {
        let others: Vec<&Workload> =
            workloads.iter().copied().filter(|workload| workload.backend == backend).collect();
        let is_done_by_others = |ours: &&Workload| {
            others.iter().any(|other| other.workload == ours.workload && ours.backend == backend)
        };
        let ours = nexus.iter().filter_map(Line::workload).filter(is_done_by_others);
        text.push_str(&by_library(backend, &ours.chain(others.iter().copied()).collect::<Vec<_>>()));
    }
    text
}

/// A column for each library; what there is to know of a figure is said below.
fn by_library(backend: &str, workloads: &[&Workload]) -> String {
    let (mut libraries, mut names): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut versions: Vec<&str> = Vec::new();
    for workload in workloads {
        if !libraries.contains(&workload.library.as_str()) {
            libraries.push(&workload.library);
            versions.push(&workload.version);
        }
        if !names.contains(&workload.workload.as_str()) {
            names.push(&workload.workload);
        }
    }
    let mut text = format!("\n| {backend}, a second (p99; CPU µs) | {} |\n", libraries.join(" | "));
    text.push_str(&format!("|---|{}\n", "---|".repeat(libraries.len())));
    let mut notes: Vec<String> = Vec::new();
    for name in names {
        text.push_str(&format!("| {name} |"));
        for library in &libraries {
            let is_it = |one: &&&Workload| one.library == *library && one.workload == name;
            let found = workloads.iter().find(is_it);
            let cell = found.and_then(|found| found.figures.as_ref()).map_or_else(
                || "–".to_owned(),
                |figures| {
                    // At a set pace only the delays tell anything.
                    if let (true, Some(median)) = (name.contains("projection"), figures.median_micros) {
                        let p99 = figures.p99_micros.map_or_else(String::new, millis);
                        return format!(
                            "median {} ({p99}; {})",
                            millis(median),
                            cpu(figures).unwrap_or_default()
                        );
                    }
                    let p99 = figures.p99_micros.map(|p99| format!("{}; ", millis(p99)));
                    format!(
                        "{} ({}{})",
                        thousands(figures.per_second),
                        p99.unwrap_or_default(),
                        cpu(figures).unwrap_or_default()
                    )
                },
            );
            let mark =
                found.filter(|_| *library != NEXUS).and_then(|found| found.note.as_ref()).map(|note| {
                    notes.push(format!("{library}, {name}: {note}"));
                    format!(" [{}]", notes.len())
                });
            text.push_str(&format!(" {cell}{} |", mark.unwrap_or_default()));
        }
        text.push('\n');
    }
    let versions: Vec<String> =
        libraries.iter().zip(versions).map(|(library, version)| format!("{library} ({version})")).collect();
    text.push_str(&format!("\nVersions: {}. ", versions.join("; ")));
    let mut durability: Vec<&str> = workloads.iter().filter_map(|one| one.durability.as_deref()).collect();
    durability.sort_unstable();
    durability.dedup();
    text.push_str(&format!("Durability: {}.\n\n", durability.join("; ")));
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
            scale.bytes_per_event.to_string(),
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
