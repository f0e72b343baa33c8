use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nexus_core::{Place, ReadOptions};

/// So many events the first page has: most reads end with it.
const FIRST: usize = 32;

/// So many events are read on the thread that asks before it is given back: about a fifth of a millisecond.
const BRIEF: usize = 256;

/// The number of a page from which pages are as large as they are asked for.
const WHOLE: usize = 16;

/// What takes longer has waited for the disk.
const PATIENCE: Duration = Duration::from_millis(1);

/// The pages of one read, which double in size.
///
/// What is in memory is read faster than another thread is woken, so a read starts on the thread that asks. Once a page
/// has waited for the disk, the rest is left to the reading threads.
#[derive(Debug)]
pub(crate) struct Growth {
    pages: AtomicUsize,
    waits: AtomicBool,
}

impl Growth {
    /// Of a read that may start on the thread that asks.
    pub(crate) fn here() -> Self {
        Self { pages: AtomicUsize::new(0), waits: AtomicBool::new(false) }
    }

    /// Of a read that may pass over many events before it finds the first.
    pub(crate) fn on_threads() -> Self {
        Self { pages: AtomicUsize::new(0), waits: AtomicBool::new(true) }
    }

    /// Of a part of a long read, which others are read beside.
    pub(crate) fn whole() -> Self {
        Self { pages: AtomicUsize::new(WHOLE), waits: AtomicBool::new(true) }
    }

    /// Whether the next page is read on the thread that asks.
    pub(crate) fn is_here(&self) -> bool {
        !self.waits.load(Ordering::Relaxed)
    }

    /// Whether the page that was asked for last is the first.
    pub(crate) fn is_first(&self) -> bool {
        self.pages.load(Ordering::Relaxed) == 1
    }

    /// The options with the size of the next page, which is never more than they ask for.
    pub(crate) fn next<At: Place>(&self, options: ReadOptions<At>) -> ReadOptions<At> {
        let number = self.pages.fetch_add(1, Ordering::Relaxed);
        let size = FIRST << number.min(WHOLE);
        options.page_size_at_most(if self.is_here() { size.min(BRIEF) } else { size })
    }

    /// Does the work of one page, and sees how long it takes.
    pub(crate) fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        if started.elapsed() > PATIENCE {
            self.waits.store(true, Ordering::Relaxed);
        }
        result
    }
}
