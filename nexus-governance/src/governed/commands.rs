use async_trait::async_trait;
use nexus_core::{Approval, CommandGuard, CommandRefusal, OfferedCommand};

use super::{Enforcement, Schemas};
use crate::schema::SchemaKind;

/// Commands are refused that do not fit the newest released schema of their name and version, with a
/// [`SchemaRefusal`](super::SchemaRefusal) as the cause.
#[async_trait]
impl CommandGuard for Schemas {
    async fn check(&self, command: &OfferedCommand<'_>) -> Result<Approval, CommandRefusal> {
        let (category, kind) = (command.stream.category(), SchemaKind::Command);
        let enforcement = self.enforcement(category);
        if enforcement == Enforcement::Off {
            return Ok(Approval::default());
        }
        let checked = self.validate(kind, command.name, command.version, command.payload);
        let enforced =
            checked.or_else(|refusal| self.enforced(enforcement, category, kind, command.name, refusal));
        match enforced {
            Ok(()) => Ok(Approval::default()),
            Err(refusal) => {
                Err(CommandRefusal::Refused { by: "its schema".to_owned(), source: refusal.into() })
            }
        }
    }
}
