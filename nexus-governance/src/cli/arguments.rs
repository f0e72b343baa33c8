use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use nexus_core::{Category, ShapeLock};

use super::Failure;
use super::home::Home;
use super::replay::Address;
use crate::cause::with_cause;
use crate::schema::{CompatibilityMode, SchemaId};

/// Governs schemas of events and commands, policies, and the architecture of a workspace.
#[derive(Debug, Parser)]
#[command(name = "nexus-governance", version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) color: colorchoice_clap::Color,
    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str = "Exit codes:
  0  all is well
  1  something was found: a problem, an incompatible change, a schema that cannot be registered, a test that failed, a denial
  2  the command line is wrong
  3  it could not be done: a directory is missing, or a git revision cannot be read";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Checks schemas, policies with their tests, and the architecture at once.
    #[command(after_help = EXIT_CODES)]
    Check(CheckAll),
    /// Checks how the crates of a Cargo workspace hang together, and what their source does.
    #[command(after_help = EXIT_CODES)]
    Architecture(Architecture),
    /// Runs proposed schemas and policies over what is stored, and tells what would break; nothing is written.
    #[command(after_help = EXIT_CODES)]
    Replay(Replay),
    /// Schemas of events and commands.
    #[command(after_help = EXIT_CODES)]
    Schema {
        #[command(flatten)]
        registry: Registry,
        #[command(subcommand)]
        command: SchemaCommand,
    },
    /// Policies in Rego.
    #[command(after_help = EXIT_CODES)]
    Policy {
        /// The directory of the policies.
        #[arg(long, global = true, default_value = "policies", value_name = "DIRECTORY")]
        policies: PathBuf,
        #[command(subcommand)]
        command: PolicyCommand,
    },
}

#[derive(Debug, Args)]
pub(super) struct CheckAll {
    #[command(flatten)]
    pub(super) registry: Registry,
    /// The directory of the policies.
    #[arg(long, default_value = "policies", value_name = "DIRECTORY")]
    pub(super) policies: PathBuf,
    #[command(flatten)]
    pub(super) cargo: Cargo,
    /// A git revision, such as `main`, or a registry of AWS Glue, such as `glue:orders`: what was released there must be here,
    /// unaltered, and only what is new since is compared with earlier versions.
    #[arg(long, value_name = "REVISION")]
    pub(super) against: Option<String>,
    /// How the findings are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Architecture {
    /// The directory of the registry; or a registry of AWS Glue, such as `glue:orders`.
    #[arg(long, default_value = "schemas", value_name = "DIRECTORY", value_parser = |text: &str| Ok::<_, std::convert::Infallible>(Home::from(text)))]
    pub(super) schemas: Home,
    /// The directory of the policies; where their package nexus.architecture is missing, that of the starter bundle is taken.
    #[arg(long, default_value = "policies", value_name = "DIRECTORY")]
    pub(super) policies: PathBuf,
    #[command(flatten)]
    pub(super) cargo: Cargo,
    /// Shows what is known of the workspace, which is the input of the policies, and judges nothing.
    #[arg(long)]
    pub(super) facts: bool,
    /// How the findings are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The store: `sqlite:PATH` or a path, or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub(super) store: Address,
    /// The schema of a PostgreSQL database that has the store.
    #[arg(long, default_value = "nexus", value_name = "NAME")]
    pub(super) database_schema: String,
    /// The directory of the schemas, drafts among them; or a registry of AWS Glue, such as `glue:orders` [default: `schemas`, where it is there].
    #[arg(long, value_name = "DIRECTORY", value_parser = |text: &str| Ok::<_, std::convert::Infallible>(Home::from(text)))]
    pub(super) schemas: Option<Home>,
    /// The directory of the policies [default: `policies`, where it is there].
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) policies: Option<PathBuf>,
    /// Only events of this category.
    #[arg(long, value_name = "NAME", value_parser = |text: &str| Category::new(text))]
    pub(super) category: Option<Category>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Plain,
}

/// Which workspace.
#[derive(Debug, Args)]
pub(super) struct Cargo {
    /// The manifest of the workspace, or of one of its crates.
    #[arg(long, default_value = "Cargo.toml", value_name = "FILE")]
    pub(super) manifest_path: PathBuf,
    /// The file with what is let pass, each with its reason; unless given, `nexus.exceptions.json` beside the manifest, where there is one.
    #[arg(long, value_name = "FILE")]
    exceptions: Option<PathBuf>,
}

impl Cargo {
    /// Whether the exceptions have to be there.
    pub(super) fn names_exceptions(&self) -> bool {
        self.exceptions.is_some()
    }

    /// Where the exceptions are, or would be.
    pub(super) fn exceptions(&self) -> PathBuf {
        self.exceptions.clone().unwrap_or_else(|| self.manifest_path.with_file_name("nexus.exceptions.json"))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Writes the starter bundle into the directory: policies to begin with, their data and their tests.
    Init,
    /// Runs the rules named `test_…`, and tells which lines of the policies they have come by.
    Test(TestPolicies),
    /// Decides about an input.
    Eval(Decided),
    /// Decides about an input, and tells what each rule says of it.
    Explain(Decided),
}

#[derive(Debug, Args)]
pub(super) struct TestPolicies {
    /// How many of a hundred lines have to be covered.
    #[arg(long, value_name = "PERCENT")]
    pub(super) coverage: Option<usize>,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Plain,
}

#[derive(Debug, Args)]
pub(super) struct Decided {
    /// A JSON file with the input: its "operation" is command, append, publish or history.
    pub(super) input: PathBuf,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Plain,
}

/// Where the schemas are.
#[derive(Debug, Args)]
pub(super) struct Registry {
    /// The directory of the registry; or a registry of AWS Glue, such as `glue:orders`, with credentials and region from the environment.
    #[arg(long, global = true, default_value = "schemas", value_name = "DIRECTORY", value_parser = |text: &str| Ok::<_, std::convert::Infallible>(Home::from(text)))]
    pub(super) schemas: Home,
    /// The lock file; unless given, `nexus.lock.json` beside the directory, where there is one.
    #[arg(long, global = true, value_name = "FILE")]
    lock: Option<PathBuf>,
}

impl Registry {
    /// What was asked for is not in it.
    pub(super) fn has_no(&self, schema: impl std::fmt::Display) -> Failure {
        Failure::Told(format!(
            "there is no {schema} in {}: `nexus-governance schema list` shows what there is",
            self.schemas
        ))
    }

    /// Where the lock file is, or would be.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.lock.clone().unwrap_or_else(|| self.schemas.beside("nexus.lock.json"))
    }

    /// The text of the lock file; `None` where there is none, and none was asked for.
    pub(super) fn lock_text(&self) -> Result<Option<String>, Failure> {
        let path = self.lock_path();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.lock.is_none() => Ok(None),
            Err(error) => Err(Failure::Told(format!("{} cannot be read: {error}", path.display()))),
        }
    }

    /// What the lock file says.
    pub(super) fn lock(&self) -> Result<Option<ShapeLock>, Failure> {
        let Some(text) = self.lock_text()? else { return Ok(None) };
        let path = self.lock_path();
        ShapeLock::from_json(&text)
            .map(Some)
            .map_err(|error| Failure::Told(format!("{}: {}", path.display(), with_cause(&error))))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum SchemaCommand {
    /// Checks all schemas: that they can be used, that versions go together, that what was released stays as it was, and that
    /// the lock file agrees.
    Check(Check),
    /// Registers a JSON Schema, or releases a draft that is in the directory.
    Register(Register),
    /// Tells whether two versions of a schema go together, with a witness where they do not.
    Diff(Diff),
    /// Shows a schema.
    Show(Show),
    /// Lists all schemas.
    List(List),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Workflow commands that annotate a pull request on GitHub.
    Github,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// A git revision, such as `main`, or a registry of AWS Glue, such as `glue:orders`: what was released there must be here,
    /// unaltered, and only what is new since is compared with earlier versions.
    #[arg(long, value_name = "REVISION")]
    pub(super) against: Option<String>,
    /// How the findings are written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct Register {
    /// A file with a JSON Schema. One that says what it is of (`x-nexus`) needs no other options.
    pub(super) file: PathBuf,
    /// What it is of, and its version, such as `event/OrderPlaced/1.0.0`.
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<SchemaId>,
    /// Which earlier versions it has to go together with [default: that of the file, or BACKWARD_TRANSITIVE].
    #[arg(long, value_name = "MODE")]
    pub(super) compatibility: Option<CompatibilityMode>,
}

#[derive(Debug, Args)]
pub(super) struct Diff {
    /// A version, such as `event/OrderPlaced/1.0.0`.
    pub(super) before: SchemaId,
    /// Another, which may be of another major version.
    pub(super) after: SchemaId,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Plain,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Which: `event/OrderPlaced/1.0.0`, or `event/OrderPlaced` for the newest.
    pub(super) schema: String,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// How the list is written.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Plain,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Plain {
    /// For people.
    #[default]
    Human,
    /// One JSON document.
    Json,
}
