use std::pin::Pin;
use std::task::{Context, Poll};

use nexus_core::StoreError;
use tokio::task::{JoinError, JoinHandle};

/// Work that is done on a task of its own, beside whatever it is done for. Dropped, it is given up.
pub(crate) struct OnTask<T>(JoinHandle<Result<T, StoreError>>, &'static str);

impl<T: Send + 'static> OnTask<T> {
    pub(crate) fn start(
        attempted: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(work), attempted)
    }
}

impl<T> Future for OnTask<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let attempted = self.1;
        let closed = |error: JoinError| Err(StoreError::unavailable(attempted, error));
        Pin::new(&mut self.0).poll(context).map(|joined| joined.unwrap_or_else(closed))
    }
}

impl<T> Drop for OnTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
