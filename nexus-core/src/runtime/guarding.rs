use super::request::Request;
use super::{Receipt, Repository, RepositoryError};
use crate::domain::Command;
use crate::port::{EventStore, OfferedCommand};
use crate::vocabulary::{Payload, StreamId};

impl<S: EventStore> Repository<S> {
    /// Asks the guards, in their order, whether the command may be decided, and notes what its events are to carry of that.
    pub(super) async fn offered<C: Command>(
        &self,
        command: &C,
        stream: &StreamId,
        request: &mut Request,
    ) -> Result<(), RepositoryError> {
        if self.guards.is_empty() {
            return Ok(());
        }
        let payload = Payload::of(command)
            .map_err(|source| RepositoryError::UnwritableCommand { command: C::NAME, source })?;
        let metadata = request.metadata().clone();
        let mut approvals = Vec::with_capacity(self.guards.len());
        let offered =
            OfferedCommand::new(C::NAME, C::VERSION, &payload, stream, request.command(), &metadata);
        let offered = OfferedCommand { actor: request.actor(), ..offered };
        for guard in self.guards.iter() {
            approvals.push(guard.check(&offered).await?);
        }
        approvals.iter().for_each(|approval| request.note(approval));
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
