use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

/// A request that comes by.
#[derive(Clone, Copy, Debug)]
pub struct PassingRequest<'a> {
    /// What is asked for, such as `PutItem`: the end of its `x-amz-target`; empty where it has none.
    pub operation: &'a str,
    /// What comes with it.
    pub body: &'a [u8],
}

/// What is done to a request, or to its answer.
pub enum Fault {
    /// Nothing.
    None,
    /// It is answered at once with this status and body, and never arrives.
    Answer(u16, String),
    /// The connection is cut, and it never arrives.
    CutBefore,
    /// It is carried out, and the connection is cut before the answer.
    CutAfter,
    /// It arrives so much later.
    DelayBefore(Duration),
    /// It is carried out, and the answer comes so much later.
    DelayAfter(Duration),
    /// The answer, which is JSON, is changed.
    Rewrite(Box<dyn FnOnce(&mut Value) + Send>),
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Answer(..) => "Answer",
            Self::CutBefore => "CutBefore",
            Self::CutAfter => "CutAfter",
            Self::DelayBefore(_) => "DelayBefore",
            Self::DelayAfter(_) => "DelayAfter",
            Self::Rewrite(_) => "Rewrite",
        })
    }
}

type Plan = Box<dyn FnMut(PassingRequest<'_>) -> Fault + Send>;

/// Stands between a client of AWS and a stand-in, and does to each request what it is told. It listens on 127.0.0.1 alone; a connection serves
/// one request.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    is_over: Arc<AtomicBool>,
}

impl FaultProxy {
    /// Starts it before the server at `upstream`, such as `http://127.0.0.1:8000`. `plan` is asked about each request, one at a time.
    ///
    /// # Errors
    /// No port is free, or `upstream` is no such URL.
    pub fn start(
        upstream: &str,
        plan: impl FnMut(PassingRequest<'_>) -> Fault + Send + 'static,
    ) -> anyhow::Result<Self> {
        let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
        upstream.rsplit_once(':').with_context(|| format!("{upstream:?} is no host with a port"))?;
        let listener = TcpListener::bind("127.0.0.1:0").context("no port is free on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, plan) = (Arc::clone(&is_over), Arc::new(Mutex::new(Box::new(plan) as Plan)));
        thread::spawn(move || {
            for client in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { continue };
                let (plan, upstream) = (Arc::clone(&plan), upstream.clone());
                // Whoever is cut off is meant to be.
                thread::spawn(move || serve(client, &upstream, &plan).ok());
            }
        });
        Ok(Self { port, is_over })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut client: TcpStream, upstream: &str, plan: &Mutex<Plan>) -> io::Result<()> {
    let Some((head, body)) = message(&mut client)? else { return Ok(()) };
    let target = header(&head, "x-amz-target").unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default();
    let request = PassingRequest { operation, body: &body };
    let fault = (plan.lock().unwrap_or_else(PoisonError::into_inner))(request);
    match fault {
        Fault::Answer(status, body) => return client.write_all(&answer(status, body.as_bytes())),
        Fault::CutBefore => return Ok(()),
        Fault::DelayBefore(time) => thread::sleep(time),
        _ => {}
    }
    let (status, body) = forward(upstream, &head, &body)?;
    match fault {
        Fault::CutAfter => Ok(()),
        Fault::DelayAfter(time) => {
            thread::sleep(time);
            client.write_all(&answer(status, &body))
        }
        Fault::Rewrite(change) if status == 200 => {
            let mut value: Value = serde_json::from_slice(&body)?;
            change(&mut value);
            client.write_all(&answer(status, value.to_string().as_bytes()))
        }
        _ => client.write_all(&answer(status, &body)),
    }
}

fn forward(upstream: &str, head: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut server = TcpStream::connect(upstream)?;
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.is_empty()).collect();
    lines.retain(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = lines.join("\r\n") + "\r\nconnection: close\r\n\r\n";
    server.write_all(&[head.as_bytes(), body].concat())?;
    let broken = || io::Error::other("the server's answer is no HTTP");
    let (head, body) = message(&mut server)?.ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok((status, body))
}

fn answer(status: u16, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Told\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// The head and the body of a message; `None` where the other side has closed.
fn message(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let (mut read, mut part) = (Vec::new(), [0; 16 * 1_024]);
    let end = loop {
        if let Some(end) = find(&read, b"\r\n\r\n") {
            break end + 4;
        }
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(None);
        }
        read.extend_from_slice(&part[..count]);
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut body = read.split_off(end);
    let length = header(&head, "content-length").and_then(|length| length.parse::<usize>().ok());
    let is_chunked = header(&head, "transfer-encoding").is_some_and(|encoding| encoding.contains("chunked"));
    loop {
        if is_chunked {
            if let Some(whole) = unchunked(&body) {
                return Ok(Some((head, whole)));
            }
        } else if body.len() >= length.unwrap_or(0) {
            return Ok(Some((head, body)));
        }
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(None);
        }
        body.extend_from_slice(&part[..count]);
    }
}

/// The body, if all of its chunks are there.
fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = find(body, b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        body = &body[end + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(body.get(..size)?);
        body = body.get(size + 2..)?;
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
