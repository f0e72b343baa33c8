//! Functions for AWS Lambda: `relay`, called by the stream of a table of events, `stream`, called by a Kinesis stream, and `queue`, called by a queue. Which of
//! them it is says the environment variable `FUNCTION`; `TABLE`, `STREAM` and `TOPIC_ARN` name the others. deploy/buses.yaml has roles and
//! mappings for a stream and for a queue; all need the policy Consumer of deploy/dynamodb.yaml besides, and the relay Publisher of deploy/buses.yaml.

mod functions;

use std::env;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use functions::Failure;
use lambda_runtime::{Context, LambdaEvent, service_fn};
use nexus_core::{EventPublisher, EventStore, PathName, ReadModelStore, Routes};
use nexus_dynamodb::{DynamoConfig, DynamoProjections, DynamoStore};
use nexus_kinesis::{KinesisConfig, KinesisPublisher};
use nexus_sns::{SnsConfig, SnsPublisher};

/// What is left of a function's time is for stopping what runs, and for the answer.
const SPARE: Duration = Duration::from_secs(6);

fn patience(context: &Context) -> Duration {
    context.deadline().duration_since(SystemTime::now()).unwrap_or_default().saturating_sub(SPARE)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let config = DynamoConfig::new(&env::var("TABLE")?)?;
    let read_models: Arc<dyn ReadModelStore<_>> =
        Arc::new(DynamoProjections::open_with(config.clone()).await?);
    match env::var("FUNCTION")?.as_str() {
        "relay" => {
            let (fast, cheap) = (PathName::new("fast")?, PathName::new("cheap")?);
            let kinesis =
                KinesisPublisher::open(KinesisConfig::new(&env::var("STREAM")?)?.source("/shop")?).await?;
            let sns =
                SnsPublisher::open(SnsConfig::default().source("/shop")?, &env::var("TOPIC_ARN")?.parse()?)
                    .await?;
            let buses: [(PathName, Arc<dyn EventPublisher>); 2] =
                [(fast, Arc::new(kinesis)), (cheap, Arc::new(sns))];
            let routes: Routes = serde_json::from_str(
                r#"{"default": "cheap", "rules": [{"to": "fast", "types": ["OrderPaid"]}]}"#,
            )?;
            let call = |event: LambdaEvent<_>| {
                let (payload, context) = event.into_parts();
                functions::relayed(payload, &buses, &routes, read_models.clone(), patience(&context))
            };
            lambda_runtime::run(service_fn(call)).await
        }
        "stream" => {
            let store: Arc<dyn EventStore> = Arc::new(DynamoStore::open_with(config).await?);
            let call = |event: LambdaEvent<_>| {
                let (payload, context) = event.into_parts();
                let (store, read_models) = (store.clone(), read_models.clone());
                functions::projected_from_stream(payload, store, read_models, patience(&context))
            };
            lambda_runtime::run(service_fn(call)).await
        }
        "queue" => {
            let call = |event: LambdaEvent<_>| {
                let (payload, context) = event.into_parts();
                functions::projected_from_queue(payload, read_models.clone(), patience(&context))
            };
            lambda_runtime::run(service_fn(call)).await
        }
        other => Err(format!("FUNCTION is {other:?}: expected relay, stream or queue").into()),
    }
}
