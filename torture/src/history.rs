//! What clients asked for and were answered, as they noted it themselves: before they asked, and when they knew.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nexus_core::{CommandId, EventId};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Op {
    Deposit {
        account: u32,
        cents: u64,
    },
    Withdraw {
        account: u32,
        cents: u64,
    },
    AskTransfer {
        from: u32,
        to: u32,
        cents: u64,
        transfer: u64,
    },
    /// Appends to several streams at once.
    Together {
        parts: Vec<Part>,
    },
    /// Takes a name, if nobody took it after this position; or whether somebody did or not.
    Claim {
        name: u64,
        only_if_free: Option<After>,
    },
    /// Reads a stream.
    Read {
        stream: String,
    },
    /// Asks where the log ends.
    Head,
}

/// What is appended to one stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) stream: String,
    pub(crate) expected: Expected,
    pub(crate) events: u32,
}

/// Up to where a client knows the log; 0 where it knows nothing.
pub(crate) type After = u64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expected {
    Any,
    NoStream,
    StreamExists,
    Exact(u64),
}

/// What it was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Stored {
        streams: Vec<Stored>,
        position: Option<u64>,
        is_repeat: bool,
    },
    /// Decided by the domain, on this state.
    Refused {
        cents: u64,
        events: u64,
    },
    Conflict {
        stream: String,
        expected: String,
        actual: Option<u64>,
    },
    Ruled {
        position: u64,
    },
    /// Others were first each time; nothing was stored.
    Contended,
    /// It may have been done.
    Unknown {
        error: String,
    },
    /// Something that must never be answered.
    Wrong {
        error: String,
    },
    Read {
        versions: Vec<u64>,
    },
    Head {
        position: Option<u64>,
    },
}

/// What was stored in one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) stream: String,
    pub(crate) first: u64,
    pub(crate) events: Vec<EventId>,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Of the machine's clock that never goes back, in nanoseconds.
    pub(crate) at: u64,
    /// Which request: repeats of a command are requests of their own.
    pub(crate) request: u64,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum What {
    /// With the id that repeats have, too.
    Asked {
        command: CommandId,
        op: Op,
    },
    Answered(Answer),
}

/// A request, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) command: CommandId,
    pub(crate) op: Op,
    pub(crate) asked_at: u64,
    /// None where the process died, or was stopped, before it knew.
    pub(crate) answered: Option<(u64, Answer)>,
}

/// Nanoseconds of the clock that all processes of the machine share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Where a process notes it. Each line is one write: it is there when the process is killed.
#[derive(Debug)]
pub(crate) struct Notes(Mutex<(File, u64)>);

impl Notes {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Mutex::new((file, 0))))
    }

    /// Notes a request before it is made; its number goes with the answer.
    pub(crate) fn asked(&self, command: CommandId, op: &Op) -> io::Result<u64> {
        let mut notes = self.0.lock().map_err(|_| io::Error::other("a writer panicked"))?;
        notes.1 += 1;
        let request = notes.1;
        let what = What::Asked { command, op: op.clone() };
        write(&mut notes.0, &Line { at: now(), request, what })?;
        Ok(request)
    }

    pub(crate) fn answered(&self, request: u64, answer: Answer) -> io::Result<()> {
        let at = now();
        let mut notes = self.0.lock().map_err(|_| io::Error::other("a writer panicked"))?;
        write(&mut notes.0, &Line { at, request, what: What::Answered(answer) })
    }
}

fn write(file: &mut File, line: &Line) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    file.write_all(&text)
}

/// All requests that a process has noted, in the order it made them.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Request>> {
    let mut requests: Vec<Request> = Vec::new();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        // The last may have been cut off: nothing was asked yet then.
        let Ok(Line { at, request, what }) = serde_json::from_slice(&line?) else { continue };
        match what {
            What::Asked { command, op } => {
                requests.push(Request { command, op, asked_at: at, answered: None });
            }
            What::Answered(answer) => {
                let index = usize::try_from(request)?.checked_sub(1);
                let asked = index.and_then(|index| requests.get_mut(index));
                if let Some(asked) = asked {
                    asked.answered = Some((at, answer));
                }
            }
        }
    }
    Ok(requests)
}

/// The notes of one life of a process.
pub(crate) fn path(directory: &Path, process: u32, life: u32) -> PathBuf {
    directory.join(format!("requests-{process}-{life}.jsonl"))
}
