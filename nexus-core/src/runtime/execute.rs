use std::time::Instant;

use tracing::Instrument;

use super::folding::{Folded, Folding};
use super::loading::Held;
use super::measured::Measured;
use super::request::Request;
use super::telemetry;
use super::{CommandOptions, ExecuteError, Outcome, Receipt, Repository, RepositoryError};
use crate::domain::{Aggregate, Command, CommandHandler};
use crate::port::EventStore;
use crate::vocabulary::{
    AppendBatch, Appended, ExpectedVersion, InvalidAppend, InvalidStreamId, StoreError, StreamId,
    StreamVersion,
};

impl<S: EventStore> Repository<S> {
    /// Has the aggregate with this id carry out `command`: loads it, lets it decide, and appends what it
    /// decided, if nobody else was first; otherwise decides again on the new state, as often as the
    /// [`RetryPolicy`](crate::RetryPolicy) allows.
    ///
    /// Dropping the future does not undo it; a command that may have to be sent again takes an id: see
    /// [`execute_with`](Self::execute_with).
    ///
    /// # Errors
    /// [`ExecuteError::Rejected`] is the aggregate's own; anything else is [`ExecuteError::Failed`].
    pub async fn execute<A, C>(&self, id: &A::Id, command: C) -> Result<Receipt, ExecuteError<A::Rejection>>
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.execute_with::<A, C>(id, command, CommandOptions::default()).await
    }

    /// The same, with what the sender says about the command: its id, who sends it, what it expects.
    ///
    /// # Errors
    /// See [`execute`](Self::execute).
    pub async fn execute_with<A, C>(
        &self,
        id: &A::Id,
        command: C,
        options: CommandOptions,
    ) -> Result<Receipt, ExecuteError<A::Rejection>>
    where
        A: CommandHandler<C>,
        C: Command,
    {
        self.execute_in::<A, C>(A::stream(id), command, options).await
    }

    /// The same for the aggregate that lives in this stream.
    pub(super) async fn execute_in<A, C>(
        &self,
        stream: Result<StreamId, InvalidStreamId>,
        command: C,
        options: CommandOptions,
    ) -> Result<Receipt, ExecuteError<A::Rejection>>
    where
        A: CommandHandler<C>,
        C: Command,
    {
        let measured = Measured::command::<A::Rejection>(A::CATEGORY, C::NAME, options.metadata.trace());
        measured.over(self.carry_out::<A, C>(stream, command, options)).await
    }

    async fn carry_out<A, C>(
        &self,
        stream: Result<StreamId, InvalidStreamId>,
        command: C,
        options: CommandOptions,
    ) -> Result<Receipt, ExecuteError<A::Rejection>>
    where
        A: CommandHandler<C>,
        C: Command,
    {
        let stream = stream?;
        let mut request = Request::new(options, &*self.clock, &*self.ids);
        if let Err(refusal) = self.offered(&command, &stream, &mut request).await {
            return Ok(self.receipt_or(refusal, &stream, &request).await?);
        }
        // There is nothing to load of an aggregate that the sender knows to be new, nor of one that the cache has: the append
        // finds out. Whatever does not end in an append is decided on what is stored.
        let is_new = request.expects_nothing();
        let mut held = if is_new { Held::Own(Folding::default()) } else { self.held::<A>(&stream) };
        let mut is_presumed = is_new || held.version().is_some();
        let mut retries = self.retry.start();
        loop {
            if !is_presumed && let Some(receipt) = self.catch_up(&mut held, &stream, &request).await? {
                return Ok(receipt);
            }
            let decided = self.decided(&held, &command, &stream, &request);
            let decided = match decided {
                Ok(decided) if !decided.is_empty() => decided,
                _ if is_presumed => {
                    is_presumed = false;
                    continue;
                }
                answer => {
                    // It may have been carried out before by an event that was not read.
                    if held.has_skipped()
                        && request.is_named()
                        && let Some(receipt) = self.earlier_receipt(&stream, held.version(), &request).await?
                    {
                        return Ok(receipt);
                    }
                    let unchanged = Receipt::unchanged(&stream, held.version()).after(retries.attempts());
                    self.remember(held, &stream);
                    return answer.map(|_| unchanged);
                }
            };
            let events = request.events(&stream, &decided)?;
            let kept = self.keeps::<A>().then(|| events.clone());
            let batch = AppendBatch::new(stream.clone(), ExpectedVersion::after(held.version()), events)?;
            match self.append(batch).await {
                Ok(appended) => {
                    let receipt = Receipt::of_append(&stream, held.version(), &appended);
                    if let (Some(events), Appended::Stored(commit)) = (kept, &appended) {
                        self.keep(held, &stream, events, commit, request.now());
                    }
                    return Ok(receipt.after(retries.attempts()));
                }
                Err(StoreError::Conflict(_)) if is_presumed => is_presumed = false,
                Err(StoreError::Conflict(conflict)) => retries.after(conflict).await?,
                Err(error) => return Ok(self.sent_meanwhile(&stream, &request, error).await?),
            }
        }
    }

    /// What the command means for the state that is held, if the sender expects its version.
    fn decided<A, C>(
        &self,
        held: &Held<A>,
        command: &C,
        stream: &StreamId,
        request: &Request,
    ) -> Result<Vec<A::Event>, ExecuteError<A::Rejection>>
    where
        A: CommandHandler<C>,
        C: Command,
    {
        request.check(stream, held.version())?;
        let context = request.context(stream, held.version());
        held.get().loaded.state.handle(command, &context).map_err(ExecuteError::Rejected)
    }

    /// Appends, and measures that.
    pub(super) async fn append(&self, batch: AppendBatch) -> Result<Appended, StoreError> {
        let (events, started) = (batch.len(), Instant::now());
        let span = telemetry::append_span(events);
        let answer = self.store.append(batch).instrument(span).await;
        let outcome = match &answer {
            Ok(Appended::Stored(_)) => "stored",
            Ok(Appended::Repeated(_)) => "repeated",
            Err(StoreError::Conflict(_)) => "conflict",
            Err(_) => "failed",
        };
        telemetry::append_done(events, outcome, started.elapsed());
        answer
    }

    /// Brings the state up to date, or finds that the command was carried out before.
    async fn catch_up<A: Aggregate>(
        &self,
        held: &mut Held<A>,
        stream: &StreamId,
        request: &Request,
    ) -> Result<Option<Receipt>, RepositoryError> {
        match self.bring_up_to_date(held, stream, request.sought(stream)).await? {
            Folded::Found => self.earlier_receipt(stream, held.version(), request).await,
            Folded::Done | Folded::Long | Folded::Foreign => Ok(None),
        }
    }

    /// Another call with the same command id may have been faster, and have decided otherwise: then this one is
    /// answered with its receipt, and not with the `error` that an id was used before.
    pub(super) async fn sent_meanwhile(
        &self,
        stream: &StreamId,
        request: &Request,
        error: StoreError,
    ) -> Result<Receipt, RepositoryError> {
        let is_reuse = matches!(&error, StoreError::Invalid(InvalidAppend::StoredId { .. }));
        if is_reuse
            && request.is_named()
            && let Some(receipt) = self.earlier_receipt(stream, None, request).await?
        {
            return Ok(receipt);
        }
        Err(error.into())
    }

    /// The receipt of a command that stored events in `stream` before.
    pub(super) async fn earlier_receipt(
        &self,
        stream: &StreamId,
        version: Option<StreamVersion>,
        request: &Request,
    ) -> Result<Option<Receipt>, RepositoryError> {
        let Some(commit) = self.store.find_commit(stream, request.first_event(stream)).await? else {
            return Ok(None);
        };
        request.check_not_void(stream, &commit)?;
        Ok(Some(Receipt::of_commit(stream, version, &commit, Outcome::Repeated)))
    }
}
