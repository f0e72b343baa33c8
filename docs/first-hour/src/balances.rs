use nexus_core::{
    Collection, DocumentTx, DocumentsExt, DomainEvent, Projection, ProjectionError, Query, RecordedEvent,
    async_trait,
};

use crate::account::AccountEvent;

/// Keeps what is on each account, to be looked at.
pub struct Balances;

#[async_trait]
impl Projection<DocumentTx> for Balances {
    fn name(&self) -> &str {
        "balances"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::types(AccountEvent::types().unwrap_or_default())
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let (balances, account) = (Collection::new("balances")?, event.stream().id());
        for event in AccountEvent::from_recorded(event)? {
            let before: u64 = tx.read(&balances, account).await?.unwrap_or(0);
            let after = match event {
                AccountEvent::Deposited { cents } => before + cents,
                AccountEvent::Withdrawn { cents } => before - cents,
                AccountEvent::TransferAsked { .. } => before,
            };
            tx.write(&balances, account, &after).await?;
        }
        Ok(())
    }
}
