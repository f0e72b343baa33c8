//! What comes at the same time goes into one statement: whoever is about to send it gives the others a moment.

/// Whoever has just been answered is back within so many turns of the runtime.
const TURNS: usize = 3;

/// Lets other tasks have their turns, until so many wait as came together the last time: those that were answered
/// together come back together, one after the other. Where nobody else is ready, it takes no time.
pub(crate) async fn others(waiting: impl Fn() -> usize, lately: usize) {
    for _ in 0..TURNS {
        if waiting() >= lately {
            return;
        }
        tokio::task::yield_now().await;
    }
}
