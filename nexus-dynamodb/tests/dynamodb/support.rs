//! Tables of its own for each test.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};

use nexus_dynamodb::aws_config::{BehaviorVersion, SdkConfig};
use nexus_dynamodb::{DynamoConfig, TableOptions, create_tables};

/// A server that answers as DynamoDB does.
pub(crate) trait Server: Debug + Send + Sync + 'static {
    /// Names where it is.
    const VARIABLE: &'static str;

    fn endpoint() -> String {
        let missing = |_| panic!("{} is not set: run the tests with `cargo xtask test`", Self::VARIABLE);
        std::env::var(Self::VARIABLE).unwrap_or_else(missing)
    }
}

/// The faster one; or whatever is named there, such as DynamoDB Local.
#[derive(Debug)]
pub(crate) struct Dynoxide;

impl Server for Dynoxide {
    const VARIABLE: &'static str = "DYNAMODB_ENDPOINT";
}

/// The second opinion.
#[derive(Debug)]
pub(crate) struct Ministack;

impl Server for Ministack {
    const VARIABLE: &'static str = "MINISTACK_ENDPOINT";
}

/// Any credentials are good for a stand-in.
pub(crate) fn sdk_config() -> SdkConfig {
    use aws_sdk_dynamodb::config::{Credentials, Region, SharedCredentialsProvider};
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
            "any", "any", None, None, "tests",
        )))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build()
}

/// A configuration whose tables nobody else has.
pub(crate) fn config<S: Server>() -> DynamoConfig {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{}-{number}", std::process::id());
    DynamoConfig::new(&name).expect("a valid name").sdk_config(sdk_config()).endpoint(S::endpoint())
}

/// The same with its tables made.
pub(crate) async fn house<S: Server>() -> DynamoConfig {
    let config = config::<S>();
    create_tables(&config, &TableOptions::default()).await.expect("the tables can be made");
    config
}
