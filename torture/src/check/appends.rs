use std::collections::HashMap;

use nexus_core::{CommandId, EventId, EventType, RecordedEvent, StreamId};

use super::Evidence;
use super::evidence::stores;
use crate::history::{Answer, Expected, Op, Part, Request, Stored};

/// What was answered is stored as it was answered; what was refused is not; what nobody knows is stored whole or not at all; and nothing twice.
pub(super) fn check(evidence: &Evidence) -> Vec<String> {
    let mut checking = Checking::new(evidence);
    checking.commands_have_one_effect();
    for request in &evidence.requests {
        match &request.answered {
            Some((_, answer)) => checking.answer(request, answer),
            None => checking.whole_or_not(request),
        }
    }
    checking.refused();
    checking.claims();
    checking.times();
    checking.wrong
}

struct Checking<'a> {
    evidence: &'a Evidence,
    by_id: HashMap<EventId, &'a RecordedEvent>,
    by_command: HashMap<CommandId, Vec<&'a RecordedEvent>>,
    /// What each command was answered that stored something.
    first: HashMap<CommandId, &'a [Stored]>,
    wrong: Vec<String>,
}

impl<'a> Checking<'a> {
    fn new(evidence: &'a Evidence) -> Self {
        let by_id = evidence.log.iter().map(|event| (event.id(), event)).collect();
        let by_command = evidence.by_command();
        Self { evidence, by_id, by_command, first: HashMap::new(), wrong: Vec::new() }
    }

    /// A command has one event, or was made void and has none.
    fn commands_have_one_effect(&mut self) {
        for (command, events) in &self.by_command {
            if events.iter().all(|event| event.event_type().as_str() == EventType::VOIDED) {
                continue;
            }
            if events.len() > 1 {
                let places: Vec<_> =
                    events.iter().map(|event| format!("{} {}", event.stream(), event.version())).collect();
                self.wrong.push(format!("command {command} took effect more than once: {places:?}"));
            }
        }
    }

    fn answer(&mut self, request: &'a Request, answer: &'a Answer) {
        match answer {
            Answer::Stored { streams, position, .. } => self.stored(request, streams, *position),
            Answer::Unknown { .. } => self.whole_or_not(request),
            // A repeat may be refused where the first was stored, only if nothing of it is stored.
            Answer::Refused { .. } | Answer::Contended | Answer::Conflict { .. } | Answer::Ruled { .. } => {
                self.was_not_stored_before(request);
                if let Answer::Conflict { stream, actual, .. } = answer {
                    self.conflict(request, stream, *actual);
                }
            }
            Answer::Wrong { error } => {
                self.wrong.push(format!("{:?} was answered: {error}", request.op));
            }
            Answer::Read { versions } => self.read(request, versions),
            Answer::Head { .. } => {}
        }
    }

    fn stored(&mut self, request: &'a Request, streams: &'a [Stored], position: Option<u64>) {
        let command = request.command;
        self.whole_or_not(request);
        let mut last = None;
        for Stored { stream, first, events } in streams {
            for (number, id) in events.iter().enumerate() {
                let version = first + number as u64;
                let is_there = self.by_id.get(id).is_some_and(|event| {
                    event.stream().as_str() == stream && event.version().get() == version
                });
                if !is_there {
                    self.wrong.push(format!(
                        "lost: {:?} was told that event {id} is version {version} of {stream}, and it is not",
                        request.op
                    ));
                }
                last = self.by_id.get(id).and_then(|event| event.position());
            }
        }
        if last.map(|last| last.get()) != position {
            self.wrong.push(format!("{:?} was told position {position:?}, and is at {last:?}", request.op));
        }
        if let Op::Together { parts } = &request.op {
            let is_whole = parts.len() == streams.len()
                && parts.iter().zip(streams).all(|(part, stored)| {
                    part.stream == stored.stream && part.events as usize == stored.events.len()
                });
            if !is_whole {
                self.wrong.push(format!("torn: of {parts:?} only {streams:?} was stored"));
            }
            self.expected(parts, streams);
        }
        let before = self.first.entry(command).or_insert(streams);
        if *before != streams {
            self.wrong.push(format!("command {command} got {before:?} first, and {streams:?} later"));
        }
    }

    /// What was expected of the streams held when it was stored.
    fn expected(&mut self, parts: &[Part], streams: &[Stored]) {
        for (part, stored) in parts.iter().zip(streams) {
            let before = stored.first - 1;
            let held = match part.expected {
                Expected::Any => true,
                Expected::NoStream => before == 0,
                Expected::StreamExists => before > 0,
                Expected::Exact(version) => before == version,
            };
            if !held {
                self.wrong.push(format!("{part:?} was stored after version {before}"));
            }
        }
    }

    fn ids(request: &Request) -> Vec<(usize, EventId)> {
        let derived = |stream: &str, index| {
            let stream: Option<StreamId> = stream.parse().ok();
            stream.map(|stream| EventId::derived(request.command, &stream, index))
        };
        match &request.op {
            Op::Together { parts } => parts
                .iter()
                .enumerate()
                .flat_map(|(number, part)| {
                    (0..part.events).filter_map(move |index| Some((number, derived(&part.stream, index)?)))
                })
                .collect(),
            Op::Claim { .. } => {
                derived(&format!("claim-{}", request.command), 0).map(|id| (0, id)).into_iter().collect()
            }
            Op::Deposit { account, .. }
            | Op::Withdraw { account, .. }
            | Op::AskTransfer { from: account, .. } => {
                derived(&format!("account-{account}"), 0).map(|id| (0, id)).into_iter().collect()
            }
            Op::Read { .. } | Op::Head => Vec::new(),
        }
    }

    fn whole_or_not(&mut self, request: &Request) {
        if !stores(&request.op) {
            return;
        }
        let ids = Self::ids(request);
        let stored: Vec<_> = ids.iter().filter_map(|(_, id)| self.by_id.get(id)).collect();
        if !stored.is_empty() && stored.len() < ids.len() {
            self.wrong.push(format!(
                "torn: of {:?} {} events are stored, of {}",
                request.op,
                stored.len(),
                ids.len()
            ));
        }
        // Others' may lie between them, where several processes append.
        if !stored.iter().map(|event| event.position()).is_sorted() {
            self.wrong.push(format!("the events of {:?} are in another order in the log", request.op));
        }
    }

    /// What was refused had not been stored when it was asked for: nobody had been told so.
    fn was_not_stored_before(&mut self, request: &Request) {
        let is_stored_before = self.evidence.requests.iter().any(|other| {
            other.command == request.command
                && other.answered.as_ref().is_some_and(|(at, answer)| {
                    *at < request.asked_at && matches!(answer, Answer::Stored { .. })
                })
        });
        if is_stored_before {
            self.wrong.push(format!(
                "command {} had been stored, and was refused when it came again: {:?}",
                request.command, request.answered
            ));
        }
    }

    /// What was refused whenever it was asked for, and of which no answer was lost, is not stored.
    fn refused(&mut self) {
        let mut of_command: HashMap<CommandId, (&Request, bool)> = HashMap::new();
        for request in self.evidence.requests.iter().filter(|request| stores(&request.op)) {
            let is_refused = matches!(
                request.answered,
                Some((
                    _,
                    Answer::Refused { .. }
                        | Answer::Contended
                        | Answer::Conflict { .. }
                        | Answer::Ruled { .. }
                ))
            );
            of_command.entry(request.command).or_insert((request, true)).1 &= is_refused;
        }
        for (request, _) in of_command.into_values().filter(|(_, is_refused)| *is_refused) {
            let stored = Self::ids(request).into_iter().find(|(_, id)| self.by_id.contains_key(id));
            if let Some((_, id)) = stored {
                self.wrong.push(format!("{:?} was refused, and event {id} of it is stored", request.op));
            }
        }
    }

    /// A conflict names a version that the stream had: not one that somebody had been told was passed, and none that it has not come to.
    fn conflict(&mut self, request: &Request, stream: &str, actual: Option<u64>) {
        let (actual, told) = (actual.unwrap_or(0), self.told_of(stream, request.asked_at));
        let last = self.evidence.streams.get(stream).map_or(0, Vec::len) as u64;
        if actual < told || actual > last {
            self.wrong.push(format!(
                "{:?} met version {actual} of {stream}, of which {told} had been told, and which ends at {last}",
                request.op
            ));
        }
    }

    /// A reader of a stream sees versions 1, 2, 3 …, and all that anybody had been told of before it asked.
    fn read(&mut self, request: &Request, versions: &[u64]) {
        let Op::Read { stream } = &request.op else { return };
        if !versions.iter().copied().eq(1..=versions.len() as u64) {
            self.wrong.push(format!("{stream} was read with versions {versions:?}"));
        }
        let told = self.told_of(stream, request.asked_at);
        if told > versions.len() as u64 {
            self.wrong
                .push(format!("{stream} was read up to {}, and {told} had been told of", versions.len()));
        }
    }

    /// The last version of a stream that anybody had been told of by then.
    fn told_of(&self, stream: &str, by: u64) -> u64 {
        let told = self.evidence.requests.iter().filter_map(|request| match &request.answered {
            Some((at, Answer::Stored { streams, .. })) if *at < by => {
                let of = streams.iter().filter(|stored| stored.stream == stream);
                of.map(|stored| stored.first + stored.events.len() as u64 - 1).max()
            }
            _ => None,
        });
        told.max().unwrap_or(0)
    }

    /// Who took a name only if nobody had taken it after some position, took it first after that position.
    fn claims(&mut self) {
        let mut taken: HashMap<&str, Vec<u64>> = HashMap::new();
        for event in &self.evidence.log {
            let position = event.position().map_or(0, |position| position.get());
            event.tags().iter().for_each(|tag| taken.entry(tag.as_str()).or_default().push(position));
        }
        for request in &self.evidence.requests {
            let Op::Claim { name, only_if_free: Some(after) } = &request.op else { continue };
            let taken = taken.get(format!("name:{name}").as_str()).map(Vec::as_slice).unwrap_or_default();
            let mine = Self::ids(request).first().and_then(|(_, id)| self.by_id.get(id)?.position());
            if let Some(mine) = mine.map(|mine| mine.get())
                && let Some(other) = taken.iter().find(|other| **other > *after && **other < mine)
            {
                self.wrong.push(format!(
                    "name {name} was taken at {mine} under the condition that nobody had after {after}, but {other} had"
                ));
            }
            if let Some((_, Answer::Ruled { position })) = &request.answered
                && !(taken.contains(position) && position > after)
            {
                self.wrong.push(format!(
                    "{:?} was ruled out by position {position}, which is none such",
                    request.op
                ));
            }
        }
    }

    /// What was stored after somebody had been told of a position, as that of an append or as the end of the log, is behind it.
    fn times(&mut self) {
        let mut told: Vec<(u64, u64)> = Vec::new();
        for request in &self.evidence.requests {
            match &request.answered {
                Some((at, Answer::Stored { position: Some(position), .. })) => told.push((*at, *position)),
                Some((at, Answer::Head { position: Some(position) })) => told.push((*at, *position)),
                _ => {}
            }
        }
        told.sort_unstable();
        let mut highest = 0;
        for entry in &mut told {
            highest = highest.max(entry.1);
            entry.1 = highest;
        }
        let known_at = |time: u64| {
            let index = told.partition_point(|(at, _)| *at < time);
            index.checked_sub(1).map_or(0, |index| told[index].1)
        };
        for request in &self.evidence.requests {
            let known = known_at(request.asked_at);
            let found = match &request.answered {
                Some((_, Answer::Stored { position: Some(position), is_repeat: false, .. })) => *position,
                _ => continue,
            };
            // A commit that is found by its ids, after its answer was lost, may be older than this request.
            let is_older = self
                .evidence
                .requests
                .iter()
                .any(|other| other.command == request.command && other.asked_at < request.asked_at);
            if found <= known && !is_older {
                self.wrong.push(format!(
                    "{:?} was asked for when position {known} was known, and got {found}",
                    request.op
                ));
            }
        }
    }
}
