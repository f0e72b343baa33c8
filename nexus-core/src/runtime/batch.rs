use std::fmt;

use async_trait::async_trait;
use futures::future::try_join_all;

use super::folding::{Folded, Folding};
use super::loading::Held;
use super::measured::Measured;
use super::request::Request;
use super::{BatchError, CommandOptions, Outcome, Receipt, Repository, RepositoryError};
use crate::domain::{Command, CommandHandler};
use crate::port::EventStore;
use crate::vocabulary::{
    AppendBatch, Appended, Commit, CommittedStream, EventId, ExpectedVersion, InvalidAppend, InvalidStreamId,
    NewEvent, StoreError, StreamId, StreamVersion, Timestamp,
};

impl<S: EventStore> Repository<S> {
    /// Commands for several aggregates that take effect together or not at all.
    ///
    /// The store has to take batches over several streams: see
    /// [`Capabilities::several_streams`](crate::Capabilities::several_streams).
    ///
    /// ```
    /// # use nexus_core::*;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize, DomainEvent)]
    /// enum AccountEvent { Deposited { cents: u64 }, Withdrawn { cents: u64 } }
    /// #[derive(Serialize, Deserialize, Command)]
    /// struct Deposit { cents: u64 }
    /// #[derive(Serialize, Deserialize, Command)]
    /// struct Withdraw { cents: u64 }
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("only {balance} cents are there")]
    /// struct Overdrawn { balance: u64 }
    ///
    /// #[derive(Default)]
    /// struct Account { cents: u64 }
    /// # impl Aggregate for Account {
    /// #     const CATEGORY: &'static str = "account";
    /// #     type Id = u32;
    /// #     type Event = AccountEvent;
    /// #     fn apply(&mut self, event: &AccountEvent) {
    /// #         match event {
    /// #             AccountEvent::Deposited { cents } => self.cents += cents,
    /// #             AccountEvent::Withdrawn { cents } => self.cents -= cents,
    /// #         }
    /// #     }
    /// # }
    /// # impl CommandHandler<Deposit> for Account {
    /// #     type Rejection = std::convert::Infallible;
    /// #     fn handle(&self, c: &Deposit, _: &CommandContext) -> Result<Vec<AccountEvent>, Self::Rejection> {
    /// #         Ok(vec![AccountEvent::Deposited { cents: c.cents }])
    /// #     }
    /// # }
    /// # impl CommandHandler<Withdraw> for Account {
    /// #     type Rejection = Overdrawn;
    /// #     fn handle(&self, c: &Withdraw, _: &CommandContext) -> Result<Vec<AccountEvent>, Overdrawn> {
    /// #         if c.cents > self.cents { return Err(Overdrawn { balance: self.cents }); }
    /// #         Ok(vec![AccountEvent::Withdrawn { cents: c.cents }])
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let accounts = Repository::new(MemoryStore::new());
    /// accounts.execute::<Account, _>(&1, Deposit { cents: 500 }).await?;
    ///
    /// let transfer = |cents| {
    ///     accounts
    ///         .batch(CommandOptions::default().actor("alice"))
    ///         .command::<Account, _>(&1, Withdraw { cents })
    ///         .command::<Account, _>(&2, Deposit { cents })
    /// };
    /// let receipts = transfer(300).execute().await?;
    /// assert_eq!(receipts.len(), 2);
    ///
    /// // Refused by the one, without effect on the other.
    /// let refused = transfer(300).execute().await.unwrap_err();
    /// assert!(matches!(&refused, BatchError::Rejected { rejection, .. } if rejection.is::<Overdrawn>()));
    /// assert_eq!(accounts.load::<Account>(&2).await?.state.cents, 300);
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch(&self, options: CommandOptions) -> CommandBatch<'_, S> {
        CommandBatch { repository: self, options, steps: Vec::new(), invalid: None }
    }
}

/// Commands for several aggregates, made by [`Repository::batch`].
#[must_use = "nothing happens before `execute`"]
pub struct CommandBatch<'a, S> {
    repository: &'a Repository<S>,
    options: CommandOptions,
    steps: Vec<Box<dyn Step<S>>>,
    invalid: Option<InvalidStreamId>,
}

impl<S> fmt::Debug for CommandBatch<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams: Vec<_> = self.steps.iter().map(|step| step.stream()).collect();
        f.debug_struct("CommandBatch").field("streams", &streams).finish_non_exhaustive()
    }
}

impl<S: EventStore> CommandBatch<'_, S> {
    /// A command for one more aggregate. Each aggregate may be named once.
    pub fn command<A, C>(mut self, id: &A::Id, command: C) -> Self
    where
        A: CommandHandler<C>,
        C: Command,
    {
        match A::stream(id) {
            Ok(stream) => {
                let held = Held::<A>::Own(Folding::default());
                self.steps.push(Box::new(AggregateStep { stream, command, held, kept: None }));
            }
            Err(error) => {
                self.invalid.get_or_insert(error);
            }
        }
        self
    }

    /// Loads all aggregates, lets each decide, and appends what they decided in one batch; decides again
    /// where others were first. An aggregate that decided nothing must not have changed until then, either.
    ///
    /// The receipts are in the order of the commands. Of a batch that was carried out before (see
    /// [`CommandOptions::id`]) they are the first ones, for the aggregates that stored events; the others left no trace,
    /// and are unchanged at their present version. The same id for a batch over other aggregates is an error, as far
    /// as those stored events. A version that the options expect is expected of every
    /// aggregate.
    ///
    /// # Errors
    /// [`BatchError::Rejected`] is the first rejection, in the order of the commands; anything else is
    /// [`BatchError::Failed`].
    pub async fn execute(self) -> Result<Vec<Receipt>, BatchError> {
        let measured = Measured::batch(self.options.metadata.trace());
        measured.over(self.carry_out()).await
    }

    async fn carry_out(self) -> Result<Vec<Receipt>, BatchError> {
        let Self { repository, options, mut steps, invalid } = self;
        if let Some(error) = invalid {
            return Err(error.into());
        }
        let mut request = Request::new(options, &*repository.clock, &*repository.ids);
        for step in &steps {
            if let Err(refusal) = step.offered(repository, &mut request).await {
                return carried_out_before(repository, &steps, &request).await?.ok_or(refusal.into());
            }
        }
        let mut retries = repository.retry.start();
        let mut has_looked_again = false;
        loop {
            let sought = steps.iter_mut().map(|step| {
                let first = request.sought(step.stream());
                step.catch_up(repository, first)
            });
            let found = try_join_all(sought).await?.iter().position(|folded| *folded == Folded::Found);
            // What a kept state stands for was not come across.
            let may_have = |index: usize, step: &dyn Step<S>| {
                found.map_or(request.is_named() && step.has_skipped(), |found| found == index)
            };
            for (index, step) in steps.iter().enumerate() {
                let first = request.first_event(step.stream());
                if may_have(index, &**step)
                    && let Some(commit) = repository.store.find_commit(step.stream(), first).await?
                {
                    request.check_not_void(step.stream(), &commit)?;
                    return repeated(&steps, &commit, first);
                }
            }
            let Some(batch) = decided(repository, &mut steps, &request)? else {
                let unchanged = steps.iter().map(|step| Receipt::unchanged(step.stream(), step.version()));
                return Ok(unchanged.map(|receipt| receipt.after(retries.attempts())).collect());
            };
            match repository.append(batch).await {
                Ok(appended) => {
                    let outcome = Outcome::of(&appended);
                    let receipts = receipts(&steps, appended.commit(), outcome).into_iter();
                    if let Appended::Stored(commit) = &appended {
                        steps.into_iter().for_each(|step| step.keep(repository, commit, request.now()));
                    }
                    return Ok(receipts.map(|receipt| receipt.after(retries.attempts())).collect());
                }
                Err(StoreError::Conflict(conflict)) => retries.after(conflict).await?,
                // Another call with the same command id was faster, and decided otherwise.
                Err(StoreError::Invalid(InvalidAppend::StoredId { .. })) if !has_looked_again => {
                    has_looked_again = true;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The receipts of a batch that is refused now, where it stored events before.
async fn carried_out_before<S: EventStore>(
    repository: &Repository<S>,
    steps: &[Box<dyn Step<S>>],
    request: &Request,
) -> Result<Option<Vec<Receipt>>, BatchError> {
    if !request.is_named() {
        return Ok(None);
    }
    for step in steps {
        let first = request.first_event(step.stream());
        if let Some(commit) = repository.store.find_commit(step.stream(), first).await? {
            request.check_not_void(step.stream(), &commit)?;
            return repeated(steps, &commit, first).map(Some);
        }
    }
    Ok(None)
}

/// The receipts of the batch that was carried out before under this id; another batch is a reuse of the id.
fn repeated<S>(
    steps: &[Box<dyn Step<S>>],
    commit: &Commit,
    first: EventId,
) -> Result<Vec<Receipt>, BatchError> {
    let is_named = |part: &CommittedStream| steps.iter().any(|step| *step.stream() == part.stream);
    if commit.streams.iter().all(is_named) {
        return Ok(receipts(steps, commit, Outcome::Repeated));
    }
    let stored = commit.streams.iter().find(|part| part.events.first() == Some(&first));
    Err(match stored {
        Some(part) => {
            let (stream, version) = (part.stream.clone(), part.first);
            InvalidAppend::StoredId { id: first, stream, version }.into()
        }
        None => StoreError::corrupt(format!("the commit of event {first}"), "the event is not in it").into(),
    })
}

fn receipts<S>(steps: &[Box<dyn Step<S>>], commit: &Commit, outcome: Outcome) -> Vec<Receipt> {
    steps.iter().map(|step| Receipt::of_commit(step.stream(), step.version(), commit, outcome)).collect()
}

/// What all steps decided; `None` where nothing has to happen.
fn decided<S>(
    repository: &Repository<S>,
    steps: &mut [Box<dyn Step<S>>],
    request: &Request,
) -> Result<Option<AppendBatch>, BatchError> {
    let mut batch: Option<AppendBatch> = None;
    let mut unchanged = Vec::new();
    for step in steps {
        let (stream, expected) = (step.stream().clone(), ExpectedVersion::after(step.version()));
        let events = step.decide(repository, request)?;
        batch = match batch {
            batch if events.is_empty() => {
                unchanged.push((stream, expected));
                batch
            }
            None => Some(AppendBatch::new(stream, expected, events)?),
            Some(batch) => Some(batch.and(stream, expected, events)?),
        };
    }
    let Some(mut batch) = batch else { return Ok(None) };
    for (stream, expected) in unchanged {
        batch = batch.expecting(stream, expected)?;
    }
    Ok(Some(batch))
}

/// A command and the aggregate it is for, whatever their types.
#[async_trait]
trait Step<S>: Send + Sync {
    fn stream(&self) -> &StreamId;

    fn version(&self) -> Option<StreamVersion>;

    fn has_skipped(&self) -> bool;

    /// Whether the guards let the command through.
    async fn offered(&self, repository: &Repository<S>, request: &mut Request)
    -> Result<(), RepositoryError>;

    async fn catch_up(
        &mut self,
        repository: &Repository<S>,
        sought: Option<EventId>,
    ) -> Result<Folded, RepositoryError>;

    fn decide(&mut self, repository: &Repository<S>, request: &Request) -> Result<Vec<NewEvent>, BatchError>;

    /// What was decided last was stored.
    fn keep(self: Box<Self>, repository: &Repository<S>, commit: &Commit, now: Timestamp);
}

struct AggregateStep<A, C> {
    stream: StreamId,
    command: C,
    held: Held<A>,
    /// What was decided last, where the state that it leads to is kept.
    kept: Option<Vec<NewEvent>>,
}

#[async_trait]
impl<S, A, C> Step<S> for AggregateStep<A, C>
where
    S: EventStore,
    A: CommandHandler<C>,
    C: Command,
{
    fn stream(&self) -> &StreamId {
        &self.stream
    }

    fn version(&self) -> Option<StreamVersion> {
        self.held.version()
    }

    fn has_skipped(&self) -> bool {
        self.held.has_skipped()
    }

    async fn offered(
        &self,
        repository: &Repository<S>,
        request: &mut Request,
    ) -> Result<(), RepositoryError> {
        repository.offered(&self.command, &self.stream, request).await
    }

    async fn catch_up(
        &mut self,
        repository: &Repository<S>,
        sought: Option<EventId>,
    ) -> Result<Folded, RepositoryError> {
        if self.held.version().is_none() {
            self.held = repository.held(&self.stream);
        }
        repository.bring_up_to_date(&mut self.held, &self.stream, sought).await
    }

    fn decide(&mut self, repository: &Repository<S>, request: &Request) -> Result<Vec<NewEvent>, BatchError> {
        request.check(&self.stream, self.held.version())?;
        let context = request.context(&self.stream, self.held.version());
        let decided = self.held.get().loaded.state.handle(&self.command, &context).map_err(|rejection| {
            BatchError::Rejected { stream: self.stream.clone(), rejection: rejection.into() }
        })?;
        let events = request.events(&self.stream, &decided)?;
        self.kept = (repository.keeps::<A>() && !events.is_empty()).then(|| events.clone());
        Ok(events)
    }

    fn keep(self: Box<Self>, repository: &Repository<S>, commit: &Commit, now: Timestamp) {
        if let Some(events) = self.kept {
            repository.keep(self.held, &self.stream, events, commit, now);
        }
    }
}
