use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use proptest::prelude::*;

use super::{ProjectionFixture, collection, json, key, space, stored, transact};
use crate::port::{Documents, ProjectionStore, WorkError};
use crate::testing::model::check;
use crate::vocabulary::{Document, DocumentKey, KeyRange, Payload, StoreError};

pub async fn a_transaction_reads_what_it_wrote<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    let (one, here) = (collection("one"), space(1));
    let done = transact(&store, 1, move |transaction| {
        async move {
            let documents = transaction.read_model();
            assert_eq!(documents.get(&one, &key("a")).await?, None);
            documents.put(&one, &key("a"), json("1")).await?;
            documents.put(&one, &key("a"), json("2")).await?;
            assert_eq!(documents.get(&one, &key("a")).await?, Some(json("2")));
            documents.delete(&one, &key("a")).await?;
            documents.delete(&one, &key("a")).await?;
            assert_eq!(documents.get(&one, &key("a")).await?, None);
            documents.put(&one, &key("b"), json("3")).await?;
            let listed = documents.list(&one, &KeyRange::all()).await?;
            assert_eq!(listed, [Document { key: key("b"), content: json("3") }]);
            Ok(())
        }
        .boxed()
    })
    .await;
    done.expect("it is committed");
    assert_eq!(stored(&store, &here, &collection("one"), "a").await, None, "a deleted document is gone");
    assert_eq!(stored(&store, &here, &collection("one"), "b").await, Some(json("3")));
}

pub async fn documents_come_back_byte_for_byte<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let (store, other) = (fixture.open().await, fixture.open().await);
    let texts = [
        "{}",
        " [1 ,2]\n",
        "18446744073709551615",
        "0.10",
        "\"Ægir · 東京 \\u0000\"",
        "{\"b\":1,\"a\":2,\"b\":3}",
    ];
    let keys =
        ["a", "Ægir", "東京/1", "with space", "\u{1}", "percent%_", &"x".repeat(1_024)].map(String::from);
    for (number, at) in keys.iter().enumerate() {
        let (at, text) = (at.clone(), texts[number % texts.len()]);
        transact(&store, 1, move |transaction| {
            async move { Ok(transaction.read_model().put(&collection("c"), &key(&at), json(text)).await?) }
                .boxed()
        })
        .await
        .expect("it is committed");
    }
    for (number, at) in keys.iter().enumerate() {
        for store in [&store, &other] {
            let found = stored(store, &space(1), &collection("c"), at).await;
            assert_eq!(found, Some(json(texts[number % texts.len()])), "{at:?} is not as it was written");
        }
    }
}

pub async fn documents_are_listed_in_the_order_of_their_keys<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    let keys = ["b", "a", "aa", "ab", "a\u{1}", "B", "é", "z", "東", "a\u{10ffff}", "b1", "b10", "b2"];
    transact(&store, 1, move |transaction| {
        async move {
            for at in keys {
                transaction.read_model().put(&collection("c"), &key(at), json("1")).await?;
            }
            transaction.read_model().put(&collection("d"), &key("other"), json("1")).await?;
            Ok(())
        }
        .boxed()
    })
    .await
    .expect("it is committed");
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    for range in [
        KeyRange::all(),
        KeyRange::all().limit(4),
        KeyRange::all().after(key("aa")).limit(3),
        KeyRange::prefixed("a"),
        KeyRange::prefixed("a\u{10ffff}"),
        KeyRange::prefixed("b1"),
        KeyRange::prefixed("b").after(key("b1")).limit(1),
        KeyRange::prefixed("a").after(key("z")),
        KeyRange::all().limit(0),
    ] {
        let matching = sorted.iter().filter(|text| range.includes(text)).take(range.max_documents());
        let expected: Vec<&str> = matching.copied().collect();
        let listed = store.list(&space(1), &collection("c"), &range).await.expect("it can be listed");
        let found: Vec<&str> = listed.iter().map(|document| document.key.as_str()).collect();
        assert_eq!(found, expected, "{range:?}");
    }
}

pub async fn spaces_and_collections_are_apart<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    for (number, name) in [(1, "a"), (1, "b"), (2, "a")] {
        let content = json(&format!("\"{number}{name}\""));
        transact(&store, number, move |transaction| {
            async move { Ok(transaction.read_model().put(&collection(name), &key("k"), content).await?) }
                .boxed()
        })
        .await
        .expect("it is committed");
    }
    for (number, name) in [(1, "a"), (1, "b"), (2, "a")] {
        let found = stored(&store, &space(number), &collection(name), "k").await;
        assert_eq!(found, Some(json(&format!("\"{number}{name}\""))));
    }
    assert_eq!(stored(&store, &space(2), &collection("b"), "k").await, None);
    assert_eq!(stored(&store, &space(3), &collection("a"), "k").await, None, "there is no such space");
}

#[derive(Clone, Debug)]
enum Operation {
    Put(u8, u8),
    Delete(u8),
    List { after: Option<u8>, limit: u8 },
    Get(u8),
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![
        4 => (0_u8..12, any::<u8>()).prop_map(|(at, content)| Operation::Put(at, content)),
        2 => (0_u8..12).prop_map(Operation::Delete),
        2 => (proptest::option::of(0_u8..12), 0_u8..14)
            .prop_map(|(after, limit)| Operation::List { after, limit }),
        1 => (0_u8..12).prop_map(Operation::Get),
    ]
}

fn text(number: u8) -> String {
    format!("k{}", number * 7 % 12)
}

/// Transactions of random operations, some of which fail in the end, give the answers that a map gives.
pub async fn documents_agree_with_the_model<F: ProjectionFixture>() {
    let runs =
        proptest::collection::vec((proptest::collection::vec(operations(), 1..12), any::<bool>()), 1..8);
    check(runs, async |transactions| {
        let fixture = F::start().await;
        let store = fixture.open().await;
        let mut model: BTreeMap<String, u8> = BTreeMap::new();
        for (operations, commits) in transactions {
            let mut after = model.clone();
            let expected: Vec<String> = operations.iter().map(|one| modelled(&mut after, one)).collect();
            let answers = Arc::new(Mutex::new(Vec::new()));
            let told = Arc::clone(&answers);
            let done = transact(&store, 1, move |transaction| {
                async move {
                    let mut answers = Vec::new();
                    for operation in &operations {
                        answers.push(done(transaction.read_model(), operation).await?);
                    }
                    *told.lock().expect("no panic") = answers;
                    if commits { Ok(()) } else { Err(WorkError::Failed("taken back".into())) }
                }
                .boxed()
            })
            .await;
            prop_assert_eq!(done.is_ok(), commits);
            prop_assert_eq!(std::mem::take(&mut *answers.lock().expect("no panic")), expected);
            if commits {
                model = after;
            }
            let listed = store.list(&space(1), &collection("c"), &KeyRange::all()).await.expect("listed");
            let found: Vec<String> = listed.into_iter().map(shown).collect();
            let expected: Vec<String> = model.iter().map(|(at, content)| format!("{at}={content}")).collect();
            prop_assert_eq!(found, expected, "after the transaction");
        }
        Ok(())
    })
    .await;
}

fn modelled(model: &mut BTreeMap<String, u8>, operation: &Operation) -> String {
    match operation {
        Operation::Put(at, content) => {
            model.insert(text(*at), *content);
            String::new()
        }
        Operation::Delete(at) => {
            model.remove(&text(*at));
            String::new()
        }
        Operation::Get(at) => format!("{:?}", model.get(&text(*at)).map(ToString::to_string)),
        Operation::List { after, limit } => {
            let after = after.map(text).unwrap_or_default();
            let within = model.iter().filter(|(at, _)| **at > after).take(usize::from(*limit));
            within.map(|(at, content)| format!("{at}={content}")).collect::<Vec<_>>().join(",")
        }
    }
}

async fn done(documents: &mut dyn Documents, operation: &Operation) -> Result<String, StoreError> {
    let of = collection("c");
    match operation {
        Operation::Put(at, content) => {
            documents.put(&of, &key(&text(*at)), json(&content.to_string())).await?;
            Ok(String::new())
        }
        Operation::Delete(at) => documents.delete(&of, &key(&text(*at))).await.map(|()| String::new()),
        Operation::Get(at) => {
            let found = documents.get(&of, &key(&text(*at))).await?;
            Ok(format!("{:?}", found.as_ref().map(Payload::to_string)))
        }
        Operation::List { after, limit } => {
            let range = KeyRange::all().limit(usize::from(*limit));
            let after: Option<DocumentKey> = after.map(|after| key(&text(after)));
            let range = after.map_or(range.clone(), |after| range.after(after));
            let listed = documents.list(&of, &range).await?;
            Ok(listed.into_iter().map(shown).collect::<Vec<_>>().join(","))
        }
    }
}

fn shown(document: Document) -> String {
    format!("{}={}", document.key, document.content)
}
