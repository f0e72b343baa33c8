use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::arguments::Format;
use super::check::Checked;
use super::finding::{Finding, Level};
use super::repository::Repository;
use super::sarif;

pub(super) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(super) const NOTE: Style = AnsiColor::Cyan.on_default().bold();
pub(super) const FINE: Style = AnsiColor::Green.on_default().bold();
pub(super) const DIM: Style = Style::new().dimmed();

pub(super) fn write(checked: &Checked, format: Format, out: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Human => human(checked, out),
        Format::Json => {
            let Checked { schemas, released, compared, findings, .. } = checked;
            let report = json!({ "schemas": schemas, "released": released, "compared": compared, "findings": findings });
            writeln!(out, "{report:#}")
        }
        Format::Sarif => writeln!(out, "{:#}", sarif::log(&checked.findings, &Repository::here())),
        Format::Github => {
            let repository = Repository::here();
            checked.findings.iter().try_for_each(|finding| github(finding, &repository, out))
        }
    }
}

fn human(checked: &Checked, out: &mut impl Write) -> io::Result<()> {
    for finding in &checked.findings {
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
    let Checked { schemas, released, compared, .. } = checked;
    let drafts = schemas - released;
    let drafts = if drafts == 0 { String::new() } else { format!(" and {}", counted(drafts, "draft")) };
    if let Some(path) = &checked.no_lock {
        let path = path.display();
        writeln!(out, "{DIM}there is no lock file {path}: shapes of the program are not compared{DIM:#}")?;
    }
    let problems = checked.count(Level::Error);
    let (style, found) =
        if problems == 0 { (FINE, "no problem".to_owned()) } else { (ERROR, counted(problems, "problem")) };
    let (released, compared) = (counted(*released, "released schema"), counted(*compared, "comparison"));
    writeln!(out, "{released}{drafts}, {compared}: {style}{found}{style:#}")
}

fn counted(count: usize, what: &str) -> String {
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
    let (line, column, rule) = (finding.line, finding.column, property(finding.rule));
    writeln!(out, "::{level} file={file},line={line},col={column},title={rule}::{message}")
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}
