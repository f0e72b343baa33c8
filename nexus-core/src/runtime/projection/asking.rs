//! What people ask for dead letters: the workers do it, under the leases they hold.

use std::time::Duration;

use futures::FutureExt;

use super::ProjectionsError;
use super::letters::{self, DeadLetter, Request, SkippedLetter, Wish};
use super::notes::{LETTERS, REQUESTS, SKIPPED, note};
use super::projections::{LOOK_EVERY, Projections};
use crate::vocabulary::{ProjectionName, StoreError, StreamId, StreamVersion};

impl Projections {
    /// The dead letters of the read model that serves, with those that wait behind them: by stream, then by version, at
    /// most so many after this one.
    ///
    /// # Errors
    /// There is no such projection, or the store fails.
    pub async fn dead_letters(
        &self,
        name: &ProjectionName,
        after: Option<(&StreamId, StreamVersion)>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, ProjectionsError> {
        let after = after.map(|(stream, version)| letters::key(stream, version));
        let space = self.serving_space(name).await?;
        let page = LETTERS.page(&*self.store, &space, "", after, limit).await?;
        Ok(page.into_iter().map(|(_, letter)| letter).collect())
    }

    /// The letters that were given up, at most so many.
    ///
    /// # Errors
    /// There is no such projection, or the store fails.
    pub async fn skipped_letters(
        &self,
        name: &ProjectionName,
        limit: usize,
    ) -> Result<Vec<SkippedLetter>, ProjectionsError> {
        let space = self.serving_space(name).await?;
        let page = SKIPPED.page(&*self.store, &space, "", None, limit).await?;
        Ok(page.into_iter().map(|(_, letter)| letter).collect())
    }

    /// Asks for the dead letters of a stream to be tried again, in order, until one fails. The worker that has the stream
    /// does it, at once or when it is started; [`answered`](Self::answered) waits for it.
    ///
    /// # Errors
    /// The stream has no dead letter, or the store fails.
    pub async fn retry(&self, name: &ProjectionName, stream: &StreamId) -> Result<(), ProjectionsError> {
        self.ask(name, stream, Wish::Retry, None).await
    }

    /// Asks for the first dead letter of a stream, which has to be the one of this version, to be given up; those behind
    /// it are then tried. It stays listed among the [`skipped_letters`](Self::skipped_letters), with who asked for it.
    ///
    /// # Errors
    /// The stream has no dead letter, another comes first, or the store fails.
    pub async fn skip(
        &self,
        name: &ProjectionName,
        stream: &StreamId,
        version: StreamVersion,
        by: Option<&str>,
    ) -> Result<(), ProjectionsError> {
        self.ask(name, stream, Wish::Skip(version), by.map(str::to_owned)).await
    }

    async fn ask(
        &self,
        name: &ProjectionName,
        stream: &StreamId,
        wish: Wish,
        by: Option<String>,
    ) -> Result<(), ProjectionsError> {
        let space = self.serving_space(name).await?;
        let page: Vec<(String, DeadLetter)> =
            LETTERS.page(&*self.store, &space, &letters::prefix(stream), None, 1).await?;
        let Some((_, first)) = page.into_iter().next() else {
            return Err(ProjectionsError::NoLetter { name: name.clone(), stream: stream.clone() });
        };
        let first = first.event.version();
        if let Wish::Skip(version) = wish
            && version != first
        {
            return Err(ProjectionsError::NotFirst { stream: stream.clone(), version, first });
        }
        let (key, request) =
            (stream.as_str().to_owned(), Request { wish, by, at: self.settings.clock.now() });
        note(&*self.store, &space, move |notes| {
            async move { Ok(REQUESTS.write(notes, &key, &request).await?) }.boxed()
        })
        .await
    }

    /// Waits until what was asked for the dead letters of a stream is done, at most so long. Then tells which of them is
    /// still first, if any is left.
    ///
    /// # Errors
    /// [`ProjectionsError::NotYet`]: nobody has done it yet. Is the projection running?
    pub async fn answered(
        &self,
        name: &ProjectionName,
        stream: &StreamId,
        patience: Duration,
    ) -> Result<Option<DeadLetter>, ProjectionsError> {
        let space = self.serving_space(name).await?;
        let waiting = async {
            while REQUESTS.find::<Request>(&*self.store, &space, stream.as_str()).await?.is_some() {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok::<(), StoreError>(())
        };
        match tokio::time::timeout(patience, waiting).await {
            Ok(done) => done?,
            Err(_) => {
                let state =
                    format!("what was asked for stream {stream} is not done: is the projection running?");
                return Err(ProjectionsError::NotYet { name: name.clone(), waited: patience, state });
            }
        }
        let prefix = letters::prefix(stream);
        let page: Vec<(String, DeadLetter)> = LETTERS.page(&*self.store, &space, &prefix, None, 1).await?;
        Ok(page.into_iter().next().map(|(_, letter)| letter))
    }
}
