use std::time::Duration;

use jiff::SignedDuration;

use super::{Failure, ProjectionFixture, Shop, eventually, ledger_name};
use crate::port::EventStore;
use crate::runtime::{DeadLetter, LetterState, ProjectionsError};
use crate::testing::fixture::soon;
use crate::testing::samples::{stream, version};

async fn letters<F: ProjectionFixture>(shop: &Shop<F>) -> Vec<DeadLetter> {
    let projections = shop.projections().await;
    projections.dead_letters(&ledger_name(), None, 100).await.expect("letters can be listed")
}

fn versions(letters: &[DeadLetter]) -> Vec<u64> {
    letters.iter().map(|letter| letter.event.version().get()).collect()
}

/// Lets time pass until a letter was tried so often.
async fn until_tried<F: ProjectionFixture>(shop: &Shop<F>, tries: u32) {
    eventually(format_args!("a letter was tried {tries} times"), async || {
        shop.clock.advance(SignedDuration::from_secs(10));
        letters(shop).await.first().is_some_and(|letter| letter.tries >= tries)
    })
    .await;
}

pub async fn a_failed_event_holds_up_its_stream_alone<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let (one, other) = (stream(1), stream(2));
    shop.ledger.fail_at(&one, 2, Failure::Error);
    shop.append(&one, 3).await;
    shop.append(&other, 3).await;
    let running = shop.run().await;
    shop.until(&other, &[1, 2, 3]).await;
    shop.until(&one, &[1]).await;
    for _ in 0..3 {
        shop.append(&one, 1).await;
        shop.append(&other, 1).await;
    }
    shop.until(&other, &[1, 2, 3, 4, 5, 6]).await;
    assert_eq!(shop.ledger(&one).await, [1], "what it wrote before it failed is taken back");
    eventually("everything of the stream waits", async || letters(&shop).await.len() == 5).await;
    let letters = letters(&shop).await;
    assert_eq!(versions(&letters), [2, 3, 4, 5, 6]);
    let first = &letters[0];
    assert_eq!((first.state, first.tries), (LetterState::Retrying, 1));
    assert_eq!(first.error.as_deref(), Some("asked to fail"));
    assert!(first.first_failed.is_some() && first.last_failed == first.first_failed);
    assert!(first.next_try > first.last_failed);
    assert!(letters[1..].iter().all(|letter| (letter.state, letter.tries) == (LetterState::Waiting, 0)));
    let stored = shop.log.read(&one, crate::vocabulary::ReadOptions::forwards());
    let stored = crate::testing::samples::all(stored).await;
    assert!(
        letters.iter().zip(&stored[1..]).all(|(letter, event)| letter.event == *event),
        "an event changed"
    );
    running.stop().await.expect("it goes on until it is stopped");
}

pub async fn a_failed_event_is_tried_again_by_itself<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let one = stream(1);
    shop.ledger.fail_at(&one, 1, Failure::Error);
    let running = shop.run().await;
    shop.append(&one, 3).await;
    until_tried(&shop, 1).await;
    shop.ledger.recover();
    eventually("it is tried again", async || {
        shop.clock.advance(SignedDuration::from_secs(1));
        letters(&shop).await.is_empty()
    })
    .await;
    assert_eq!(shop.ledger(&one).await, [1, 2, 3]);
    shop.append(&one, 1).await;
    shop.until(&one, &[1, 2, 3, 4]).await;
    assert!(letters(&shop).await.is_empty(), "the stream goes on as before");
    running.stop().await.expect("it goes on until it is stopped");
}

pub async fn an_event_that_fails_too_often_is_a_dead_letter<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let one = stream(1);
    shop.ledger.fail_at(&one, 1, Failure::Error);
    let running = shop.run().await;
    shop.append(&one, 2).await;
    until_tried(&shop, 3).await;
    let tried = letters(&shop).await;
    assert_eq!((tried[0].state, tried[0].next_try), (LetterState::Dead, None));
    assert!(tried[0].last_failed > tried[0].first_failed);
    shop.clock.advance(SignedDuration::from_hours(1));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(letters(&shop).await, tried, "it is left alone");
    running.stop().await.expect("it goes on until it is stopped");
}

pub async fn a_panic_is_a_failure<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let (one, other) = (stream(1), stream(2));
    shop.ledger.fail_at(&one, 1, Failure::Panic);
    shop.append(&one, 2).await;
    shop.append(&other, 2).await;
    let running = shop.run().await;
    shop.until(&other, &[1, 2]).await;
    eventually("the stream waits", async || letters(&shop).await.len() == 2).await;
    assert_eq!(letters(&shop).await[0].error.as_deref(), Some("panicked: asked to panic"));
    running.stop().await.expect("it goes on until it is stopped");
}

pub async fn dead_letters_are_retried_in_order<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let one = stream(1);
    shop.ledger.fail_at(&one, 2, Failure::Error);
    shop.ledger.fail_at(&one, 4, Failure::Error);
    let running = shop.run().await;
    shop.append(&one, 11).await;
    until_tried(&shop, 3).await;
    shop.ledger.recover();
    shop.ledger.fail_at(&one, 4, Failure::Error);
    let (projections, name) = (shop.projections().await, ledger_name());
    running.retry(&one).await.expect("it is asked for");
    let first = projections.answered(&name, &one, soon()).await.expect("it is done");
    assert_eq!(first.map(|letter| (letter.event.version(), letter.tries)), Some((version(4), 1)));
    assert_eq!(shop.ledger(&one).await, [1, 2, 3], "those before it were taken in, in order");
    shop.append(&one, 1).await;
    shop.ledger.recover();
    running.retry(&one).await.expect("it is asked for");
    assert_eq!(projections.answered(&name, &one, soon()).await.expect("it is done"), None);
    shop.until(&one, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).await;
    let none = projections.retry(&name, &one).await.expect_err("there is nothing to retry");
    assert!(matches!(none, ProjectionsError::NoLetter { .. }), "{none:?}");
    running.stop().await.expect("it goes on until it is stopped");
}

pub async fn a_dead_letter_can_be_skipped<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let one = stream(1);
    shop.ledger.fail_at(&one, 2, Failure::Error);
    let running = shop.run().await;
    shop.append(&one, 4).await;
    until_tried(&shop, 3).await;
    let (projections, name) = (shop.projections().await, ledger_name());
    let refused = projections.skip(&name, &one, version(3), None).await.expect_err("it waits behind another");
    assert!(
        matches!(refused, ProjectionsError::NotFirst { first, .. } if first == version(2)),
        "{refused:?}"
    );
    running.skip(&one, version(2), Some("ada")).await.expect("it is asked for");
    assert_eq!(projections.answered(&name, &one, soon()).await.expect("it is done"), None);
    assert_eq!(shop.ledger(&one).await, [1, 3, 4], "those behind it go on");
    let skipped = projections.skipped_letters(&name, 10).await.expect("they can be listed");
    assert_eq!(skipped.len(), 1);
    assert_eq!((skipped[0].by.as_deref(), skipped[0].letter.event.version()), (Some("ada"), version(2)));
    shop.append(&one, 1).await;
    shop.until(&one, &[1, 3, 4, 5]).await;
    running.stop().await.expect("it goes on until it is stopped");
}

pub async fn dead_letters_survive_a_restart<F: ProjectionFixture>() {
    let shop = Shop::<F>::new().await;
    let one = stream(1);
    shop.ledger.fail_at(&one, 1, Failure::Error);
    let running = shop.run().await;
    shop.append(&one, 2).await;
    until_tried(&shop, 3).await;
    running.stop().await.expect("it goes on until it is stopped");
    let before = letters(&shop).await;
    assert_eq!(versions(&before), [1, 2]);
    // What is asked for while nobody is there is done when somebody is.
    let (projections, name) = (shop.projections().await, ledger_name());
    projections.retry(&name, &one).await.expect("it is asked for");
    let nobody = projections.answered(&name, &one, Duration::from_millis(50)).await;
    assert!(matches!(nobody, Err(ProjectionsError::NotYet { .. })), "{nobody:?}");
    shop.append(&one, 1).await;
    shop.ledger.recover();
    let running = shop.run().await;
    assert_eq!(projections.answered(&name, &one, soon()).await.expect("it is done"), None);
    shop.until(&one, &[1, 2, 3]).await;
    running.stop().await.expect("it goes on until it is stopped");
}
