//! Who appends when: a few statements at a time, each with what has come together meanwhile.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use nexus_core::{AppendBatch, Appended, StoreError, StreamId};
use tokio::sync::oneshot;

use super::{GROUP, GROUP_BYTES, Writer, size};
use crate::gather;

/// One group is under way at a time, and the next has whatever comes meanwhile; but one that takes longer than this waits for
/// somebody, and is not waited for.
const PATIENCE: Duration = Duration::from_millis(20);

/// So many groups are under way at once then, at most; and so many transactions of the other appends.
const MOST: usize = 4;

/// An append, and who waits for it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) batch: AppendBatch,
    pub(super) reply: oneshot::Sender<Result<Appended, StoreError>>,
}

impl Request {
    /// Who no longer waits finds it with `find_commit`.
    pub(super) fn answer(self, answer: Result<Appended, StoreError>) {
        let _ = self.reply.send(answer);
    }

    /// The stream of a plain append.
    pub(super) fn stream(&self) -> Option<&StreamId> {
        self.batch.parts().first().map(|part| part.stream())
    }
}

/// What has been handed in.
#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    plain: VecDeque<Request>,
    /// How many groups are under way.
    groups: usize,
    /// How many appends the last one had.
    lately: usize,
    /// The streams in them: an append to one of these waits, so that no group waits for another.
    busy: HashSet<StreamId>,
    careful: VecDeque<Request>,
    /// How many transactions are under way.
    transactions: usize,
    /// Whether somebody appends by itself, on its own task.
    is_lone: bool,
}

/// For as long as it lives, nobody else is alone.
pub(super) struct Alone<'a>(&'a Queue);

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.state().is_lone = false;
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is under way or waits, and nothing came together the last time: then the caller need not wait for
    /// another task. Others do not wait for it: it may not be polled for long.
    pub(super) fn alone(&self) -> Option<Alone<'_>> {
        let mut state = self.state();
        if state.groups > 0 || !state.plain.is_empty() || state.is_lone || state.lately > 1 {
            return None;
        }
        state.is_lone = true;
        Some(Alone(self))
    }

    /// Waits for those that come at the same time.
    async fn gathered(&self) {
        let lately = self.state().lately;
        gather::others(|| self.state().plain.len(), lately).await;
    }

    /// The next group: at most one append of a stream, and none of those that are under way. Without one the caller ends.
    fn next_group(&self, done: &[StreamId]) -> Option<Vec<Request>> {
        let mut state = self.state();
        for stream in done {
            state.busy.remove(stream);
        }
        let mut group: Vec<Request> = Vec::new();
        let (mut bytes, mut looked_at) = (0, 0);
        while group.len() < GROUP && bytes < GROUP_BYTES && looked_at < state.plain.len() {
            let stream = state.plain[looked_at].stream().cloned();
            match stream {
                Some(stream) if state.busy.contains(&stream) => looked_at += 1,
                stream => {
                    let Some(request) = state.plain.remove(looked_at) else { break };
                    state.busy.extend(stream);
                    bytes += size(&request.batch);
                    group.push(request);
                }
            }
        }
        if group.is_empty() {
            state.groups -= 1;
            return None;
        }
        state.lately = group.len();
        Some(group)
    }

    /// Others may append to these streams, but for those that are still waited for.
    fn release(&self, busy: &[StreamId], waiting: &[StreamId]) {
        let mut state = self.state();
        for stream in busy.iter().filter(|stream| !waiting.contains(stream)) {
            state.busy.remove(stream);
        }
    }

    /// The next appends that share a transaction, in their order. Without any the caller ends.
    fn next_careful(&self) -> Option<Vec<Request>> {
        let mut state = self.state();
        let mut group = Vec::new();
        let mut bytes = 0;
        while group.len() < GROUP && bytes < GROUP_BYTES {
            let Some(request) = state.careful.pop_front() else { break };
            bytes += size(&request.batch);
            group.push(request);
        }
        if group.is_empty() {
            state.transactions -= 1;
            return None;
        }
        Some(group)
    }

    /// Whether somebody else should take up what waits, since whoever did is held up.
    fn is_stuck(&self, lane: Lane) -> bool {
        let mut state = self.state();
        let State { plain, careful, groups, transactions, .. } = &mut *state;
        let (waits, count) = match lane {
            Lane::Groups => (!plain.is_empty(), groups),
            Lane::Transactions => (!careful.is_empty(), transactions),
        };
        let is_stuck = waits && *count < MOST;
        *count += usize::from(is_stuck);
        is_stuck
    }
}

fn streams(group: &[Request]) -> Vec<StreamId> {
    group.iter().filter_map(|request| request.stream().cloned()).collect()
}

/// How an append is done.
#[derive(Clone, Copy, Debug)]
enum Lane {
    /// With others in one statement.
    Groups,
    /// With others in one transaction.
    Transactions,
}

/// Whoever works on a lane. Where it is dropped on the way, by a panic or with its runtime, what waits is told so, and later
/// calls begin anew.
struct Running<'a> {
    queue: &'a Queue,
    lane: Lane,
    busy: Vec<StreamId>,
    is_over: bool,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.queue.state();
        let waiting = match self.lane {
            Lane::Groups => {
                state.groups -= 1;
                for stream in &self.busy {
                    state.busy.remove(stream);
                }
                std::mem::take(&mut state.plain)
            }
            Lane::Transactions => {
                state.transactions -= 1;
                std::mem::take(&mut state.careful)
            }
        };
        drop(state);
        // Their callers find that nobody answers.
        drop(waiting);
    }
}

impl Writer {
    /// Queues an append, and sees that somebody takes it up.
    pub(super) fn hand_in(self: &Arc<Self>, request: Request) {
        let lane = if self.is_plain(&request.batch) { Lane::Groups } else { Lane::Transactions };
        let mut state = self.queue.state();
        let State { plain, careful, groups, transactions, .. } = &mut *state;
        let (queue, count) = match lane {
            Lane::Groups => (plain, groups),
            Lane::Transactions => (careful, transactions),
        };
        queue.push_back(request);
        if *count > 0 {
            return;
        }
        *count += 1;
        drop(state);
        self.begin(lane);
    }

    /// On a task of its own, so that it goes on when the caller is dropped.
    fn begin(self: &Arc<Self>, lane: Lane) {
        let writer = Arc::clone(self);
        let work: BoxFuture<'static, ()> = match lane {
            Lane::Groups => writer.run_groups().boxed(),
            Lane::Transactions => writer.run_transactions().boxed(),
        };
        tokio::spawn(work);
    }

    async fn run_groups(self: Arc<Self>) {
        let mut running =
            Running { queue: &self.queue, lane: Lane::Groups, busy: Vec::new(), is_over: false };
        loop {
            self.queue.gathered().await;
            let Some(group) = self.queue.next_group(&running.busy) else { break };
            running.busy = streams(&group);
            let mut open = Vec::new();
            self.relieved(Lane::Groups, async { open = self.append_group(group).await }).await;
            if !open.is_empty() {
                // They may wait for somebody; whoever shared their statement and is answered does not wait with them.
                let waiting = streams(&open);
                self.queue.release(&running.busy, &waiting);
                running.busy = waiting;
                self.relieved(Lane::Groups, self.append_open(open)).await;
            }
        }
        running.is_over = true;
    }

    async fn run_transactions(self: Arc<Self>) {
        let mut running =
            Running { queue: &self.queue, lane: Lane::Transactions, busy: Vec::new(), is_over: false };
        while let Some(group) = self.queue.next_careful() {
            self.relieved(Lane::Transactions, self.append_carefully(group)).await;
        }
        running.is_over = true;
    }

    /// Does the work; where it takes long, others go on beside it.
    async fn relieved(self: &Arc<Self>, lane: Lane, work: impl Future<Output = ()>) {
        let mut work = pin!(work);
        while tokio::time::timeout(PATIENCE, &mut work).await.is_err() {
            if self.queue.is_stuck(lane) {
                self.begin(lane);
            }
        }
    }
}
