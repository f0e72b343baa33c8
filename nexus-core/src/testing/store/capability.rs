use bytes::Bytes;

use crate::port::EventStore;
use crate::testing::samples::{Lab, batch, event_id, event_type, events, stored, stream};
use crate::testing::{StoreFixture, samples};
use crate::vocabulary::{
    AppendBatch, AppendCondition, ExpectedVersion, InvalidAppend, NewEvent, Payload, Query, StoreError,
    StreamId,
};

pub async fn a_batch_over_the_limit_is_refused<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (stream, capabilities) = (stream("large"), lab.store.capabilities());
    if let Some(limit) = capabilities.max_batch_events() {
        let count = usize::try_from(limit).expect("a limit that fits into memory");
        refuse_too_large(&lab, batch(&stream, ExpectedVersion::Any, events(count + 1)), limit).await;
    }
    if let Some(limit) = capabilities.max_batch_bytes() {
        refuse_too_large(&lab, heavy(&stream, limit + 1), limit).await;
    }
    if let Some(limit) = capabilities.max_stream_bytes() {
        refuse_too_large(&lab, heavy(&stream, limit + 1), limit).await;
    }
    if let Some(limit) = capabilities.max_streams() {
        let one_more = (0..limit).fold(batch(&stream, ExpectedVersion::Any, events(1)), |batch, number| {
            let other = samples::stream(format_args!("large-{number}"));
            batch.and(other, ExpectedVersion::Any, events(1)).expect("valid")
        });
        refuse_too_large(&lab, one_more, limit).await;
    }
    assert_eq!(lab.stored(&stream).await, []);

    // What is within the limits is taken: as much as is declared, or a few megabytes.
    let count = capabilities
        .max_batch_events()
        .map_or(1_000, |limit| usize::try_from(limit.min(1_000)).expect("small"));
    stored(lab.store.append(batch(&stream, ExpectedVersion::NoStream, events(count))).await);
    let limits = [capabilities.max_batch_bytes(), capabilities.max_stream_bytes()];
    let bytes = limits.into_iter().flatten().min().unwrap_or(u64::MAX).min(4 << 20);
    stored(lab.store.append(heavy(&stream, bytes)).await);
    assert!(lab.stored(&stream).await.len() > count);
}

async fn refuse_too_large<F: StoreFixture>(lab: &Lab<F>, batch: AppendBatch, declared: u64) {
    let answer = lab.store.append(batch).await;
    let is_named = matches!(
        answer,
        Err(StoreError::Invalid(InvalidAppend::TooLarge { limit, .. })) if limit == declared
    );
    assert!(is_named, "expected the limit of {declared}, got {answer:?}");
}

/// Events whose payloads have exactly so many bytes together; they share one buffer.
fn heavy(stream: &StreamId, bytes: u64) -> AppendBatch {
    const EACH: u64 = 1 << 20;
    let string = |length: u64| {
        let mut text = vec![b'x'; usize::try_from(length).expect("small")];
        (text[0], *text.last_mut().expect("not empty")) = (b'"', b'"');
        Bytes::from(text)
    };
    let event = |text: Bytes| NewEvent::new(event_id(), event_type("Heavy"), Payload::from_checked(text));
    let whole = string(EACH);
    // The last one takes what is left, which is at least two quotes.
    let count = (bytes - 2) / EACH;
    let mut events: Vec<NewEvent> = (0..count).map(|_| event(whole.clone())).collect();
    events.push(event(string(bytes - count * EACH)));
    batch(stream, ExpectedVersion::Any, events)
}

/// And what is declared is taken.
pub async fn what_is_not_declared_is_refused<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    let (one, two) = (stream("declared-1"), stream("declared-2"));
    let capabilities = lab.store.capabilities();

    let condition = AppendCondition { query: Query::types([event_type("Never")]), after: None };
    let conditional = batch(&one, ExpectedVersion::Any, events(1)).when(condition);
    let several = batch(&one, ExpectedVersion::Any, events(1))
        .and(two.clone(), ExpectedVersion::Any, events(1))
        .expect("valid");
    let asserting = batch(&one, ExpectedVersion::Any, events(1))
        .expecting(stream("declared-3"), ExpectedVersion::NoStream)
        .expect("valid");

    let mut taken = 0;
    for (declared, batch) in [
        (capabilities.conditions(), conditional),
        (capabilities.several_streams(), several),
        (capabilities.several_streams(), asserting),
    ] {
        let answer = lab.store.append(batch).await;
        if declared {
            stored(answer);
            taken += 1;
        } else {
            assert!(
                matches!(answer, Err(StoreError::Unsupported { .. })),
                "what is not declared has to be refused: {answer:?}"
            );
        }
    }
    assert_eq!(lab.stored(&one).await.len(), taken, "what was refused stored something");
}
