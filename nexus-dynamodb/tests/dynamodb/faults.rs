//! Writers and a projection at work while everything goes wrong; then a checker compares what was acknowledged, the table, and the read
//! model. `NEXUS_FAULT_COMMITS` sets how many commits each writer makes: 40 unless told otherwise.

mod checker;
mod plans;
mod poison;
mod world;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use nexus_core::ProjectionState;
use nexus_services::Fault;
use plans::{Dice, conflict, cut_and_slow, expire, lose_answers, shake, throttle, trim};
use world::World;

use crate::support::{Dynoxide, Ministack, Server};

/// Runs under a plan of faults, then without, until all is consumed; and checks.
async fn run<S: Server>(plan: impl FnMut(nexus_services::PassingRequest<'_>) -> Fault + Send + 'static) {
    let world = World::<S>::new(plan).await;
    let projection = world.project(SignedDuration::ZERO).await;
    let acknowledged = world.write([SignedDuration::ZERO; 4]).await;
    world.calm();
    checker::check(&world, &acknowledged).await;
    projection.stop().await.expect("it goes on until it is stopped");
}

macro_rules! on_both {
    ($name:ident, $plan:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread")]
            async fn on_dynoxide() {
                run::<Dynoxide>($plan).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_ministack() {
                run::<Ministack>($plan).await;
            }
        }
    };
}

on_both!(throttling, throttle(Dice::new(1), 20));
on_both!(transaction_conflicts, conflict(Dice::new(2), 20));
on_both!(lost_answers, lose_answers(Dice::new(3), 15));
on_both!(slow_and_cut_connections, cut_and_slow(Dice::new(4), 15));
on_both!(expired_iterators, expire(Dice::new(5), 30));
on_both!(trimmed_records, trim(Dice::new(6), 20));
/// As a server that is started again: for two seconds nobody answers.
fn gone_for_seconds() -> impl FnMut(nexus_services::PassingRequest<'_>) -> Fault + Send {
    let begun = std::time::Instant::now();
    let gone = Duration::from_secs(1)..Duration::from_secs(3);
    move |_| if gone.contains(&begun.elapsed()) { Fault::CutBefore } else { Fault::None }
}

on_both!(a_server_that_is_gone_for_seconds, gone_for_seconds());
on_both!(reordered_and_repeated_records, shake(Dice::new(7)));

type Plan = Box<dyn FnMut(nexus_services::PassingRequest<'_>) -> Fault + Send>;

/// All of it.
fn everything() -> impl FnMut(nexus_services::PassingRequest<'_>) -> Fault + Send {
    let mut plans: Vec<Plan> = vec![
        Box::new(throttle(Dice::new(11), 4)),
        Box::new(conflict(Dice::new(12), 4)),
        Box::new(lose_answers(Dice::new(13), 4)),
        Box::new(cut_and_slow(Dice::new(14), 4)),
        Box::new(expire(Dice::new(15), 5)),
        Box::new(trim(Dice::new(16), 3)),
        Box::new(shake(Dice::new(17))),
    ];
    move |request| {
        let faults = plans.iter_mut().map(|plan| plan(request));
        // The first one that does something.
        faults.fold(Fault::None, |first, next| if matches!(first, Fault::None) { next } else { first })
    }
}

on_both!(everything_at_once, everything());

/// Writers, and runners of a projection, whose clocks are minutes apart; two runners contend all the time.
async fn wrong_clocks<S: Server>() {
    let world = World::<S>::new(|_| Fault::None).await;
    let minutes = SignedDuration::from_mins;
    let ahead = world.project(minutes(7)).await;
    let behind = world.project(minutes(-9)).await;
    let acknowledged = world.write([minutes(-10), minutes(0), minutes(4), minutes(12)]).await;
    checker::check(&world, &acknowledged).await;
    ahead.stop().await.expect("it goes on until it is stopped");
    behind.stop().await.expect("it goes on until it is stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_wrong_by_minutes_harm_nothing_on_dynoxide() {
    wrong_clocks::<Dynoxide>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_wrong_by_minutes_harm_nothing_on_ministack() {
    wrong_clocks::<Ministack>().await;
}

/// A worker whose commit is held up for far longer than its lease: another takes over, and what the first had sent, and sends again, comes to
/// nothing.
async fn stale_lease<S: Server>() {
    let world = World::<S>::new(|_| Fault::None).await;
    let commits = AtomicU32::new(0);
    let stalled = world.project_through(move |request| {
        let is_of_events = find(request.body, b"/streams");
        if is_of_events
            && request.operation == "TransactWriteItems"
            && commits.fetch_add(1, Ordering::SeqCst) == 0
        {
            Fault::DelayBefore(Duration::from_secs(3))
        } else {
            Fault::None
        }
    });
    let stalled = stalled.await;
    let other = world.project(SignedDuration::ZERO).await;
    let taken_over = async {
        let does_all = |state| matches!(state, ProjectionState::CatchingUp | ProjectionState::Live);
        while !does_all(other.status().state) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let taken_over = tokio::time::timeout(Duration::from_secs(30), taken_over);
    let (acknowledged, taken_over) = tokio::join!(world.write([SignedDuration::ZERO; 4]), taken_over);
    taken_over.expect("another takes over");
    checker::check(&world, &acknowledged).await;
    // By then what was held up has arrived.
    tokio::time::sleep(Duration::from_secs(4)).await;
    checker::check(&world, &acknowledged).await;
    other.stop().await.expect("it goes on until it is stopped");
    stalled.stop().await;
}

fn find(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|window| window == what)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_lease_writes_nothing_on_dynoxide() {
    stale_lease::<Dynoxide>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_lease_writes_nothing_on_ministack() {
    stale_lease::<Ministack>().await;
}
