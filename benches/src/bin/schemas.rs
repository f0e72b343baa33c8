//! What schemas cost: at each append, and at each change.
//!
//! ```text
//! cargo run --release -p nexus-benches --bin schemas
//! ```
//!
//! Validation is shown beside the validator alone, on a document that is parsed already, and beside parsing alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;
use nexus_benches::line::{Line, Promise};
use nexus_benches::order_placed;
use nexus_benches::output::Output;
use nexus_core::{MemoryStore, Payload};
use nexus_governance::{
    CompatibilityMode, Origin, Registration, Schema, SchemaKind, SchemaRegistryExt, SchemaSet, Schemas,
    SchemasInStore,
};
use serde_json::{Map, Value, json};

const ROUNDS: usize = 9;

/// Measures what schemas cost.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    output: Output,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    println!("medians of {ROUNDS} rounds");
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let validation = runtime.block_on(validation())?;
    let growing = many_versions("that only add a field", |version, properties| {
        properties.insert(format!("added{version}"), json!({ "type": "string" }));
        for earlier in 0..version {
            properties.insert(format!("added{earlier}"), json!({ "type": "string" }));
        }
    })?;
    let alike = many_versions("that are all alike", |_, _| {})?;
    options.output.tell(
        "cargo run --release -p nexus-benches --bin schemas",
        &[validation, growing, alike].map(Line::Promise),
    )
}

fn median(mut run: impl FnMut() -> Duration) -> Duration {
    let mut all: Vec<Duration> = (0..ROUNDS).map(|_| run()).collect();
    all.sort_unstable();
    all[ROUNDS / 2]
}

async fn validation() -> anyhow::Result<Promise> {
    const TIMES: u32 = 100_000;
    let registry = std::sync::Arc::new(SchemasInStore::new(MemoryStore::new()));
    registry.register(Registration::new("event/OrderPlaced/1.0.0".parse()?, order_placed::schema())).await?;
    let schemas = Schemas::load(registry).await?;
    let event = order_placed::event();
    let payload = Payload::of(&event)?;
    let per_call = |total: Duration| total.as_secs_f64() * 1e6 / f64::from(TIMES);
    let governed = median(|| {
        let started = Instant::now();
        for _ in 0..TIMES {
            let checked = schemas.validate(SchemaKind::Event, "OrderPlaced", 1, black_box(&payload));
            let _ = black_box(checked.is_ok());
        }
        started.elapsed()
    });
    ensure!(schemas.validate(SchemaKind::Event, "OrderPlaced", 1, &payload).is_ok(), "it fits");
    let validator = jsonschema::options().should_validate_formats(true).build(&order_placed::schema())?;
    let raw = median(|| {
        let started = Instant::now();
        for _ in 0..TIMES {
            black_box(validator.is_valid(black_box(&event)));
        }
        started.elapsed()
    });
    let parsing = median(|| {
        let started = Instant::now();
        for _ in 0..TIMES {
            let _ = black_box(payload.decode::<Value>().is_ok());
        }
        started.elapsed()
    });
    let promise = format!(
        "validating an event of {} bytes (the validator alone takes {:.2} µs, parsing alone {:.2} µs)",
        payload.len(),
        per_call(raw),
        per_call(parsing)
    );
    Ok(Promise::within("schemas", &promise, Duration::from_micros(10), governed / TIMES))
}

/// 100 versions of a schema of 200 properties, and one more that is compared with all of them.
fn many_versions(what: &str, change: impl Fn(u32, &mut Map<String, Value>)) -> anyhow::Result<Promise> {
    let version = |number: u32| {
        let mut properties: Map<String, Value> = (0..200)
            .map(|n| {
                let of = match n % 4 {
                    0 => json!({ "type": "string", "maxLength": 100 + n }),
                    1 => json!({ "type": "integer", "minimum": 0, "maximum": 1000 * n }),
                    2 => json!({ "type": ["string", "null"], "pattern": "^[a-z]+-[0-9]{4}$" }),
                    _ => json!({ "type": "array", "items": { "enum": ["a", "b", n] } }),
                };
                (format!("property{n}"), of)
            })
            .collect();
        change(number, &mut properties);
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": ["property0", "property1"],
            "additionalProperties": false,
        });
        let id = format!("event/Large/1.{number}.0").parse()?;
        let mode = CompatibilityMode::BackwardTransitive;
        anyhow::Ok(Schema::draft(id, nexus_core::Timestamp::UNIX_EPOCH, mode, Origin::Written, schema)?)
    };
    let mut earlier = Vec::new();
    for number in 0..100 {
        earlier.push(version(number)?.released());
    }
    let schemas: SchemaSet = earlier.into_iter().collect();
    let proposed = version(100)?;
    let took = median(|| {
        let started = Instant::now();
        black_box(schemas.judge(black_box(&proposed), None));
        started.elapsed()
    });
    let judgement = schemas.judge(&proposed, None);
    ensure!(judgement.is_accepted() && judgement.compared.len() == 100, "{:?}", judgement.objections);
    let promise = format!("R8.2: a schema of 200 properties beside 100 earlier versions {what}");
    Ok(Promise::within("schemas", &promise, Duration::from_millis(200), took))
}
