use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// So long a stack may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a CloudFormation template has made on a stand-in, which takes any signature.
#[derive(Debug)]
pub struct Stack {
    outputs: BTreeMap<String, String>,
}

impl Stack {
    /// Makes it, and waits until it is there.
    ///
    /// # Errors
    /// The template cannot be read, or the stack is not made within a minute; with what the stand-in said.
    pub fn make(
        endpoint: &str,
        name: &str,
        template: &Path,
        parameters: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let text = fs::read_to_string(template).with_context(|| format!("no {}", template.display()))?;
        let mut fields: Vec<(String, &str)> = [
            ("Action", "CreateStack"),
            ("Version", "2010-05-15"),
            ("StackName", name),
            ("TemplateBody", &text),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        for (number, (key, value)) in (1..).zip(parameters) {
            fields.push((format!("Parameters.member.{number}.ParameterKey"), key));
            fields.push((format!("Parameters.member.{number}.ParameterValue"), value));
        }
        let made = ask_by_form(endpoint, "cloudformation", &fields)?;
        ensure!(made.contains("<StackId>"), "the stack is not made: {made}");
        let describe = [("Action", "DescribeStacks"), ("Version", "2010-05-15"), ("StackName", name)];
        let describe = describe.map(|(key, value)| (key.to_owned(), value));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = ask_by_form(endpoint, "cloudformation", &describe)?;
            if told.contains("<StackStatus>CREATE_COMPLETE<") {
                return Ok(Self { outputs: outputs(&told) });
            }
            ensure!(told.contains("<StackStatus>CREATE_IN_PROGRESS<"), "the stack is not made: {told}");
            ensure!(Instant::now() < deadline, "the stack is not made after {PATIENCE:?}");
            sleep(Duration::from_millis(100));
        }
    }

    /// What the template says of what it has made.
    ///
    /// # Errors
    /// It has no such output.
    pub fn output(&self, name: &str) -> anyhow::Result<&str> {
        let has = || format!("there is no output {name}, but {:?}", self.outputs.keys());
        self.outputs.get(name).map(String::as_str).with_context(has)
    }
}

/// Asks a service of a stand-in that takes forms, such as `cloudformation` or `monitoring`; answers what it says.
///
/// # Errors
/// The stand-in does not answer.
pub fn ask_by_form(endpoint: &str, service: &str, fields: &[(String, &str)]) -> anyhow::Result<String> {
    let form: Vec<String> = fields.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
    let (body, host) = (form.join("&"), endpoint.trim_start_matches("http://"));
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         authorization: AWS4-HMAC-SHA256 Credential=any/20261126/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=any\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let mut connection = TcpStream::connect(host).context("the stand-in does not answer")?;
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer)
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

fn outputs(told: &str) -> BTreeMap<String, String> {
    let between = |text: &str, tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0.to_owned())
    };
    let output = |text: &str| Some((between(text, "OutputKey")?, between(text, "OutputValue")?));
    told.split("<OutputKey>").skip(1).filter_map(|text| output(&format!("<OutputKey>{text}"))).collect()
}
