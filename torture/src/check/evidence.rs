use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::Context;
use futures::TryStreamExt;
use nexus_core::{
    Collection, CommandId, EventId, KeyRange, ProjectionName, Projections, Query, ReadOptions, RecordedEvent,
    Repository, SagaId, SagaState, Sagas,
};

use crate::account::{AccountEvent, Transfer};
use crate::history::{self, Answer, Op, Request};
use crate::place::Parts;
use crate::worker::{BALANCES, Balance, Effect};
use nexus_core::DomainEvent;

/// Everything that is known when all is over.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// By process and life.
    pub(crate) requests: Vec<Request>,
    /// The log, in its order.
    pub(crate) log: Vec<RecordedEvent>,
    /// Each stream, as it is read by itself.
    pub(crate) streams: HashMap<String, Vec<RecordedEvent>>,
    pub(crate) readers: Vec<Seen>,
    pub(crate) balances: BTreeMap<String, Balance>,
    pub(crate) effects: Vec<Vec<Effect>>,
    /// The sagas that were asked for, by their transfers.
    pub(crate) sagas: BTreeMap<u64, Option<SagaState>>,
}

/// What one reader saw.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) who: String,
    /// The position that it started after.
    pub(crate) start: u64,
    pub(crate) only_accounts: bool,
    pub(crate) events: Vec<(u64, EventId)>,
}

/// How much was done.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: usize,
    repeats: usize,
    unknown: usize,
    refused: usize,
    conflicts: usize,
    pub(crate) events: usize,
    seen: usize,
    transfers: usize,
    undone: usize,
}

impl Evidence {
    pub(crate) async fn collect(parts: &Parts, directory: &Path) -> anyhow::Result<Self> {
        let log = parts.log.read_all(Query::all(), ReadOptions::forwards());
        let log = log.try_collect().await.context("the log cannot be read")?;
        let mut evidence = Self { log, ..Self::default() };
        let mut names: Vec<_> = evidence.log.iter().map(|event| event.stream().clone()).collect();
        names.sort_unstable();
        names.dedup();
        for stream in names {
            let events = parts.log.read(&stream, ReadOptions::forwards()).try_collect().await?;
            evidence.streams.insert(stream.to_string(), events);
        }
        let mut files: Vec<_> = fs::read_dir(directory)?.collect::<Result<_, _>>()?;
        files.sort_by_key(fs::DirEntry::path);
        for file in files {
            let name = file.file_name().to_string_lossy().into_owned();
            let path = file.path();
            if name.starts_with("requests-") {
                evidence.requests.extend(history::read(&path)?);
            } else if name.starts_with("seen-") {
                evidence.readers.extend(Seen::read(name, &fs::read(&path)?));
            } else if name.starts_with("effects-") {
                let text = fs::read_to_string(&path)?;
                // The last may have been cut off.
                evidence
                    .effects
                    .push(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect());
            }
        }
        evidence.read_models(parts).await?;
        Ok(evidence)
    }

    async fn read_models(&mut self, parts: &Parts) -> anyhow::Result<()> {
        let projections = Projections::new(parts.log.clone(), parts.read_models.clone());
        let (name, accounts) = (ProjectionName::new(BALANCES)?, Collection::new(BALANCES)?);
        for document in projections.documents(&name, &accounts, &KeyRange::all()).await? {
            self.balances.insert(document.key.to_string(), document.content.decode()?);
        }
        let repository = Repository::new(parts.log.clone());
        let sagas = Sagas::of::<Transfer>(&repository, parts.read_models.clone())?;
        for transfer in self.transfers() {
            let state = sagas.state(&SagaId::new(transfer)?).await?;
            self.sagas.insert(transfer, state);
        }
        Ok(())
    }

    /// The transfers that were asked for, by what is stored.
    fn transfers(&self) -> Vec<u64> {
        let asked = |event| match event {
            AccountEvent::TransferAsked { transfer, .. } => Some(transfer),
            _ => None,
        };
        self.accounts().filter_map(|(_, event)| asked(event)).collect()
    }

    /// What happened to accounts, in the order of the log.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (&RecordedEvent, AccountEvent)> {
        self.log.iter().filter(|event| event.stream().category() == "account").flat_map(|event| {
            let decoded = AccountEvent::if_known(event).into_iter().flatten();
            decoded.map(move |decoded| (event, decoded)).collect::<Vec<_>>()
        })
    }

    /// The stored events of each command.
    pub(crate) fn by_command(&self) -> HashMap<CommandId, Vec<&RecordedEvent>> {
        let mut by_command: HashMap<CommandId, Vec<&RecordedEvent>> = HashMap::new();
        for event in &self.log {
            if let Some(command) = event.metadata().command() {
                by_command.entry(command).or_default().push(event);
            }
        }
        by_command
    }

    pub(crate) fn counts(&self) -> Counts {
        let answers = |is: fn(&Answer) -> bool| {
            let of = self.requests.iter().filter_map(|request| request.answered.as_ref());
            of.filter(|(_, answer)| is(answer)).count()
        };
        Counts {
            requests: self.requests.len(),
            repeats: answers(|answer| matches!(answer, Answer::Stored { is_repeat: true, .. })),
            unknown: answers(|answer| matches!(answer, Answer::Unknown { .. }))
                + self.requests.iter().filter(|request| request.answered.is_none()).count(),
            refused: answers(|answer| matches!(answer, Answer::Refused { .. })),
            conflicts: answers(|answer| matches!(answer, Answer::Conflict { .. } | Answer::Ruled { .. })),
            events: self.log.len(),
            seen: self.readers.iter().map(|seen| seen.events.len()).sum(),
            transfers: self.sagas.len(),
            undone: self.sagas.values().filter(|state| **state == Some(SagaState::Compensated)).count(),
        }
    }
}

impl Seen {
    fn read(who: String, bytes: &[u8]) -> Option<Self> {
        let (start, rest) = bytes.split_first_chunk::<8>()?;
        let start = u64::from_le_bytes(*start);
        let events = rest.chunks_exact(24).filter_map(|seen| {
            let (position, id) = seen.split_first_chunk::<8>()?;
            Some((u64::from_le_bytes(*position), EventId::from_bytes(id.try_into().ok()?)))
        });
        Some(Self { who, start: start >> 1, only_accounts: start & 1 == 1, events: events.collect() })
    }
}

/// Whether it can store something.
pub(crate) fn stores(op: &Op) -> bool {
    !matches!(op, Op::Read { .. } | Op::Head)
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.repeats += other.repeats;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.conflicts += other.conflicts;
        self.events += other.events;
        self.seen += other.seen;
        self.transfers += other.transfers;
        self.undone += other.undone;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, repeats, unknown, refused, conflicts, events, seen, transfers, undone } = self;
        write!(
            f,
            "{requests} requests ({unknown} whose answer was lost, {repeats} repeats, {refused} refused, {conflicts} conflicts), \
             {events} events, {seen} seen by readers, {transfers} transfers ({undone} undone)"
        )
    }
}
