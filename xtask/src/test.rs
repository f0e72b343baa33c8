//! Runs all tests of the workspace, with the services they need.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use nexus_services::{Dynoxide, KinesisLocal, Ministack, Moto, Postgres, PostgresBinaries, Release};

/// Names a running PostgreSQL, in place of one that is started.
const DATABASE_URL: &str = "DATABASE_URL";

/// Names a running AWS Glue or stand-in, in place of one that is started.
const GLUE_ENDPOINT: &str = "GLUE_ENDPOINT";

/// Names a running DynamoDB Local or other stand-in, in place of one that is started.
const DYNAMODB_ENDPOINT: &str = "DYNAMODB_ENDPOINT";

/// Names a running ministack, in place of one that is started.
const MINISTACK_ENDPOINT: &str = "MINISTACK_ENDPOINT";

/// Names a running kinesis-local, in place of one that is started.
const KINESIS_ENDPOINT: &str = "KINESIS_ENDPOINT";

/// Nothing is skipped: what a test needs and does not find is a failure.
pub(crate) fn run(release: Release, arguments: &[String]) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tests = Command::new(cargo);
    tests.args(["test", "--workspace", "--all-features", "--no-fail-fast"]).args(arguments);
    let folder = services_folder();
    let binaries = PostgresBinaries::find(release, &folder)?;
    // Some tests need a server of their own.
    binaries.announce(&mut tests);
    // All are stopped when this ends. What a crash of the machine would lose is not tested here.
    let postgres = || Postgres::start(binaries, &[("fsync", "off")]);
    let _postgres = announced(&mut tests, DATABASE_URL, "PostgreSQL", postgres, Postgres::url)?;
    let _glue = announced(&mut tests, GLUE_ENDPOINT, "AWS Glue", || Moto::start(&folder), Moto::url)?;
    let dynoxide = || Dynoxide::start(&folder);
    let _dynamo = announced(&mut tests, DYNAMODB_ENDPOINT, "DynamoDB", dynoxide, Dynoxide::url)?;
    let ministack = || Ministack::start(&folder);
    let _aws = announced(&mut tests, MINISTACK_ENDPOINT, "AWS", ministack, Ministack::url)?;
    let kinesis = || KinesisLocal::start(&folder);
    let _kinesis = announced(&mut tests, KINESIS_ENDPOINT, "Kinesis", kinesis, KinesisLocal::url)?;
    // Programs find credentials as AWS programs do; the stand-ins take any.
    if std::env::var_os("AWS_ACCESS_KEY_ID").is_none() {
        tests.env("AWS_ACCESS_KEY_ID", "any").env("AWS_SECRET_ACCESS_KEY", "any");
    }
    let status = tests.status().context("could not start cargo test")?;
    anyhow::ensure!(status.success(), "some tests failed: see above");
    Ok(())
}

/// Starts a server, unless one is named, and tells the tests where it is.
fn announced<S>(
    tests: &mut Command,
    variable: &str,
    name: &str,
    start: impl FnOnce() -> anyhow::Result<S>,
    url: impl Fn(&S) -> String,
) -> anyhow::Result<Option<S>> {
    if std::env::var_os(variable).is_some() {
        return Ok(None);
    }
    let server = start().with_context(|| format!("could not start {name}, or what stands in for it"))?;
    println!("{name} for the tests: {}", url(&server));
    tests.env(variable, url(&server));
    Ok(Some(server))
}

/// Where services go that are installed for the tests alone.
pub(crate) fn services_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services")
}
