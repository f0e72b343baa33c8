//! A read model that is ahead of its log: the log was restored from a backup, or is another one. What is appended to it then has positions that the read
//! model takes for handled.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::ProjectionFailure;
use super::board::Activity;
use super::source::Source;
use super::worker::{Trouble, Worker};
use crate::domain::Projection;
use crate::vocabulary::{Position, StoreError};

/// How long a log may take to tell its end.
const PATIENCE: Duration = Duration::from_secs(1);

impl<P, Tx> Worker<P, Tx>
where
    P: Projection<Tx>,
    Tx: ?Sized + Send + 'static,
{
    /// The position; or the end of the log, where that is before it and stays so.
    ///
    /// A log tells what is settled: appends of another process that are under way, or were when it was cut off, may hold that up for half a minute. So it is asked
    /// again, turn by turn, before it is believed; nothing is handled meanwhile.
    pub(super) async fn as_far_as_the_log_goes(
        &mut self,
        position: Option<Position>,
    ) -> Result<Option<Position>, Trouble> {
        let Source::Log(log) = self.shared.source.clone() else { return Ok(position) };
        let head = match timeout(PATIENCE, log.head()).await {
            Ok(head) => head?,
            Err(late) => return Err(StoreError::unavailable("ask a log for its end", late).into()),
        };
        if position <= head {
            self.ahead_since = None;
            return Ok(position);
        }
        let since = *self.ahead_since.get_or_insert_with(Instant::now);
        if since.elapsed() > self.shared.settings.stalled_after.saturating_mul(2) {
            return Ok(head);
        }
        let error = Some("it has handled more than its log tells to be settled: asking again".to_owned());
        self.view(|view| (view.activity, view.error) = (Activity::Waiting, error));
        self.pause(self.shared.settings.heartbeat).await;
        Err(Trouble::Moved)
    }

    /// Refuses to go on where events were handled that the log does not have.
    pub(super) async fn check_it_is_not_ahead(&mut self) -> Result<(), Trouble> {
        let reached = self.held.iter().map(|held| held.claim.cursor).max().flatten();
        let head = self.as_far_as_the_log_goes(reached).await?;
        match reached {
            Some(reached) if head < Some(reached) => {
                let name = self.shared.name.clone();
                Err(ProjectionFailure::AheadOfLog { name, reached, head }.into())
            }
            _ => Ok(()),
        }
    }
}
