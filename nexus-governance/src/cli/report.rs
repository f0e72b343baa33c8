use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value, json};

use super::arguments::Format;
use super::finding::{Finding, Level};
use super::repository::Repository;
use super::{Exit, Failure, sarif};
use crate::architecture::{At, Excepted, Violation};

pub(super) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(super) const NOTE: Style = AnsiColor::Cyan.on_default().bold();
pub(super) const FINE: Style = AnsiColor::Green.on_default().bold();
pub(super) const DIM: Style = Style::new().dimmed();

/// What came of a check.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// What is let pass, with its reason; none where nothing can be.
    pub(super) exceptions: Option<Vec<Excepted>>,
    /// How much was looked at, for programs.
    pub(super) counts: Vec<(&'static str, usize)>,
    /// The same for people.
    pub(super) summary: Vec<String>,
    /// What else is good to know.
    pub(super) remarks: Vec<String>,
}

impl Report {
    /// Writes it, and answers whether there is something to mend.
    pub(super) fn written(&self, format: Format, out: &mut impl Write) -> Result<Exit, Failure> {
        let exceptions = self.exceptions.as_deref().unwrap_or_default();
        match format {
            Format::Human => self.human(out)?,
            Format::Json => writeln!(out, "{:#}", self.json())?,
            Format::Sarif => {
                writeln!(out, "{:#}", sarif::log(&self.findings, exceptions, &Repository::here()))?;
            }
            Format::Github => {
                let repository = Repository::here();
                self.findings.iter().try_for_each(|finding| github(finding, &repository, out))?;
                for Excepted { violation, reason } in exceptions {
                    let message = format!("{}, let pass: {reason}", violation.message);
                    let excepted = Finding::of_violation(Violation { message, ..violation.clone() });
                    github(&excepted.only_noted(), &repository, out)?;
                }
            }
        }
        Ok(if self.problems() > 0 { Exit::Found } else { Exit::Fine })
    }

    fn problems(&self) -> usize {
        self.findings.iter().filter(|finding| finding.level == Level::Error).count()
    }

    fn json(&self) -> Value {
        let mut members: Map<String, Value> =
            self.counts.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
        members.insert("findings".to_owned(), json!(self.findings));
        if let Some(exceptions) = &self.exceptions {
            members.insert("exceptions".to_owned(), json!(exceptions));
        }
        Value::Object(members)
    }

    fn human(&self, out: &mut impl Write) -> io::Result<()> {
        for finding in &self.findings {
            let Finding { rule, line, column, pointer, remedy, .. } = finding;
            let (style, level) = match finding.level {
                Level::Error => (ERROR, "error"),
                Level::Note => (NOTE, "note"),
            };
            writeln!(out, "{style}{level}[{rule}]{style:#}: {}", finding.headline())?;
            let pointer = if pointer.is_empty() { String::new() } else { format!(" ({pointer})") };
            writeln!(out, "  {DIM}-->{DIM:#} {}:{line}:{column}{pointer}", finding.file.display())?;
            writeln!(out, "  {DIM}to mend it:{DIM:#} {remedy}\n")?;
        }
        for Excepted { violation, reason } in self.exceptions.iter().flatten() {
            let At { file, line, column } = &violation.at;
            writeln!(out, "{NOTE}exception[{}]{NOTE:#}: {}", violation.rule, violation.message)?;
            writeln!(out, "  {DIM}-->{DIM:#} {file}:{line}:{column}")?;
            writeln!(out, "  {DIM}let pass:{DIM:#} {reason}\n")?;
        }
        for remark in &self.remarks {
            writeln!(out, "{DIM}{remark}{DIM:#}")?;
        }
        let problems = self.problems();
        let (style, found) = if problems == 0 {
            (FINE, "no problem".to_owned())
        } else {
            (ERROR, counted(problems, "problem"))
        };
        writeln!(out, "{}: {style}{found}{style:#}", self.summary.join("; "))
    }
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A workflow command: <https://docs.github.com/actions/reference/workflow-commands>.
fn github(finding: &Finding, repository: &Repository, out: &mut impl Write) -> io::Result<()> {
    let level = match finding.level {
        Level::Error => "error",
        Level::Note => "notice",
    };
    let message = escaped(&format!("{}\nto mend it: {}", finding.headline(), finding.remedy));
    let property = |text: &str| escaped(text).replace(':', "%3A").replace(',', "%2C");
    let file = property(&repository.path_of(&finding.file));
    let (line, column, rule) = (finding.line, finding.column, property(&finding.rule));
    writeln!(out, "::{level} file={file},line={line},col={column},title={rule}::{message}")
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
