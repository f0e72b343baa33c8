use async_trait::async_trait;
use nexus_core::{
    Actor, Approval, CommandGuard, CommandRefusal, HistoryAccess, HistoryDecision, HistoryScope,
    OfferedCommand, StoreError,
};

use super::{PolicyEngine, PolicyInput};

/// The extra of events that says by which policies their command was allowed.
const NOTE: &str = "policy";

/// Commands are refused that the package `nexus.command` denies, with a [`PolicyRefusal`](super::PolicyRefusal) as the cause. The events of
/// others carry the digest of the bundle as the extra `policy` of their metadata.
#[async_trait]
impl CommandGuard for PolicyEngine {
    async fn check(&self, command: &OfferedCommand<'_>) -> Result<Approval, CommandRefusal> {
        let decided = self.decide(PolicyInput::command(command, self.now())).into_result();
        match decided {
            Ok(decision) => Ok(Approval::default().noting(NOTE, decision.bundle.as_str())),
            Err(refusal) => {
                Err(CommandRefusal::Refused { by: "a policy".to_owned(), source: refusal.into() })
            }
        }
    }
}

/// Who may ask what about the past is for the package `nexus.history` to say.
#[async_trait]
impl HistoryAccess for PolicyEngine {
    async fn decide(&self, client: &Actor, scope: &HistoryScope) -> Result<HistoryDecision, StoreError> {
        let decided = self.decide(PolicyInput::history(client, scope, self.now())).into_result();
        Ok(match decided {
            Ok(_) => HistoryDecision::Allowed,
            Err(refusal) => HistoryDecision::Denied(refusal.to_string()),
        })
    }
}
