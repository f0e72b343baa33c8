use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{
    AppendBatch, AppendCondition, Appended, Command, CommandHandler, CommandId, CommandOptions, Conflict,
    EventId, EventLog, EventStore, EventType, ExecuteError, ExpectedVersion, NewEvent, Outcome, Payload,
    Position, Query, ReadOptions, Receipt, Repository, RepositoryError, StoreError, StreamId, StreamVersion,
    Tag, Timestamp,
};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use tokio::time::sleep;

use super::Orders;
use crate::account::{Account, AskTransfer, By, CLOSED, Deposit, Refused, Withdraw};
use crate::history::{self, Answer, Expected, Notes, Op, Part, Stored};

type Log = Arc<dyn EventLog>;

/// So many accounts and ledgers there are: few, so that clients are in each other's way.
const ACCOUNTS: u32 = 8;
const LEDGERS: u32 = 6;

/// Asks for one thing after the other.
pub(super) struct Client {
    number: u32,
    repository: Repository<Log>,
    notes: Arc<Notes>,
    orders: Arc<Orders>,
    rng: StdRng,
    asked: u64,
    /// What it asked for before, to ask for it again.
    earlier: Vec<(CommandId, Op)>,
    /// As far as it knows the streams, and the log.
    versions: HashMap<String, u64>,
    head: u64,
}

impl Client {
    pub(super) fn new(
        number: u32,
        repository: Repository<Log>,
        notes: Arc<Notes>,
        orders: Arc<Orders>,
        rng: StdRng,
    ) -> Self {
        let (asked, earlier, versions, head) = Default::default();
        Self { number, repository, notes, orders, rng, asked, earlier, versions, head }
    }

    /// What the process asked for when it lived last, and does not know the answer to.
    pub(super) fn left_unanswered(orders: &Orders) -> anyhow::Result<Vec<(CommandId, Op)>> {
        let Some(last) = orders.life.checked_sub(1) else { return Ok(Vec::new()) };
        let path = history::path(&orders.directory, orders.process, last);
        if !path.exists() {
            return Ok(Vec::new());
        }
        let requests = history::read(&path)?.into_iter();
        Ok(requests.filter(|request| request.answered.is_none()).map(|of| (of.command, of.op)).collect())
    }

    pub(super) async fn run(mut self, left: Vec<(CommandId, Op)>) {
        for (command, op) in left {
            self.request(command, op).await;
        }
        while !self.orders.is_healed() {
            let (command, op) = self.next();
            self.request(command, op).await;
            if self.rng.random_ratio(1, 4) {
                sleep(Duration::from_millis(self.rng.random_range(0..20))).await;
            }
        }
    }

    /// Something new, or something from before: a client that has no answer asks again, and one that has may.
    fn next(&mut self) -> (CommandId, Op) {
        if self.rng.random_ratio(1, 8)
            && let Some(again) = self.earlier.choose(&mut self.rng)
        {
            return again.clone();
        }
        self.asked += 1;
        let Orders { seed, process, life, .. } = *self.orders;
        let name = format!("{seed} {process} {life} {} {}", self.number, self.asked);
        let command = CommandId::named(Timestamp::now(), &name);
        let request = (command, self.draw(command));
        if self.earlier.len() == 16 {
            self.earlier.remove(0);
        }
        self.earlier.push(request.clone());
        request
    }

    fn draw(&mut self, command: CommandId) -> Op {
        let rng = &mut self.rng;
        let account = rng.random_range(0..ACCOUNTS);
        let cents = rng.random_range(1..100);
        match rng.random_range(0..20) {
            0..4 => Op::Deposit { account, cents },
            4..8 => Op::Withdraw { account, cents },
            8 => {
                let closed = rng.random_ratio(1, 4);
                let to = if closed { CLOSED } else { rng.random_range(0..ACCOUNTS) };
                // Those of one account are told apart by the command.
                let transfer = u64::from_be_bytes(command.as_bytes()[8..].try_into().unwrap_or_default());
                Op::AskTransfer { from: account, to, cents, transfer }
            }
            9..13 => self.together(),
            13..16 => {
                // Several clients want the same name at the same time.
                let name = history::now() / 50_000_000;
                let after = if rng.random_ratio(1, 2) { 0 } else { self.head };
                Op::Claim { name, only_if_free: rng.random_ratio(5, 6).then_some(after) }
            }
            16..18 => Op::Head,
            _ => {
                let stream = match rng.random_ratio(1, 2) {
                    true => format!("account-{account}"),
                    false => format!("ledger-{}", rng.random_range(0..LEDGERS)),
                };
                Op::Read { stream }
            }
        }
    }

    fn together(&mut self) -> Op {
        let first = self.rng.random_range(0..LEDGERS);
        let parts = (0..self.rng.random_range(1..4)).map(|number| {
            let stream = format!("ledger-{}", (first + number) % LEDGERS);
            let known = self.versions.get(&stream).copied();
            let expected = match (self.rng.random_range(0..6), known) {
                (0, _) => Expected::NoStream,
                (1, _) => Expected::StreamExists,
                (2 | 3, Some(version)) => Expected::Exact(version),
                _ => Expected::Any,
            };
            Part { stream, expected, events: self.rng.random_range(1..4) }
        });
        Op::Together { parts: parts.collect() }
    }

    /// Notes that it asks, asks, and notes the answer.
    async fn request(&mut self, command: CommandId, op: Op) {
        let Ok(request) = self.notes.asked(command, &op) else { return };
        let answer = self.ask(command, &op).await;
        match &answer {
            Answer::Stored { streams, position, .. } => {
                for Stored { stream, first, events } in streams {
                    self.versions.insert(stream.clone(), first + events.len() as u64 - 1);
                }
                self.head = self.head.max(position.unwrap_or_default());
            }
            Answer::Conflict { stream, actual: Some(actual), .. } => {
                self.versions.insert(stream.clone(), *actual);
            }
            Answer::Head { position } => self.head = position.unwrap_or_default(),
            _ => {}
        }
        let _ = self.notes.answered(request, answer);
    }

    async fn ask(&self, id: CommandId, op: &Op) -> Answer {
        let by = By::Client;
        match op {
            Op::Deposit { account, cents } => self.execute(id, *account, Deposit { cents: *cents, by }).await,
            Op::Withdraw { account, cents } => {
                self.execute(id, *account, Withdraw { cents: *cents, by }).await
            }
            &Op::AskTransfer { from, to, cents, transfer } => {
                self.execute(id, from, AskTransfer { transfer, to, cents }).await
            }
            Op::Together { parts } => self.append(together(id, parts)).await,
            Op::Claim { name, only_if_free } => self.append(claim(id, *name, *only_if_free)).await,
            Op::Read { stream } => self.read(stream).await,
            Op::Head => match self.repository.store().head().await {
                Ok(position) => Answer::Head { position: position.map(Position::get) },
                Err(error) => of_store(&error),
            },
        }
    }

    async fn execute<C: Command>(&self, id: CommandId, account: u32, command: C) -> Answer
    where
        Account: CommandHandler<C, Rejection = Refused>,
    {
        let options = CommandOptions::default().id(id);
        match self.repository.execute_with::<Account, _>(&account, command, options).await {
            Ok(receipt) => of_receipt(receipt),
            Err(ExecuteError::Rejected(Refused { cents, events })) => Answer::Refused { cents, events },
            Err(ExecuteError::Failed(RepositoryError::Contended { .. })) => Answer::Contended,
            Err(ExecuteError::Failed(RepositoryError::Store(error))) => of_store(&error),
            Err(error) => Answer::Wrong { error: told(&error) },
        }
    }

    async fn append(&self, batch: anyhow::Result<AppendBatch>) -> Answer {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Answer::Wrong { error: error.to_string() },
        };
        match self.repository.store().append(batch).await {
            Ok(appended) => {
                let is_repeat = matches!(appended, Appended::Repeated(_));
                let commit = appended.into_commit();
                let streams = commit.streams.into_iter().map(|part| Stored {
                    stream: part.stream.to_string(),
                    first: part.first.get(),
                    events: part.events,
                });
                let position = commit.position.map(Position::get);
                Answer::Stored { streams: streams.collect(), position, is_repeat }
            }
            Err(error) => of_store(&error),
        }
    }

    async fn read(&self, stream: &str) -> Answer {
        let Ok(stream) = stream.parse::<StreamId>() else {
            return Answer::Wrong { error: "no stream".into() };
        };
        let events = self.repository.store().read(&stream, ReadOptions::forwards());
        match events.map_ok(|event| event.version().get()).try_collect().await {
            Ok(versions) => Answer::Read { versions },
            Err(error) => of_store(&error),
        }
    }
}

fn of_receipt(receipt: Receipt) -> Answer {
    let last = receipt.version.map_or(0, StreamVersion::get);
    let first = (last + 1).saturating_sub(receipt.events.len() as u64);
    let stored = Stored { stream: receipt.stream.to_string(), first, events: receipt.events };
    let is_repeat = receipt.outcome == Outcome::Repeated;
    Answer::Stored { streams: vec![stored], position: receipt.position.map(Position::get), is_repeat }
}

fn of_store(error: &StoreError) -> Answer {
    match error {
        StoreError::Conflict(Conflict::Version { stream, expected, actual }) => Answer::Conflict {
            stream: stream.to_string(),
            expected: expected.to_string(),
            actual: actual.map(StreamVersion::get),
        },
        StoreError::Conflict(Conflict::Condition { position }) => Answer::Ruled { position: position.get() },
        StoreError::Unavailable { .. } => Answer::Unknown { error: told(error) },
        error => Answer::Wrong { error: told(error) },
    }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

fn event(command: CommandId, stream: &StreamId, index: u32, name: &str) -> anyhow::Result<NewEvent> {
    let id = EventId::derived(command, stream, index);
    Ok(NewEvent::new(id, EventType::new(name)?, Payload::of(&index)?))
}

fn together(command: CommandId, parts: &[Part]) -> anyhow::Result<AppendBatch> {
    let mut batch: Option<AppendBatch> = None;
    for Part { stream, expected, events } in parts {
        let stream: StreamId = stream.parse()?;
        let events: Vec<_> =
            (0..*events).map(|index| event(command, &stream, index, "Noted")).collect::<Result<_, _>>()?;
        let expected = match *expected {
            Expected::Any => ExpectedVersion::Any,
            Expected::NoStream => ExpectedVersion::NoStream,
            Expected::StreamExists => ExpectedVersion::StreamExists,
            Expected::Exact(version) => ExpectedVersion::Exact(StreamVersion::try_from(version)?),
        };
        batch = Some(match batch {
            None => AppendBatch::new(stream, expected, events)?,
            Some(batch) => batch.and(stream, expected, events)?,
        });
    }
    batch.ok_or_else(|| anyhow::anyhow!("nothing to append"))
}

fn claim(command: CommandId, name: u64, only_if_free: Option<u64>) -> anyhow::Result<AppendBatch> {
    let stream = StreamId::new("claim", command)?;
    let tag = Tag::new(format!("name:{name}"))?;
    let claimed = event(command, &stream, 0, "Claimed")?.with_tags([tag.clone()]);
    let batch = AppendBatch::new(stream, ExpectedVersion::NoStream, vec![claimed])?;
    Ok(match only_if_free {
        None => batch,
        Some(after) => {
            batch.when(AppendCondition { query: Query::tags([tag]), after: Position::try_from(after).ok() })
        }
    })
}
