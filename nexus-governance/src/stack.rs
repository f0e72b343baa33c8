use std::io;
use std::thread;

/// Runs it in a thread of its own with a stack of so many bytes: for what goes as deep as its input is nested.
pub(crate) fn on_a_large_stack<T: Send>(bytes: usize, run: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let handle = thread::Builder::new().stack_size(bytes).spawn_scoped(scope, run)?;
        handle.join().map_or_else(|panic| std::panic::resume_unwind(panic), Ok)
    })
}
