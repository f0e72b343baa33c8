use futures::TryStreamExt;

use super::measured::Measured;
use super::request::Request;
use super::{CommandOptions, ExecuteError, Receipt, Repository};
use crate::domain::{DecisionModel, DomainEvent};
use crate::port::EventLog;
use crate::vocabulary::{AppendBatch, AppendCondition, Conflict, ExpectedVersion, ReadOptions, StoreError};

impl<S: EventLog> Repository<S> {
    /// Makes a decision over the events that its query finds, and stores what it decides, if no other such event
    /// was stored meanwhile; otherwise decides again.
    ///
    /// The store has to take append conditions: see
    /// [`Capabilities::conditions`](crate::Capabilities::conditions).
    ///
    /// ```
    /// # use nexus_core::*;
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize, DomainEvent)]
    /// enum AccountEvent {
    ///     Registered {
    ///         #[event(tag)]
    ///         name: String,
    ///     },
    /// }
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// #[error("the name is taken")]
    /// struct NameTaken;
    ///
    /// /// A name can be registered once, whoever registers it.
    /// struct Register { account: u32, name: String }
    ///
    /// impl DecisionModel for Register {
    ///     type State = bool; // whether the name is taken
    ///     type Event = AccountEvent;
    ///     type Rejection = NameTaken;
    ///
    ///     fn query(&self) -> Query {
    ///         let types = AccountEvent::types().unwrap_or_default();
    ///         Query::item(QueryItem::default().types(types).tags(Tag::pair("name", &self.name)))
    ///     }
    ///     fn apply(&self, taken: &mut bool, _: &AccountEvent) {
    ///         *taken = true;
    ///     }
    ///     fn stream(&self) -> Result<StreamId, InvalidStreamId> {
    ///         StreamId::new("account", self.account)
    ///     }
    ///     fn decide(&self, taken: &bool, _: &CommandContext) -> Result<Vec<AccountEvent>, NameTaken> {
    ///         if *taken { return Err(NameTaken); }
    ///         Ok(vec![AccountEvent::Registered { name: self.name.clone() }])
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Repository::new(MemoryStore::new());
    /// repository.decide(Register { account: 1, name: "ada".into() }).await?;
    /// let refused = repository.decide(Register { account: 2, name: "ada".into() }).await;
    /// assert!(matches!(refused, Err(ExecuteError::Rejected(NameTaken))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ExecuteError::Rejected`] is the decision's own; anything else is [`ExecuteError::Failed`].
    pub async fn decide<D: DecisionModel>(&self, model: D) -> Result<Receipt, ExecuteError<D::Rejection>> {
        self.decide_with(model, CommandOptions::default()).await
    }

    /// The same, with what the sender says about the decision: its id, who sends it. A version that the options
    /// expect is that of the stream the events go to.
    ///
    /// # Errors
    /// See [`decide`](Self::decide).
    pub async fn decide_with<D: DecisionModel>(
        &self,
        model: D,
        options: CommandOptions,
    ) -> Result<Receipt, ExecuteError<D::Rejection>> {
        let name = std::any::type_name::<D>();
        let measured = Measured::command::<D::Rejection>("decision", name, options.metadata.trace());
        measured.over(self.make_decision(model, options)).await
    }

    async fn make_decision<D: DecisionModel>(
        &self,
        model: D,
        options: CommandOptions,
    ) -> Result<Receipt, ExecuteError<D::Rejection>> {
        let (stream, query) = (model.stream()?, model.query());
        let expected = options.expected;
        let request = Request::new(options, &*self.clock, &*self.ids);
        let (mut state, mut after) = (D::State::default(), None);
        let mut retries = self.retry.start();
        loop {
            let mut events = self.store.read_all(query.clone(), ReadOptions::forwards().after(after));
            while let Some(event) = events.try_next().await? {
                for event in D::Event::from_recorded(&event)? {
                    model.apply(&mut state, &event);
                }
                after = event.position().or(after);
            }
            // After reading: an earlier call whose events were just read is found.
            if request.is_named()
                && let Some(receipt) = self.earlier_receipt(&stream, None, &request).await?
            {
                return Ok(receipt);
            }
            if expected.is_some() {
                let mut last = self.store.read(&stream, ReadOptions::backwards().limit(1));
                request.check(&stream, last.try_next().await?.map(|event| event.version()))?;
            }
            let context = request.context(&stream, None);
            let decided = model.decide(&state, &context).map_err(ExecuteError::Rejected)?;
            if decided.is_empty() {
                return Ok(Receipt::unchanged(&stream, None).after(retries.attempts()));
            }
            let expected = expected.unwrap_or(ExpectedVersion::Any);
            let batch = AppendBatch::new(stream.clone(), expected, request.events(&stream, &decided)?)?
                .when(AppendCondition { query: query.clone(), after });
            match self.append(batch).await {
                Ok(appended) => {
                    let receipt = Receipt::of_append(&stream, None, &appended);
                    return Ok(receipt.after(retries.attempts()));
                }
                // A version that the sender expected will not come back.
                Err(StoreError::Conflict(conflict @ Conflict::Condition { .. })) => {
                    retries.after(conflict).await?;
                }
                Err(error) => return Ok(self.sent_meanwhile(&stream, &request, error).await?),
            }
        }
    }
}
