//! What policies cost: at each command, and at each append, where the event is validated against its schema as well.
//!
//! ```text
//! RUST_BACKTRACE=0 cargo run --release -p nexus-benches --bin policies
//! ```
//!
//! Without backtraces: the engine makes an error of each text that it looks for and does not find, and with `RUST_BACKTRACE=1` each has one.
//!
//! The policies are three rules of `deny` with limits as data, and obligations; they are shown beside the engine alone, asked the same rule
//! on an input that is made already.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use nexus_benches::line::{Line, Promise};
use nexus_benches::order_placed;
use nexus_benches::output::Output;
use nexus_core::{
    Actor, CommandId, EventId, EventType, MemoryStore, Metadata, NewEvent, OfferedCommand, Payload, StreamId,
    Timestamp,
};
use nexus_governance::{
    PolicyBundle, PolicyEngine, PolicyInput, Registration, SchemaKind, SchemaRegistryExt, Schemas,
    SchemasInStore,
};
use serde_json::json;

const ROUNDS: usize = 9;
const TIMES: u32 = 20_000;

/// What a decision may take.
const LIMIT: Duration = Duration::from_micros(25);

const COMMAND: &str = r#"package nexus.command

deny contains {"message": "nobody is named", "remedy": "sign in"} if not input.actor

deny contains {"message": message, "remedy": "ask a manager"} if {
	input.command.name == "Refund"
	input.payload.cents > limit
	message := sprintf("at most %v cents may be refunded", [limit])
}

deny contains {"message": "the shop is closed to imports"} if {
	input.actor.id == "import"
	data.limits.imports == false
}

limit := max([amount | some role in input.actor.roles; amount := data.limits.refund[role]])

obligations["review"] := true if input.payload.cents > 5000
"#;

const APPEND: &str = r#"package nexus.append

deny contains sprintf("%v is no more", [kind]) if {
	some event in input.events
	kind := event.type
	kind in data.limits.retired
}

deny contains "an order has at most 100 lines" if {
	some event in input.events
	count(event.payload.lines) > 100
}

obligations["path"] := "stream" if "OrderPlaced" in input.event_types
"#;

const DATA: &str =
    r#"{ "refund": { "clerk": 1000, "manager": 100000 }, "imports": true, "retired": ["OrderNoted"] }"#;

/// Measures what policies cost.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    output: Output,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    println!("medians of {ROUNDS} rounds");
    let bundle = PolicyBundle::default()
        .with("command.rego", COMMAND)
        .with("append.rego", APPEND)
        .with("limits/data.json", DATA);
    let policies = PolicyEngine::new(bundle)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let promises = [commands(&policies)?, runtime.block_on(appends(&policies))?];
    options.output.tell("cargo run --release -p nexus-benches --bin policies", &promises.map(Line::Promise))
}

/// Microseconds a call.
fn median(mut run: impl FnMut()) -> f64 {
    let mut all: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            (0..TIMES).for_each(|_| run());
            started.elapsed()
        })
        .collect();
    all.sort_unstable();
    all[ROUNDS / 2].as_secs_f64() * 1e6 / f64::from(TIMES)
}

fn commands(policies: &PolicyEngine) -> anyhow::Result<Promise> {
    let payload = Payload::of(&json!({ "cents": 900, "reason": "broken on arrival" }))?;
    let (stream, id) = (StreamId::new("order", 42)?, CommandId::from_bytes([7; 16]));
    let ada = Actor::new("ada").role("clerk");
    let metadata = Metadata::default().with_command(id).with_actor("ada");
    let command = OfferedCommand::new("Refund", 1, &payload, &stream, id, &metadata).by(&ada);
    let decide = || policies.decide(PolicyInput::command(&command, Timestamp::UNIX_EPOCH));
    ensure!(decide().is_allowed(), "{:?}", decide().denials);
    let decided = median(|| drop(black_box(decide())));
    let mut raw = regorus::Engine::new();
    raw.add_policy("command.rego".into(), COMMAND.into())?;
    raw.add_data(regorus::Value::from_json_str(&format!("{{\"limits\":{DATA}}}"))?)?;
    let input = json!({
        "operation": "command",
        "actor": { "id": "ada", "roles": ["clerk"], "claims": {} },
        "aggregate": { "category": "order", "id": "42" },
        "command": { "name": "Refund", "version": 1 },
        "payload": { "cents": 900, "reason": "broken on arrival" },
        "metadata": {},
        "time": "1970-01-01T00:00:00Z",
    });
    let input = regorus::Value::from(input);
    raw.set_input(input.clone());
    raw.eval_rule("data.nexus.command.deny".into())?;
    let alone = median(|| {
        raw.set_input(input.clone());
        let _ = black_box(raw.eval_rule("data.nexus.command.deny".into()));
    });
    let made = median(|| drop(black_box(PolicyInput::command(&command, Timestamp::UNIX_EPOCH))));
    let promise = format!(
        "deciding about a command ({made:.2} µs make the input; the engine alone takes {alone:.2} µs)"
    );
    Ok(Promise::within("policies", &promise, LIMIT, micros(decided)))
}

async fn appends(policies: &PolicyEngine) -> anyhow::Result<Promise> {
    let registry = std::sync::Arc::new(SchemasInStore::new(MemoryStore::new()));
    registry.register(Registration::new("event/OrderPlaced/1.0.0".parse()?, order_placed::schema())).await?;
    let schemas = Schemas::load(registry).await?;
    let payload = Payload::of(&order_placed::event())?;
    let (stream, id) = (StreamId::new("order", 42)?, EventId::from_bytes([7; 16]));
    let metadata = Metadata::default().with_command(CommandId::from_bytes([7; 16])).with_actor("ada");
    let events = [NewEvent::new(id, EventType::new("OrderPlaced")?, payload.clone()).with_metadata(metadata)];
    let decide = || policies.decide(PolicyInput::append(&stream, &events, Timestamp::UNIX_EPOCH));
    let validate = || schemas.validate(SchemaKind::Event, "OrderPlaced", 1, &payload).is_ok();
    ensure!(validate() && decide().is_allowed(), "{:?}", decide().denials);
    let both = median(|| drop(black_box((validate(), decide()))));
    let promise = format!("validating an event of {} bytes, and deciding about its append", payload.len());
    Ok(Promise::within("policies", &promise, LIMIT, micros(both)))
}

fn micros(micros: f64) -> Duration {
    Duration::from_secs_f64(micros / 1e6)
}
