use std::sync::Arc;

use crate::port::EventStore;
use crate::testing::StoreFixture;
use crate::testing::samples::{Lab, batch, event, event_type, race, stored, stream, tag, tagged, versions};
use crate::testing::store::what_is_not_declared_is_refused;
use crate::vocabulary::{
    AppendCondition, Appended, Category, Conflict, ExpectedVersion, Position, Query, QueryItem, StoreError,
};

/// Whether conditions are declared; a store without them has to refuse them, which is checked instead.
async fn has_conditions<F: StoreFixture>(lab: &Lab<F>) -> bool {
    let declared = lab.store.capabilities().conditions();
    if !declared {
        what_is_not_declared_is_refused::<F>().await;
    }
    declared
}

pub async fn a_condition_refuses_what_it_names<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    if !has_conditions(&lab).await {
        return;
    }
    let stored_events = [
        event("Defined"),
        tagged("Subscribed", &["course:1", "student:1"]),
        tagged("Subscribed", &["course:1", "student:2"]),
        tagged("Left", &["course:2", "student:1"]),
    ];
    let mut positions: Vec<Position> = Vec::new();
    for (number, event) in stored_events.iter().enumerate() {
        let commit = lab.append(&stream(format_args!("named-{}", number % 2)), vec![event.clone()]).await;
        positions.push(commit.position.expect("a store with conditions has positions"));
    }
    let types = |names: &[&str]| QueryItem::default().types(names.iter().map(|name| event_type(name)));
    let tags = |texts: &[&str]| QueryItem::default().tags(texts.iter().map(|text| tag(text)));
    let category = |name| QueryItem::default().categories(Category::new(name));

    // What the condition names, what is known already, and which event it then meets.
    let cases = [
        (Query::all(), None, Some(0)),
        (Query::all(), Some(3), None),
        (Query::item(types(&["Defined"])), None, Some(0)),
        (Query::item(types(&["Defined"])), Some(0), None),
        (Query::item(types(&["Left", "Subscribed"])), None, Some(1)),
        (Query::item(types(&["Left", "Subscribed"])), Some(2), Some(3)),
        (Query::item(types(&["Left", "Never"])), None, Some(3)),
        (Query::item(types(&["Never"])), None, None),
        (Query::item(tags(&["course:1"])), None, Some(1)),
        (Query::item(tags(&["course:1", "student:2"])), None, Some(2)),
        (Query::item(tags(&["course:2", "student:2"])), None, None),
        (Query::item(tags(&["course:1"])), Some(2), None),
        (Query::item(types(&["Left"]).tags([tag("course:1")])), None, None),
        (Query::item(types(&["Left"]).tags([tag("student:1")])), None, Some(3)),
        (Query::item(tags(&["never"])).or(types(&["Subscribed"])), None, Some(1)),
        (Query::item(tags(&["never"])).or(tags(&["course:2"])), None, Some(3)),
        (Query::item(category("sample")), Some(2), Some(3)),
        (Query::item(category("other")), None, None),
        (Query::item(QueryItem::default()), Some(1), Some(2)),
    ];
    for (number, (query, after, met)) in cases.into_iter().enumerate() {
        let after = after.map(|index: usize| positions[index]);
        let target = stream(format_args!("target-{number}"));
        let condition = AppendCondition { query: query.clone(), after };
        let answer =
            lab.store.append(batch(&target, ExpectedVersion::Any, vec![event("Own")]).when(condition)).await;
        match met {
            Some(index) => {
                let conflict = Conflict::Condition { position: positions[index] };
                assert!(
                    matches!(&answer, Err(StoreError::Conflict(met)) if *met == conflict),
                    "{query:?} after {after:?}: expected {conflict:?}, got {answer:?}"
                );
                assert_eq!(lab.stored(&target).await, []);
            }
            None => {
                stored(answer);
                assert_eq!(versions(&lab.stored(&target).await), [1], "{query:?}");
            }
        }
    }
}

pub async fn of_racing_conditional_appends_exactly_one_wins<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    if !has_conditions(&lab).await {
        return;
    }
    let stores = [lab.store.clone(), lab.another().await];
    for round in 0..10 {
        let name = format!("name:{round}");
        let writers = stores.iter().cycle().take(12).enumerate().map(|(writer, store)| {
            // Different streams: only the condition stands between them.
            let target = stream(format_args!("conditional-{round}-{writer}"));
            let condition = AppendCondition { query: Query::tags([tag(&name)]), after: None };
            let sent =
                batch(&target, ExpectedVersion::NoStream, vec![tagged("Taken", &[&name])]).when(condition);
            let store = Arc::clone(store);
            async move { store.append(sent).await }
        });
        let answers = race(writers).await;

        let winners: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "of racing conditional appends exactly one wins: {answers:?}");
        let position = winners[0].commit().position.expect("a position");
        for answer in answers.iter().filter(|answer| answer.is_err()) {
            assert!(
                matches!(answer, Err(StoreError::Conflict(Conflict::Condition { position: met })) if *met == position),
                "{answer:?}"
            );
        }
    }
}

/// A plain append is never refused by somebody else's condition; but then no condition that names it holds any more.
pub async fn a_condition_holds_against_plain_appends<F: StoreFixture>() {
    let lab = Lab::<F>::new().await;
    if !has_conditions(&lab).await {
        return;
    }
    let stores = [lab.store.clone(), lab.another().await];
    for round in 0..16 {
        let name = format!("plain:{round}");
        let writers = stores.iter().cycle().take(8).enumerate().map(|(writer, store)| {
            let target = stream(format_args!("plain-{round}-{writer}"));
            let sent = batch(&target, ExpectedVersion::NoStream, vec![tagged("Taken", &[&name])]);
            let is_plain = (writer + round) % 2 == 0;
            let condition = AppendCondition { query: Query::tags([tag(&name)]), after: None };
            let sent = if is_plain { sent } else { sent.when(condition) };
            let store = Arc::clone(store);
            async move { (is_plain, store.append(sent).await) }
        });
        let answers = race(writers).await;

        let position = |answer: &Appended| answer.commit().position.expect("a position");
        let all: Vec<Position> =
            answers.iter().filter_map(|(_, answer)| answer.as_ref().ok().map(position)).collect();
        let first = all.iter().min().copied();
        for (is_plain, answer) in &answers {
            match answer {
                Ok(stored) if !is_plain => {
                    assert_eq!(Some(position(stored)), first, "an event that matches was stored before it");
                }
                Ok(_) => {}
                Err(error) => assert!(!is_plain, "a plain append was refused: {error:?}"),
            }
        }
    }
}
