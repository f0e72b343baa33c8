//! The buses beside the raw SDK, on a stand-in that keeps everything in memory: how many events a second a relay takes to Kinesis, and how long it is
//! from an append to a handler, by Kinesis and by SNS and SQS.
//!
//! ```text
//! cargo run --release -p nexus-benches --bin buses
//! ```
//!
//! Both sides put the same cloud events, through as many requests at a time; rounds are interleaved, and medians shown. The stand-in is ministack, which the
//! first run installs; `MINISTACK_ENDPOINT` names another.

#[path = "buses/handing.rs"]
mod handing;
#[path = "buses/publishing.rs"]
mod publishing;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_http_client::Builder;
use clap::Parser;
use nexus_benches::output::Output;
use nexus_core::{
    AppendBatch, EventId, EventStore, EventType, ExpectedVersion, IdSource, MemoryStore, NewEvent, Payload,
    RandomIds, StreamId, Timestamp,
};
use nexus_kinesis::KinesisConfig;
use nexus_kinesis::aws_config::{BehaviorVersion, SdkConfig};
use nexus_services::Ministack;
use nexus_sns::SnsConfig;

/// Of which streams and topics are made.
const SHARDS: u16 = 4;

/// What the figures were taken at.
const STAND_IN: &str = "ministack, in memory";

/// Measures the buses beside the raw SDK.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    output: Output,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/services");
    let (_server, endpoint) = match std::env::var("MINISTACK_ENDPOINT") {
        Ok(endpoint) => (None, endpoint),
        Err(_) => {
            let server = Ministack::start(&folder)?;
            let endpoint = server.url();
            (Some(server), endpoint)
        }
    };
    let mut lines = publishing::measure(&endpoint).await?;
    lines.extend(handing::measure(&endpoint).await?);
    options.output.tell("cargo run --release -p nexus-benches --bin buses", &lines)
}

/// Any credentials are good for a stand-in.
fn sdk(endpoint: &str) -> SdkConfig {
    use aws_sdk_kinesis::config::{Credentials, Region, SharedCredentialsProvider};
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "any", "any", None, None, "benches",
        )))
        .http_client(Builder::new().build_http())
        .endpoint_url(endpoint)
        .build()
}

/// A name that nothing has yet.
fn name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("bench-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn kinesis(endpoint: &str) -> anyhow::Result<KinesisConfig> {
    Ok(KinesisConfig::new(&name())?.sdk_config(sdk(endpoint)).source("/bench")?)
}

fn sns(endpoint: &str) -> anyhow::Result<SnsConfig> {
    Ok(SnsConfig::default().sdk_config(sdk(endpoint)).source("/bench")?)
}

/// Appends an event of some 120 bytes to a stream.
async fn append(log: &MemoryStore, stream: u64) -> anyhow::Result<()> {
    let payload = Payload::of(&serde_json::json!({
        "customer": "ada", "ordered_on": "1997-01-12", "lines": [{ "sku": "kind-of-blue", "units": 2, "total_cents": 2354 }],
    }))?;
    let id = EventId::from_bytes(*RandomIds.command_id(Timestamp::now()).as_bytes());
    let event = NewEvent::new(id, EventType::new("OrderPlaced")?, payload);
    let batch = AppendBatch::new(StreamId::new("order", stream)?, ExpectedVersion::Any, vec![event])?;
    drop(log.append(batch).await?);
    Ok(())
}
