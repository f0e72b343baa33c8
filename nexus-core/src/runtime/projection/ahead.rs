//! A read model that is ahead of its log: the log was restored from a backup, or is another one. What is appended to it then has positions that the read
//! model takes for handled.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::ProjectionFailure;
use super::source::Source;
use super::worker::{Trouble, Worker};
use crate::domain::Projection;
use crate::vocabulary::Position;

/// So long a log may tell an end that others have passed: it tells what is settled, and appends of another process that are under way hold that up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// The position, or the end of the log where that is before it, and stays so.
    pub(super) async fn as_far_as_the_log_goes(
        &self,
        position: Option<Position>,
    ) -> Result<Option<Position>, Trouble> {
        self.as_far_within(position, PATIENCE).await
    }

    /// The same by one who has to renew leases.
    pub(super) async fn as_far_as_the_log_goes_now(
        &self,
        position: Option<Position>,
    ) -> Result<Option<Position>, Trouble> {
        self.as_far_within(position, PATIENCE.min(self.shared.settings.lease / 10)).await
    }

    async fn as_far_within(
        &self,
        position: Option<Position>,
        patience: Duration,
    ) -> Result<Option<Position>, Trouble> {
        let Source::Log(log) = &self.shared.source else { return Ok(position) };
        let deadline = Instant::now() + patience;
        loop {
            let head = log.head().await?;
            if position <= head {
                return Ok(position);
            }
            if Instant::now() > deadline || self.is_stopped() {
                return Ok(head);
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Refuses to go on where events were handled that the log does not have.
    pub(super) async fn check_it_is_not_ahead(&self) -> Result<(), Trouble> {
        let reached = self.held.iter().map(|held| held.claim.cursor).max().flatten();
        let head = self.as_far_as_the_log_goes(reached).await?;
        match reached {
            Some(reached) if head < Some(reached) && !self.is_stopped() => {
                let name = self.shared.name.clone();
                Err(ProjectionFailure::AheadOfLog { name, reached, head }.into())
            }
            _ => Ok(()),
        }
    }
}
