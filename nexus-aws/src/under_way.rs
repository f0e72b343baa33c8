use std::future::{Future, pending};

use tokio::task::JoinSet;

/// Sees to a request in a task of its own: its answer is taken, and its time does not run out, while whoever asked is busy with something else.
/// Dropped, it ends.
pub async fn under_way<T: Send + 'static>(request: impl Future<Output = T> + Send + 'static) -> T {
    let mut task = JoinSet::new();
    task.spawn(request);
    match task.join_next().await {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down, and all that it has with it.
            Err(_) => pending().await,
        },
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::poll;
    use tokio::time::{advance, sleep, timeout};

    use super::*;

    /// A request whose answer comes in time, and is looked at too late.
    async fn looked_at_late<T>(request: impl Future<Output = T>) -> T {
        let mut request = Box::pin(request);
        assert!(poll!(&mut request).is_pending());
        for _ in 0..20 {
            tokio::task::yield_now().await;
            advance(Duration::from_millis(100)).await;
        }
        request.await
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_looks_at_goes_on() {
        let request = || async {
            sleep(Duration::from_millis(300)).await;
            sleep(Duration::from_millis(300)).await;
        };
        let in_time = Duration::from_secs(1);
        assert!(looked_at_late(timeout(in_time, request())).await.is_err(), "as it is without");
        assert!(looked_at_late(under_way(timeout(in_time, request()))).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_ends() {
        let (told, mut ends) = tokio::sync::mpsc::channel::<()>(1);
        let mut request = Box::pin(under_way(async move {
            let _told = told;
            pending::<()>().await;
        }));
        assert!(poll!(&mut request).is_pending());
        drop(request);
        assert_eq!(ends.recv().await, None);
    }
}
