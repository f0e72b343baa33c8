//! The command on a registry of AWS Glue, at its stand-in.

use std::process::{Command, Output};

use serde_json::Value;

use crate::PAID;
use crate::copy::Copy;

/// A registry of one's own: the Glue registry is made by the library.
struct Glue {
    copy: Copy,
    endpoint: String,
    registry: String,
}

impl Glue {
    fn new(name: &str) -> Self {
        let endpoint = std::env::var("GLUE_ENDPOINT").unwrap_or_else(|_| {
            panic!("GLUE_ENDPOINT names no Glue: run `cargo xtask test`, which starts one")
        });
        let glue =
            Self { copy: Copy::new(), endpoint, registry: format!("glue:{name}-{}", std::process::id()) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let config = aws_sdk_glue::Config::builder()
                .behavior_version(aws_sdk_glue::config::BehaviorVersion::latest())
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .region(aws_sdk_glue::config::Region::new("eu-central-1"))
                .credentials_provider(aws_sdk_glue::config::Credentials::for_tests())
                .endpoint_url(&glue.endpoint);
            let client = aws_sdk_glue::Client::from_conf(config.build());
            let name = glue.registry.trim_start_matches("glue:");
            nexus_governance::SchemasInGlue::new(client, name).create().await.unwrap();
        });
        glue
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.at(self.copy.command(arguments).args(["--schemas", &self.registry]))
    }

    fn at(&self, command: &mut Command) -> Output {
        command
            .env("AWS_ENDPOINT_URL", &self.endpoint)
            .env("AWS_REGION", "eu-central-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .output()
            .unwrap()
    }

    fn told(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        text(&output.stdout) + &text(&output.stderr)
    }
}

#[test]
fn schemas_are_registered_checked_listed_shown_and_compared_in_glue() {
    let glue = Glue::new("command");
    assert!(glue.told(&["register", PAID], 0).contains("registered: event/OrderPaid/1.0.0, sha256:"));
    assert!(glue.told(&["register", PAID], 0).contains("was registered already: event/OrderPaid/1.0.0"));
    glue.copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
        schema["properties"]["cents"]["minimum"] = 5.into();
    });
    let narrower = "schemas/event/OrderPaid/1.1.0.json";
    let refused = glue.told(&["register", narrower], 1);
    assert!(refused.contains("error[incompatible]: event/OrderPaid/1.1.0: "), "{refused}");
    glue.copy.draft("event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0", |schema| {
        schema["description"] = "paid, in full or in part".into();
    });
    glue.told(&["register", narrower], 0);
    // The lock file tells of all that the program has, which is not here.
    let told = glue.told(&["check"], 1);
    assert!(told.contains("2 released schemas, 1 comparison: "), "{told}");
    assert!(
        told.contains("the program has the event OrderPlaced of version 1, and no schema is registered"),
        "{told}"
    );
    assert_eq!(glue.told(&["list"], 0).lines().count(), 2);
    let shown: Value = serde_json::from_str(&glue.told(&["show", "event/OrderPaid"], 0)).unwrap();
    assert_eq!(shown["$id"], "nexus:event/OrderPaid/1.1.0");
    let same = glue.told(&["diff", "event/OrderPaid/1.0.0", "event/OrderPaid/1.1.0"], 0);
    assert!(same.contains("backward: compatible"), "{same}");
    // A directory against Glue: what is there has to be here.
    let against_glue = || -> Vec<String> {
        let arguments = ["check", "--against", &glue.registry, "--format", "json"];
        let report: Value =
            serde_json::from_slice(&glue.at(&mut glue.copy.command(&arguments)).stdout).unwrap();
        let findings = report["findings"].as_array().unwrap().iter();
        findings
            .map(|found| format!("{} {}", found["rule"].as_str().unwrap(), found["schema"].as_str().unwrap()))
            .collect()
    };
    // It was released there, and is a draft here.
    assert_eq!(against_glue(), ["released-schema-altered event/OrderPaid/1.1.0"]);
    std::fs::write(glue.copy.path(narrower), glue.told(&["show", "event/OrderPaid/1.1.0"], 0)).unwrap();
    assert!(against_glue().is_empty());
    let confused = glue.told(&["check", "--against", "main"], 3);
    assert!(confused.contains("is in no git repository"), "{confused}");
}

#[test]
fn a_registry_that_glue_does_not_have_is_named() {
    let glue = Glue { registry: "glue:nexus-none".into(), ..Glue::new("missing") };
    let told = glue.told(&["list"], 3);
    assert!(told.contains("could not list the schemas of the Glue registry nexus-none"), "{told}");
    assert!(told.contains("nexus-none is not found") || told.contains("EntityNotFound"), "{told}");
}
