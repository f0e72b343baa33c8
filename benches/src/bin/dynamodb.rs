//! The DynamoDB backend beside the raw SDK, on a stand-in that keeps everything in memory: commands, loads, appends, a scan of all events, what
//! they cost, and how long it takes from an append to a consumer.
//!
//! ```text
//! cargo run --release -p nexus-benches --bin dynamodb
//! ```
//!
//! Both sides put as many bytes under the same condition, through one client; rounds are interleaved, and medians shown. The stand-in is
//! dynoxide, which the first run builds; `DYNAMODB_ENDPOINT` names another.

#[path = "dynamodb/news.rs"]
mod news;
#[path = "dynamodb/nexus.rs"]
mod nexus;
#[path = "dynamodb/prices.rs"]
mod prices;
#[path = "dynamodb/raw.rs"]
mod raw;
#[path = "dynamodb/work.rs"]
mod work;

use std::path::PathBuf;

use aws_sdk_dynamodb::config::{Credentials, Region, SharedCredentialsProvider};
use clap::Parser;
use nexus_benches::line::Line;
use nexus_benches::output::Output;
use nexus_benches::table::Row;
use nexus_dynamodb::aws_config::{BehaviorVersion, SdkConfig};
use nexus_services::Dynoxide;

use self::nexus::Nexus;
use self::raw::Raw;
use self::work::{Side, Work};

/// Measures the DynamoDB backend beside the raw SDK.
#[derive(Debug, Parser)]
struct Options {
    /// How many times each workload runs.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    output: Output,
}

const BACKEND: &str = "DynamoDB";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut rows: Vec<(Work, Row)> = Work::ALL.map(|work| (work, work.row())).into();
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        // The stand-in slows down with what it has stored: a fresh one each round, where it is ours.
        let place = Place::new(round)?;
        let (mut raw, mut nexus) = (Raw::open(&place).await?, Nexus::open(&place).await?);
        raw.fill().await?;
        nexus.fill().await?;
        for (work, row) in &mut rows {
            // Who comes later finds more stored: each does a half, then both do the other half the other way round.
            let first = raw.run(*work).await?;
            let ours = nexus.run(*work).await?.and(nexus.run(*work).await?)?;
            let by_hand = first.and(raw.run(*work).await?)?;
            let is_same = by_hand.operations == ours.operations;
            anyhow::ensure!(
                is_same,
                "{work:?}: {} by hand, {} by Nexus",
                by_hand.operations,
                ours.operations
            );
            row.add(by_hand, ours);
        }
    }
    let place = Place::new(options.rounds)?;
    let mut lines: Vec<Line> =
        rows.iter().map(|(_, row)| Line::Workload(row.line(BACKEND, place.about))).collect();
    let (raw, nexus) = (Raw::open(&place).await?, Nexus::open(&place).await?);
    lines.push(Line::Promise(news::measure(&raw, &nexus).await?));
    options.output.tell("cargo run --release -p nexus-benches --bin dynamodb", &lines)?;
    prices::tell(&nexus).await
}

/// Where both sides store: a server, and a name that is used once.
struct Place {
    sdk: SdkConfig,
    name: String,
    about: &'static str,
    _server: Option<Dynoxide>,
}

impl Place {
    fn new(round: usize) -> anyhow::Result<Self> {
        let (server, endpoint, about) = match std::env::var("DYNAMODB_ENDPOINT") {
            Ok(endpoint) => (None, endpoint, "the server of DYNAMODB_ENDPOINT"),
            Err(_) => {
                let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services");
                let server = Dynoxide::start(&folder)?;
                let endpoint = server.url();
                (Some(server), endpoint, "dynoxide, in memory")
            }
        };
        // Any credentials are good for a stand-in.
        let credentials = Credentials::new("any", "any", None, None, "benches");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(endpoint)
            .build();
        Ok(Self { sdk, name: format!("bench-{}-{round}", std::process::id()), about, _server: server })
    }
}
