use std::time::Duration;

use jiff::Timestamp;

use super::board::{Activity, View};
use super::settings::Settings;
use crate::vocabulary::{Position, ProjectionName, Slice};

/// How a projection is doing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProjectionStatus {
    /// The projection.
    pub name: ProjectionName,
    /// The version of the read model.
    pub version: u32,
    /// Which of its builds.
    pub build: u32,
    /// What it is doing.
    pub state: ProjectionState,
    /// Everything up to here is in the read model, or in the dead letters.
    pub position: Option<Position>,
    /// The end of the log, as it was last seen.
    pub head: Option<Position>,
    /// How many events there may be yet to handle: how many positions lie between. Those of other kinds of events count,
    /// too, until they are passed over.
    pub lag_events: u64,
    /// How old the read model is: the time since it was last complete, or since the event was recorded that was handled
    /// last, where there are later ones; zero where there are none.
    pub lag: Duration,
    /// What last went wrong, if it still matters.
    pub last_error: Option<String>,
    /// How many dead letters there are, with those that wait behind others.
    pub dead_letters: u64,
    /// How many streams wait behind an event that failed.
    pub parked_streams: u64,
    /// How many workers there are.
    pub workers: u64,
}

/// What a projection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProjectionState {
    /// It has just been started.
    Starting,
    /// It handles what is there already.
    CatchingUp,
    /// It has handled everything, and takes in what comes.
    Live,
    /// Other workers do all the work.
    StandingBy,
    /// A person has paused it.
    Paused,
    /// It is being built beside the one that serves, up to this position.
    Rebuilding {
        /// How far the one that serves has come.
        target: Option<Position>,
    },
    /// There is more to handle, and nothing has moved for too long: the store does not answer, or the feed delivers
    /// nothing.
    Stalled,
    /// It was stopped, or nobody runs it.
    Stopped,
    /// It stopped by itself: see the last error.
    Failed,
}

/// Whether a projection is as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProjectionHealth {
    /// It is up to date, or nearly.
    Healthy,
    /// It is at work, but behind by more than it may be.
    Lagging {
        /// By how much.
        lag: Duration,
    },
    /// There is more to handle, but it does not get on.
    Stalled {
        /// For how long nothing has moved.
        since: Duration,
        /// What went wrong, where that is known.
        error: Option<String>,
    },
    /// It does not run.
    Stopped {
        /// Why, where it was not told to.
        error: Option<String>,
    },
    /// A person has paused it.
    Paused,
}

impl ProjectionHealth {
    /// Whether nobody needs to look.
    pub fn is_healthy(&self) -> bool {
        matches!(self, Self::Healthy)
    }
}

/// A feed that has nothing more says so more often than this.
const FEED_SILENCE: Duration = Duration::from_secs(3);

/// What the workers of one runner tell together.
pub(super) struct Summary {
    pub(super) state: ProjectionState,
    pub(super) position: Option<Position>,
    pub(super) head: Option<Position>,
    pub(super) lag: Duration,
    pub(super) since_progress: Duration,
    pub(super) error: Option<String>,
    pub(super) parked: u64,
}

pub(super) fn summary(views: &[View], settings: &Settings, now: Timestamp) -> Summary {
    let head = views.iter().filter_map(|view| view.head).max();
    // Those that hold nothing say nothing about how far the read model is.
    let at_work = || views.iter().filter(|view| !view.ranges.is_empty());
    let others = views.iter().filter_map(|view| view.others);
    let position = at_work().map(View::low_water).chain(others).min().flatten();
    // A feed says time and again that there is nothing more, or there is.
    let is_silent =
        |view: &View| view.follows_feed && view.caught_up_at.is_none_or(|at| since(at, now) > FEED_SILENCE);
    let is_behind = at_work().count() > 0 && (position < head || at_work().any(is_silent));
    // It was complete when there was nothing left to do, however old the last event was.
    let as_of = |view: &View| view.recorded_at.max(view.caught_up_at);
    let recorded_at = at_work().filter_map(as_of).min();
    let lag =
        if is_behind { recorded_at.map_or(Duration::ZERO, |at| since(at, now)) } else { Duration::ZERO };
    let progressed_at = views.iter().map(|view| view.progressed_at).max();
    let since_progress = progressed_at.map_or(Duration::ZERO, |at| since(at, now));
    let error = views.iter().find_map(|view| view.error.clone());
    let parked = views.iter().map(|view| view.parked as u64).sum();
    let state = match state(views) {
        ProjectionState::CatchingUp | ProjectionState::Live | ProjectionState::Stalled
            if (is_behind || error.is_some()) && since_progress >= settings.stalled_after =>
        {
            ProjectionState::Stalled
        }
        ProjectionState::Stalled => ProjectionState::CatchingUp,
        ProjectionState::Live if is_behind && lag >= settings.lagging_after => ProjectionState::CatchingUp,
        state => state,
    };
    Summary { state, position, head, lag, since_progress, error, parked }
}

/// The state that tells most.
fn state(views: &[View]) -> ProjectionState {
    let is = |meant: fn(&Activity) -> bool| views.iter().any(|view| meant(&view.activity));
    let building = views.iter().find_map(|view| match view.activity {
        Activity::Building { target } => Some(target),
        _ => None,
    });
    if is(|activity| *activity == Activity::Failed) {
        ProjectionState::Failed
    } else if is(|activity| *activity == Activity::Paused) {
        ProjectionState::Paused
    } else if let Some(target) = building {
        ProjectionState::Rebuilding { target }
    } else if is(|activity| *activity == Activity::Waiting) {
        ProjectionState::Stalled
    } else if is(|activity| *activity == Activity::CatchingUp) {
        ProjectionState::CatchingUp
    } else if is(|activity| *activity == Activity::Live) {
        ProjectionState::Live
    } else if is(|activity| *activity == Activity::Starting) {
        ProjectionState::Starting
    } else if is(|activity| *activity == Activity::StandingBy) {
        ProjectionState::StandingBy
    } else {
        ProjectionState::Stopped
    }
}

pub(super) fn health(summary: &Summary, settings: &Settings) -> ProjectionHealth {
    match summary.state {
        ProjectionState::Failed | ProjectionState::Stopped => {
            ProjectionHealth::Stopped { error: summary.error.clone() }
        }
        ProjectionState::Paused => ProjectionHealth::Paused,
        ProjectionState::Stalled => {
            ProjectionHealth::Stalled { since: summary.since_progress, error: summary.error.clone() }
        }
        _ if summary.lag > settings.lagging_after => ProjectionHealth::Lagging { lag: summary.lag },
        _ => ProjectionHealth::Healthy,
    }
}

/// Whether some worker has brought `slice` to `position`.
pub(super) fn has_reached(views: &[View], slice: Slice, position: Position) -> bool {
    views.iter().any(|view| view.has_reached(slice, position))
}

pub(super) fn behind(position: Option<Position>, head: Option<Position>) -> u64 {
    let number = |position: Option<Position>| position.map_or(0, Position::get);
    number(head).saturating_sub(number(position))
}

pub(super) fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn view(activity: Activity, position: u64, head: u64, progressed: i64) -> View {
        let position = Position::new(position).unwrap();
        View {
            activity,
            ranges: vec![(0, 1_023, Some(position))],
            head: Position::new(head).ok(),
            recorded_at: Some(at(progressed)),
            ..View::new(at(progressed))
        }
    }

    fn told(view: View, now: i64) -> ProjectionHealth {
        let settings = Settings::default();
        health(&summary(&[view], &settings, at(now)), &settings)
    }

    #[test]
    fn lagging_stalled_and_stopped_are_told_apart() {
        assert_eq!(told(view(Activity::Live, 9, 9, 0), 3_600), ProjectionHealth::Healthy, "nothing to do");
        assert_eq!(told(view(Activity::CatchingUp, 5, 9, 100), 104), ProjectionHealth::Healthy);
        let lag = Duration::from_secs(20);
        assert_eq!(told(view(Activity::CatchingUp, 5, 9, 100), 120), ProjectionHealth::Lagging { lag });
        let since = Duration::from_secs(40);
        let stalled = ProjectionHealth::Stalled { since, error: None };
        assert_eq!(told(view(Activity::CatchingUp, 5, 9, 100), 140), stalled);
        // A live one that hears nothing of what its heartbeat sees is stalled, too.
        assert_eq!(told(view(Activity::Live, 5, 9, 100), 140), stalled);
        let failed = View { error: Some("broken".into()), ..view(Activity::Failed, 5, 9, 100) };
        assert_eq!(told(failed, 101), ProjectionHealth::Stopped { error: Some("broken".into()) });
        assert_eq!(told(view(Activity::Paused, 5, 9, 100), 999), ProjectionHealth::Paused);
    }

    #[test]
    fn a_read_model_is_as_old_as_its_last_moment_of_completeness() {
        // Its last event is an hour old, but a second ago it had everything there was.
        let complete = View {
            recorded_at: Some(at(0)),
            caught_up_at: Some(at(3_599)),
            ..view(Activity::Live, 5, 9, 3_599)
        };
        assert_eq!(told(complete, 3_600), ProjectionHealth::Healthy);
        let behind =
            View { recorded_at: Some(at(0)), caught_up_at: None, ..view(Activity::Live, 5, 9, 3_599) };
        assert_eq!(told(behind, 3_600), ProjectionHealth::Lagging { lag: Duration::from_secs(3_600) });
    }
}
