//! How long it takes from an append to the handler of a projection.

use nexus_core::{ProjectionRunner, Repository};
use nexus_postgres::PostgresProjections;

use super::store;
use crate::Options;
use crate::projecting::{Pace, arriving, send, tell};

pub(crate) async fn measure(options: &Options, url: &str) -> anyhow::Result<()> {
    for (pace, count) in [(Pace::Idle, options.commands.min(500)), (Pace::Steady, options.commands)] {
        let store = store(url, "latency").await?;
        let (projection, arrivals) = arriving("arriving");
        let runner = ProjectionRunner::new(projection, store.clone(), PostgresProjections::beside(&store));
        let running = runner.start().await?;
        let sent = tokio::spawn(send(Repository::new(store), count, pace));
        let at = arrivals.all(count).await?;
        tell(&format!("{pace}, in process"), &sent.await??, &at)?;
        running.stop().await?;
    }
    Ok(())
}
