//! What a worker tells about itself, in memory: asked for at any time, without waiting for a database.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::vocabulary::{Position, Slice};

/// What one worker is doing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) activity: Activity,
    /// The ranges it holds, and how far each has come.
    pub(super) ranges: Vec<(u16, u16, Option<Position>)>,
    /// The same ranges, with the tokens they are held under.
    pub(super) claims: Vec<(u16, u16, u64)>,
    /// How far the ranges have come that none of this runner's workers holds, as it was last seen; `None`: there are
    /// none.
    pub(super) others: Option<Option<Position>>,
    /// The end of the log, as it was last seen.
    pub(super) head: Option<Position>,
    /// When the event was recorded that was handled last.
    pub(super) recorded_at: Option<Timestamp>,
    /// When it last had handled everything there was.
    pub(super) caught_up_at: Option<Timestamp>,
    /// When it last got on, or had nothing left to do.
    pub(super) progressed_at: Timestamp,
    pub(super) error: Option<String>,
    /// Whether it follows a feed, which has no end that could be asked for.
    pub(super) follows_feed: bool,
    pub(super) parked: usize,
    /// How many events it has handled since it was started.
    pub(super) handled: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Activity {
    Starting,
    /// It has slices, and events to handle.
    CatchingUp,
    /// It has slices, and has handled everything there is.
    Live,
    /// Others hold all slices.
    StandingBy,
    Paused,
    /// It builds a read model beside another, up to this position.
    Building {
        target: Option<Position>,
    },
    /// A store does not answer; it tries again.
    Waiting,
    Stopped,
    Failed,
}

impl View {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            activity: Activity::Starting,
            ranges: Vec::new(),
            claims: Vec::new(),
            others: None,
            head: None,
            recorded_at: None,
            caught_up_at: None,
            progressed_at: now,
            error: None,
            follows_feed: false,
            parked: 0,
            handled: 0,
        }
    }

    /// How far everything it holds has come.
    pub(super) fn low_water(&self) -> Option<Position> {
        self.ranges.iter().map(|(_, _, cursor)| *cursor).min().flatten()
    }

    /// Whether it holds `slice` and has come to `position` there.
    pub(super) fn has_reached(&self, slice: Slice, position: Position) -> bool {
        let slice = slice.get();
        self.ranges
            .iter()
            .any(|(first, last, cursor)| (*first..=*last).contains(&slice) && *cursor >= Some(position))
    }
}

/// Where the workers of one runner put their views.
#[derive(Clone, Debug)]
pub(super) struct Board(watch::Sender<Vec<View>>);

impl Board {
    pub(super) fn new(workers: usize, now: Timestamp) -> Self {
        Self(watch::Sender::new(vec![View::new(now); workers]))
    }

    pub(super) fn update(&self, worker: usize, update: impl FnOnce(&mut View)) {
        self.0.send_modify(|views| {
            if let Some(view) = views.get_mut(worker) {
                update(view);
            }
        });
    }

    pub(super) fn views(&self) -> Vec<View> {
        self.0.borrow().clone()
    }

    /// All ranges that these workers hold, with their tokens.
    pub(super) fn claims(&self) -> Vec<(u16, u16, u64)> {
        self.0.borrow().iter().flat_map(|view| view.claims.iter().copied()).collect()
    }

    /// Resolves when these workers hold anything else than this.
    pub(super) async fn until_other_claims(&self, than: &[(u16, u16, u64)]) {
        let is_other = |views: &Vec<View>| !views.iter().flat_map(|view| &view.claims).eq(than);
        let mut views = self.watch();
        if views.wait_for(is_other).await.is_err() {
            // They are gone, and hold nothing any more.
            std::future::pending::<()>().await;
        }
    }

    /// Whether one of these workers holds the slice.
    pub(super) fn holds(&self, slice: Slice) -> bool {
        let slice = slice.get();
        let holds = |(first, last, _): &(u16, u16, u64)| (*first..=*last).contains(&slice);
        self.0.borrow().iter().any(|view| view.claims.iter().any(holds))
    }

    /// Whether all workers have ended.
    pub(super) fn have_ended(&self) -> bool {
        self.0.borrow().iter().all(|view| matches!(view.activity, Activity::Stopped | Activity::Failed))
    }

    pub(super) fn watch(&self) -> watch::Receiver<Vec<View>> {
        self.0.subscribe()
    }
}
