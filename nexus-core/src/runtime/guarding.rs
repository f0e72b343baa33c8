use super::request::Request;
use super::{Receipt, Repository, RepositoryError};
use crate::domain::Command;
use crate::port::{EventStore, OfferedCommand};
use crate::vocabulary::{Payload, StreamId};

impl<S: EventStore> Repository<S> {
    /// Asks the guards, in their order, whether the command may be decided.
    pub(super) async fn offered<C: Command>(
        &self,
        command: &C,
        stream: &StreamId,
        request: &Request,
    ) -> Result<(), RepositoryError> {
        if self.guards.is_empty() {
            return Ok(());
        }
        let payload = Payload::of(command)
            .map_err(|source| RepositoryError::UnwritableCommand { command: C::NAME, source })?;
        let offered =
            OfferedCommand::new(C::NAME, C::VERSION, &payload, stream, request.command(), request.metadata());
        for guard in self.guards.iter() {
            guard.check(&offered).await?;
        }
        Ok(())
    }

    /// What was refused now may have been carried out before.
    pub(super) async fn receipt_or(
        &self,
        refusal: RepositoryError,
        stream: &StreamId,
        request: &Request,
    ) -> Result<Receipt, RepositoryError> {
        if request.is_named()
            && let Some(receipt) = self.earlier_receipt(stream, None, request).await?
        {
            return Ok(receipt);
        }
        Err(refusal)
    }
}
