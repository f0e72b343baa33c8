//! The protocol of `docs/decisions/0005-postgres.md` as a model: every interleaving of a few writers and a reader is explored, and none makes the reader
//! miss an event. Left out, or done in another order, each of its steps is missed: the model finds out how.

use std::hash::Hash;

use stateright::{Checker, Model, Property};

/// How the protocol is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    AsItIs,
    /// Writers do not say that they are under way.
    WithoutMarker,
    /// They say so when they have drawn their first position.
    MarkerAfterDrawing,
    /// They say that they are done before their events can be seen.
    MarkerGoneTooSoon,
    /// The reader looks at who is under way before it looks where the log ends.
    MarkersBeforeEnd,
    /// The reader reads events as they were when it looked where the log ends.
    EventsOfTheFirstSnapshot,
}

/// So many commits each writer makes, each of one event or two; and so many times the reader reads.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    writers: usize,
    commits: u8,
    reads: u8,
}

#[derive(Clone, Copy, Debug)]
struct Log(Protocol, Sizes);

/// Positions, of which there are few.
type Positions = u32;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// The next position that is drawn.
    next: u8,
    visible: Positions,
    writers: Vec<Writer>,
    reader: Reader,
    /// Up to here the process of the reader knows that all is settled; and what it has committed itself behind that.
    known: u8,
    own: Positions,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Writer {
    left: u8,
    doing: Doing,
    /// The position above which it may draw, for all to see.
    marker: Option<u8>,
    drawn: Positions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Nothing,
    /// It has seen where the log ends.
    Begun {
        end: u8,
    },
    Drawing,
    /// What it has is committed, or taken back.
    Ending,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reader {
    left: u8,
    asking: Asking,
    cursor: u8,
    seen: Positions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asking {
    Nothing,
    /// It knows where the log ends, and what could be seen then.
    End {
        end: u8,
        snapshot: Positions,
    },
    /// It knows the lowest marker.
    Markers {
        lowest: Option<u8>,
    },
    /// All up to there is settled.
    Bound {
        bound: u8,
        snapshot: Positions,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Begin(usize),
    Mark(usize),
    Draw(usize),
    Commit(usize),
    TakeBack(usize),
    End(usize),
    /// The process has been told that its first writer has committed.
    AskForEnd,
    AskForMarkers,
    /// The reader takes what its process knows to be settled.
    TakeKnown,
    Read,
}

fn bit(position: u8) -> Positions {
    1 << position
}

/// The highest of them; 0 where there is none.
fn highest(positions: Positions) -> u8 {
    positions.checked_ilog2().map_or(0, |position| u8::try_from(position).expect("few"))
}

/// All up to and at `bound`.
fn up_to(bound: u8) -> Positions {
    (bit(bound) << 1) - 1
}

impl State {
    fn lowest_marker(&self) -> Option<u8> {
        self.writers.iter().filter_map(|writer| writer.marker).min()
    }

    /// As `Bound::committed`: what follows what is settled without a hole is settled, too.
    fn committed_by_own(&mut self, drawn: Positions) {
        self.own |= drawn;
        while self.own & bit(self.known + 1) != 0 {
            self.known += 1;
        }
    }
}

impl Model for Log {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let Sizes { writers, commits, reads } = self.1;
        let writer = Writer { left: commits, doing: Doing::Nothing, marker: None, drawn: 0 };
        let reader = Reader { left: reads, asking: Asking::Nothing, cursor: 0, seen: 0 };
        vec![State { next: 1, visible: 0, writers: vec![writer; writers], reader, known: 0, own: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (number, writer) in state.writers.iter().enumerate() {
            match writer.doing {
                Doing::Nothing if writer.left > 0 => actions.push(Action::Begin(number)),
                Doing::Nothing => {}
                Doing::Begun { .. } => actions.push(match self.0 {
                    Protocol::WithoutMarker | Protocol::MarkerAfterDrawing => Action::Draw(number),
                    _ => Action::Mark(number),
                }),
                Doing::Drawing => {
                    let is_late = self.0 == Protocol::MarkerAfterDrawing && writer.marker.is_none();
                    if is_late {
                        actions.push(Action::Mark(number));
                        continue;
                    }
                    if writer.drawn.count_ones() < 2 {
                        actions.push(Action::Draw(number));
                    }
                    if writer.drawn != 0 {
                        actions.extend([Action::Commit(number), Action::TakeBack(number)]);
                    }
                }
                Doing::Ending => actions.push(Action::End(number)),
            }
        }
        match state.reader.asking {
            Asking::Nothing if state.reader.left == 0 => {}
            Asking::Nothing => {
                actions.push(match self.0 {
                    Protocol::MarkersBeforeEnd => Action::AskForMarkers,
                    _ => Action::AskForEnd,
                });
                if state.known > state.reader.cursor {
                    actions.push(Action::TakeKnown);
                }
            }
            Asking::End { .. } => actions.push(Action::AskForMarkers),
            Asking::Markers { .. } => actions.push(Action::AskForEnd),
            Asking::Bound { .. } => actions.push(Action::Read),
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let end = highest(state.visible);
        match action {
            Action::Begin(number) => state.writers[number].doing = Doing::Begun { end },
            Action::Mark(number) => {
                let writer = &mut state.writers[number];
                // By a snapshot that may be old by now.
                writer.marker = Some(match writer.doing {
                    Doing::Begun { end } => end,
                    _ => end,
                });
                writer.doing = Doing::Drawing;
            }
            Action::Draw(number) => {
                state.writers[number].drawn |= bit(state.next);
                state.writers[number].doing = Doing::Drawing;
                state.next += 1;
            }
            Action::Commit(number) | Action::TakeBack(number) => {
                let is_committed = matches!(action, Action::Commit(_));
                let writer = &mut state.writers[number];
                writer.doing = Doing::Ending;
                if !is_committed {
                    writer.drawn = 0;
                }
                match self.0 {
                    Protocol::MarkerGoneTooSoon => writer.marker = None,
                    _ => state.visible |= writer.drawn,
                }
            }
            Action::End(number) => {
                let writer = &mut state.writers[number];
                let drawn = std::mem::take(&mut writer.drawn);
                writer.marker = None;
                writer.doing = Doing::Nothing;
                writer.left -= 1;
                state.visible |= drawn;
                // The first is of the reader's process, which is told what it has committed.
                if number == 0 {
                    state.committed_by_own(drawn);
                }
            }
            Action::AskForEnd => {
                state.reader.asking = match state.reader.asking {
                    Asking::Markers { lowest } => {
                        let bound = lowest.map_or(end, |lowest| lowest.min(end));
                        Asking::Bound { bound, snapshot: state.visible }
                    }
                    _ => Asking::End { end, snapshot: state.visible },
                };
            }
            Action::AskForMarkers => {
                let lowest = state.lowest_marker();
                state.reader.asking = match state.reader.asking {
                    Asking::End { end, snapshot } => {
                        let bound = lowest.map_or(end, |lowest| lowest.min(end));
                        state.known = state.known.max(bound);
                        Asking::Bound { bound, snapshot }
                    }
                    _ => Asking::Markers { lowest },
                };
            }
            Action::TakeKnown => {
                state.reader.asking = Asking::Bound { bound: state.known, snapshot: state.visible };
            }
            Action::Read => {
                let Asking::Bound { bound, snapshot } = state.reader.asking else { return None };
                let events = match self.0 {
                    Protocol::EventsOfTheFirstSnapshot => snapshot,
                    _ => state.visible,
                };
                let reader = &mut state.reader;
                let found = events & up_to(bound) & !up_to(reader.cursor);
                reader.seen |= found;
                reader.cursor = reader.cursor.max(highest(found));
                reader.asking = Asking::Nothing;
                reader.left -= 1;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no event is found at or before the cursor", |_, state: &State| {
                state.visible & up_to(state.reader.cursor) & !state.reader.seen == 0
            }),
            // What would make the first true by itself is not so.
            Property::sometimes("the reader has seen all that is committed", |log, state: &State| {
                let all = u32::try_from(log.1.writers).expect("few") * u32::from(log.1.commits);
                state.visible == state.reader.seen && state.visible.count_ones() >= all
            }),
            Property::sometimes(
                "a writer that is under way holds the reader up",
                |_, state: &State| matches!(state.reader.asking, Asking::Bound { bound, .. } if bound < highest(state.visible)),
            ),
        ]
    }
}

fn explored(protocol: Protocol, sizes: Sizes) -> impl Checker<Log> {
    Log(protocol, sizes).checker().threads(2).spawn_bfs().join()
}

const SMALL: Sizes = Sizes { writers: 2, commits: 2, reads: 3 };

#[test]
fn no_interleaving_of_the_protocol_makes_a_reader_miss_an_event() {
    for sizes in [SMALL, Sizes { writers: 3, commits: 1, reads: 3 }] {
        let explored = explored(Protocol::AsItIs, sizes);
        explored.assert_properties();
        eprintln!("{sizes:?}: {} states", explored.unique_state_count());
        assert!(explored.is_done() && explored.unique_state_count() > 10_000, "too few to show anything");
    }
}

#[test]
fn each_step_of_the_protocol_is_needed() {
    let without = [
        Protocol::WithoutMarker,
        Protocol::MarkerAfterDrawing,
        Protocol::MarkerGoneTooSoon,
        Protocol::MarkersBeforeEnd,
        Protocol::EventsOfTheFirstSnapshot,
    ];
    for protocol in without {
        let explored = explored(protocol, SMALL);
        let missed = explored.discovery("no event is found at or before the cursor");
        let missed = missed.unwrap_or_else(|| panic!("{protocol:?} was not found out"));
        eprintln!("{protocol:?}: {:?}", missed.into_actions());
    }
}
