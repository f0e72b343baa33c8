//! `nexus-governance replay`.

mod address;

use std::io::Write;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use nexus_core::Query;

pub(super) use address::Address;

use super::arguments::{Plain, Replay as Options};
use super::home::Home;
use super::report::{DIM, ERROR, FINE};
use super::{Exit, Failure};
use crate::cause::with_cause;
use crate::policy::{PolicyBundle, PolicyEngine};
use crate::replay::{NO_APPEND, Replay, ReplayReport};

pub(super) fn run(options: &Options, out: &mut impl Write) -> Result<Exit, Failure> {
    let default = Path::new("policies");
    let policies = options.policies.as_deref().or_else(|| default.is_dir().then_some(default));
    let engine = match policies.map(|path| (path, PolicyBundle::from_directory(path))) {
        None => None,
        Some((path, Ok(bundle))) if bundle.is_empty() => {
            let path = path.display();
            return Err(Failure::Told(format!(
                "there is no policy in {path}: a policy is a file that ends in .rego"
            )));
        }
        Some((path, read)) => match read.and_then(PolicyEngine::new) {
            Ok(engine) => Some(engine),
            Err(error) => return super::policy::told(error, path, out),
        },
    };
    let default = Home::from("schemas");
    let schemas = options.schemas.as_ref().or_else(|| default.exists().then_some(&default));
    let schemas = schemas.map(Home::loaded).transpose()?;
    if engine.is_none() && schemas.is_none() {
        return Err(Failure::Told(
            "there is nothing to replay with: name a directory with --schemas, --policies, or both"
                .to_owned(),
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Told(format!("the store cannot be read: {error}")))?;
    let report = runtime.block_on(async {
        let log = options.store.open(&options.database_schema).await.map_err(Failure::Told)?;
        let mut replay = Replay::new(log);
        if let Some(category) = &options.category {
            replay = replay.of(Query::categories([category.clone()]));
        }
        if let Some(schemas) = &schemas {
            replay = replay.with_schemas(schemas).map_err(|error| Failure::Told(with_cause(&error)))?;
        }
        if let Some(engine) = engine {
            replay = replay.with_policies(engine);
        }
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{elapsed_precise} {wide_bar} {percent} % {msg}") {
            bar.set_style(style);
        }
        let replayed = replay.run(|progress| {
            bar.set_length(progress.head.get());
            bar.set_position(progress.position.map_or(0, nexus_core::Position::get));
            bar.set_message(format!("{} events", progress.events));
        });
        let replayed = replayed.await;
        bar.finish_and_clear();
        replayed.map_err(|error| Failure::Told(with_cause(&error)))
    })?;
    match options.format {
        Plain::Json => writeln!(out, "{:#}", serde_json::to_value(&report).unwrap_or_default())?,
        Plain::Human => told(&report, out)?,
    }
    Ok(if report.is_fine() { Exit::Fine } else { Exit::Found })
}

fn told(report: &ReplayReport, out: &mut impl Write) -> std::io::Result<()> {
    for found in &report.breaks {
        let text = found.to_string();
        let (rule, rest) = text.split_once(": ").unwrap_or(("", &text));
        writeln!(out, "{ERROR}error[{rule}]{ERROR:#}: {rest}")?;
    }
    if report.more > 0 {
        writeln!(out, "{DIM}and {} more, in other ways{DIM:#}", report.more)?;
    }
    if report.undecided.contains(&"append") {
        writeln!(out, "{DIM}{NO_APPEND}{DIM:#}")?;
    }
    if let Some(reason) = &report.stopped {
        writeln!(out, "{ERROR}error[damaged-store]{ERROR:#}: not all could be gone over: {reason}")?;
    }
    let (style, found) = match report.broken {
        0 => (FINE, "nothing would break".to_owned()),
        broken => (ERROR, format!("{broken} would break")),
    };
    writeln!(out, "{} events, {} appends judged: {style}{found}{style:#}", report.events, report.appends)
}
