use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use nexus_core::{CopyProgress, Position};

/// How far it is, on a terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    reached: AtomicU64,
}

impl Progress {
    pub(crate) fn of(what: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        let template = format!("{{bar:40}} {{percent}} % {{msg}} events {what}, {{eta}} left");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self { bar, reached: AtomicU64::new(0) }
    }

    pub(crate) fn tell(&self, done: CopyProgress) {
        let at = |position: Option<Position>| position.map_or(0, Position::get);
        self.reached.store(at(done.position), Ordering::Relaxed);
        self.bar.set_length(at(done.head));
        self.bar.set_position(at(done.position));
        if done.events % 1_000 < 10 {
            self.bar.set_message(done.events.to_string());
        }
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// The last position of the original that is done.
    pub(crate) fn reached(&self) -> Option<u64> {
        Some(self.reached.load(Ordering::Relaxed)).filter(|reached| *reached > 0)
    }
}
