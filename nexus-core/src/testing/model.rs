//! Random operations on a backend and on the memory store, whose answers are compared.
//!
//! `NEXUS_MODEL_CASES` sets how many random runs a case makes; it is 24 unless told otherwise, so that a slow backend
//! takes seconds.

mod operation;
mod query;
mod writers;

pub use self::operation::answers_agree_with_the_model;
pub use self::query::queries_agree_with_the_model;
pub use self::writers::concurrent_writers_agree_with_the_model;

use std::future::Future;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Handle;

use super::samples::stream;
use crate::vocabulary::{Appended, Commit, Conflict, ExpectedVersion, StoreError, StreamId, StreamVersion};

/// Few enough that appends meet.
const STREAMS: u8 = 3;

fn model_stream(number: u8) -> StreamId {
    stream(format_args!("model-{}", number % STREAMS))
}

/// Tries random inputs; one that fails is made smaller before it is reported.
pub(super) async fn check<S, Run>(inputs: S, run: impl Fn(S::Value) -> Run)
where
    S: Strategy,
    Run: Future<Output = Result<(), TestCaseError>>,
{
    check_in(24, inputs, run).await;
}

/// The same in so many runs, unless told otherwise.
pub(super) async fn check_in<S, Run>(runs: u32, inputs: S, run: impl Fn(S::Value) -> Run)
where
    S: Strategy,
    Run: Future<Output = Result<(), TestCaseError>>,
{
    let cases = std::env::var("NEXUS_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(runs);
    let config = Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let result = tokio::task::block_in_place(|| {
        TestRunner::new(config).run(&inputs, |input| Handle::current().block_on(run(input)))
    });
    if let Err(error) = result {
        panic!("the store and the model disagree: {error}");
    }
}

/// What a random append expects of a stream, in terms of what is there.
#[derive(Clone, Copy, Debug)]
enum Belief {
    Any,
    NoStream,
    StreamExists,
    /// The last version, so many off.
    Last(i8),
}

fn beliefs() -> impl Strategy<Value = Belief> + Clone {
    use proptest::prelude::*;
    prop_oneof![
        3 => Just(Belief::Any),
        1 => Just(Belief::NoStream),
        1 => Just(Belief::StreamExists),
        4 => Just(Belief::Last(0)),
        1 => (-2_i8..3).prop_map(Belief::Last),
    ]
}

impl Belief {
    fn expected(self, last: Option<StreamVersion>) -> ExpectedVersion {
        match self {
            Self::Any => ExpectedVersion::Any,
            Self::NoStream => ExpectedVersion::NoStream,
            Self::StreamExists => ExpectedVersion::StreamExists,
            Self::Last(off) => {
                let last = last.map_or(0, StreamVersion::get);
                let version = last.checked_add_signed(i64::from(off)).map(StreamVersion::new);
                version.and_then(Result::ok).map_or(ExpectedVersion::NoStream, ExpectedVersion::Exact)
            }
        }
    }
}

/// An answer without what differs between stores: positions may have holes.
fn comparable(answer: &Result<Appended, StoreError>) -> String {
    match answer {
        Ok(Appended::Stored(commit)) => format!("stored {:?}", without_position(commit)),
        Ok(Appended::Repeated(commit)) => format!("repeated {:?}", without_position(commit)),
        Err(StoreError::Conflict(Conflict::Condition { .. })) => "a condition does not hold".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn without_position(commit: &Commit) -> Commit {
    Commit { position: None, ..commit.clone() }
}
