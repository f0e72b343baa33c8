use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use nexus_core::{Page, Position, Query, ReadOptions, StoreError};

use super::run::Runs;
use super::{Progress, Reader};
use crate::connections::retried;
use crate::on_task::OnTask;

/// One read of the log: what it asks for, and how it goes.
pub(crate) struct LogRead {
    reader: Arc<Reader>,
    query: Query,
    progress: Progress,
    runs: Runs,
}

impl LogRead {
    pub(crate) fn new(reader: Arc<Reader>, query: Query) -> Arc<Self> {
        Arc::new(Self { reader, query, progress: Progress::default(), runs: Runs::default() })
    }

    /// The next page: nothing that is not settled.
    pub(crate) fn page(
        self: &Arc<Self>,
        options: ReadOptions<Position>,
    ) -> BoxFuture<'static, Result<Page, StoreError>> {
        let read = Arc::clone(self);
        if !read.runs.is_any() {
            return OnTask::start(read.fetched(options)).boxed();
        }
        async move {
            // It goes on by itself.
            match read.runs.next().await {
                Some(page) => Ok(page),
                None => OnTask::start(read.fetched(options)).await,
            }
        }
        .boxed()
    }

    async fn fetched(self: Arc<Self>, options: ReadOptions<Position>) -> Result<Page, StoreError> {
        let Self { reader, query, progress, runs } = &*self;
        reader.begin_run(query, &options, runs).await?;
        if let Some(page) = runs.next().await {
            return Ok(page);
        }
        retried!(&reader.connections, "read the log", |connection| reader
            .sound_page(connection, query, &options, progress))
    }
}
