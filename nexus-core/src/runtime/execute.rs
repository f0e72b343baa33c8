use std::time::Instant;

use tracing::Instrument;

use super::measured::Measured;
use super::repository::Sought;
use super::request::Request;
use super::telemetry;
use super::{CommandOptions, ExecuteError, Loaded, Outcome, Receipt, Repository, RepositoryError};
use crate::domain::{Aggregate, Command, CommandHandler};
use crate::port::EventStore;
use crate::vocabulary::{
    AppendBatch, Appended, ExpectedVersion, InvalidAppend, StoreError, StreamId, StreamVersion,
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
        let measured = Measured::command::<A::Rejection>(A::CATEGORY, C::NAME, options.metadata.trace());
        measured.over(self.carry_out::<A, C>(id, command, options)).await
    }

    async fn carry_out<A, C>(
        &self,
        id: &A::Id,
        command: C,
        options: CommandOptions,
    ) -> Result<Receipt, ExecuteError<A::Rejection>>
    where
        A: CommandHandler<C>,
        C: Command,
    {
        let stream = A::stream(id)?;
        let request = Request::new(options, &*self.clock, &*self.ids);
        let mut loaded = Loaded::<A>::default();
        let mut retries = self.retry.start();
        // There is nothing to load of an aggregate that the sender knows to be new: the append finds out. Whatever does not end
        // in an append is decided on what is stored.
        let mut is_presumed_new = request.expects_nothing();
        loop {
            if !is_presumed_new && let Some(receipt) = self.catch_up(&mut loaded, &stream, &request).await? {
                return Ok(receipt);
            }
            request.check(&stream, loaded.version)?;
            let context = request.context(&stream, loaded.version);
            let decided = match loaded.state.handle(&command, &context) {
                Ok(decided) if !(decided.is_empty() && is_presumed_new) => decided,
                Err(rejected) if !is_presumed_new => return Err(ExecuteError::Rejected(rejected)),
                Ok(_) | Err(_) => {
                    is_presumed_new = false;
                    continue;
                }
            };
            if decided.is_empty() {
                return Ok(Receipt::unchanged(&stream, loaded.version).after(retries.attempts()));
            }
            let events = request.events(&stream, &decided)?;
            let batch = AppendBatch::new(stream.clone(), ExpectedVersion::after(loaded.version), events)?;
            match self.append(batch).await {
                Ok(appended) => {
                    let receipt = Receipt::of_append(&stream, loaded.version, &appended);
                    return Ok(receipt.after(retries.attempts()));
                }
                Err(StoreError::Conflict(_)) if is_presumed_new => is_presumed_new = false,
                Err(StoreError::Conflict(conflict)) => retries.after(conflict).await?,
                Err(error) => return Ok(self.sent_meanwhile(&stream, &request, error).await?),
            }
        }
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
        loaded: &mut Loaded<A>,
        stream: &StreamId,
        request: &Request,
    ) -> Result<Option<Receipt>, RepositoryError> {
        match loaded.catch_up(&*self.store, stream, request.sought(stream)).await? {
            Sought::Found => self.earlier_receipt(stream, loaded.version, request).await,
            Sought::Missing => Ok(None),
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
            && request.sought(stream).is_some()
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
        let commit = self.store.find_commit(stream, request.first_event(stream)).await?;
        Ok(commit.map(|commit| Receipt::of_commit(stream, version, &commit, Outcome::Repeated)))
    }
}
