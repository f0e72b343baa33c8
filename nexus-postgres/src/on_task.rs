use std::pin::Pin;
use std::task::{Context, Poll};

use nexus_core::StoreError;
use tokio::task::JoinHandle;

use crate::error::Closed;

/// Work that is done on a task of its own: whether or not whoever asked for it is polled, and beside whatever that is doing.
/// Otherwise a slow consumer would keep a connection for itself. Dropped, it is given up.
pub(crate) struct OnTask<T>(JoinHandle<Result<T, StoreError>>);

impl<T: Send + 'static> OnTask<T> {
    pub(crate) fn start(work: impl Future<Output = Result<T, StoreError>> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl<T> Future for OnTask<T> {
    type Output = Result<T, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let closed = |_| Err(StoreError::unavailable("read", Closed));
        Pin::new(&mut self.0).poll(context).map(|joined| joined.unwrap_or_else(closed))
    }
}

impl<T> Drop for OnTask<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
