use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{ProjectionFixture, collection, json, key, space, stored, transact};
use crate::port::{
    DocumentError, DocumentTx, DocumentsExt, ProjectionStore, ProjectionTransaction, ReadModelStore,
    UnitOfWork, WorkError,
};
use crate::testing::fixture::soon;
use crate::vocabulary::{Collection, KeyRange, Payload};

const ROUNDS: u64 = 25;

fn notes() -> Collection {
    Collection::reserved("$samples").expect("a valid name")
}

pub async fn a_failed_transaction_leaves_nothing<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    for round in 0..3 {
        let failed = transact(&store, 1, |transaction| {
            async move {
                transaction.read_model().put(&collection("c"), &key("k"), json("1")).await?;
                transaction.notes().put(&notes(), &key("k"), json("1")).await?;
                Err(WorkError::Failed("on purpose".into()))
            }
            .boxed()
        })
        .await;
        let told = failed.expect_err("the work failed");
        assert!(matches!(told, WorkError::Failed(_)), "round {round}: {told:?}");
        assert_eq!(stored(&store, &space(1), &collection("c"), "k").await, None);
        assert_eq!(stored(&store, &space(1), &notes(), "k").await, None);
    }
}

pub async fn a_panic_leaves_nothing<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    let failed = transact(&store, 1, |transaction| {
        async move {
            transaction.read_model().put(&collection("c"), &key("k"), json("1")).await?;
            panic!("on purpose")
        }
        .boxed()
    })
    .await;
    failed.expect_err("the work panicked");
    assert_eq!(stored(&store, &space(1), &collection("c"), "k").await, None);
    let done = transact(&store, 1, |transaction| {
        async move { Ok(transaction.read_model().put(&collection("c"), &key("k"), json("2")).await?) }.boxed()
    });
    done.await.expect("the store goes on");
    assert_eq!(stored(&store, &space(1), &collection("c"), "k").await, Some(json("2")));
}

/// Each transaction writes two documents, and is dropped somewhere on its way.
pub async fn a_dropped_transaction_leaves_all_or_nothing<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    for round in 0..40_u64 {
        let content = json(&round.to_string());
        let both = transact(&store, 1, move |transaction| {
            async move {
                let documents = transaction.read_model();
                documents.put(&collection("c"), &key("a"), content.clone()).await?;
                tokio::time::sleep(Duration::from_millis(3)).await;
                documents.put(&collection("c"), &key("b"), content).await?;
                Ok(())
            }
            .boxed()
        });
        let _ = timeout(Duration::from_micros(round * 200), both).await;
        // What is still going on is over when another one is done.
        let last = transact(&store, 1, |_| async move { Ok(()) }.boxed());
        last.await.expect("the store goes on");
        let (a, b) = (
            stored(&store, &space(1), &collection("c"), "a").await,
            stored(&store, &space(1), &collection("c"), "b").await,
        );
        assert_eq!(a, b, "half of a dropped transaction is there");
    }
}

/// Adds one to a document, again and again, from several sides at once.
pub async fn concurrent_changes_of_a_document_all_count<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let store = fixture.open().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let mut tries = 0;
                while let Err(error) = add_one(&store).await {
                    tries += 1;
                    assert!(tries < 50, "it cannot be committed: {error:?}");
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("no task panics");
    }
    let store = fixture.open().await;
    let total = stored(&store, &space(1), &collection("c"), "sum").await.map(|sum| sum.to_string());
    assert_eq!(total, Some((4 * ROUNDS).to_string()), "changes were lost");
}

/// Several find by a list that nobody has a key, and take it; one of them has it then, and knows.
pub async fn what_a_list_has_shown_to_be_free_is_taken_once<F: ProjectionFixture>() {
    let fixture = F::start().await;
    for round in 0..ROUNDS {
        let mut tasks = Vec::new();
        for task in 0..4_u64 {
            let store = fixture.open().await;
            tasks.push(tokio::spawn(async move {
                let mut tries = 0;
                loop {
                    match take(&store, round, task).await {
                        Ok(has_taken) => return has_taken,
                        Err(error) => {
                            tries += 1;
                            assert!(tries < 50, "it cannot be committed: {error:?}");
                        }
                    }
                }
            }));
        }
        let mut winners = Vec::new();
        for (task, ended) in tasks.into_iter().enumerate() {
            if ended.await.expect("no task panics") {
                winners.push(task);
            }
        }
        let store = fixture.open().await;
        let holder = stored(&store, &space(1), &collection("c"), &format!("{round:03}-holder")).await;
        let holder = holder.map(|holder| holder.decode::<usize>().expect("a number"));
        assert_eq!(
            winners,
            holder.into_iter().collect::<Vec<_>>(),
            "one has it, and only that one thinks so"
        );
    }
}

async fn take(store: &impl ReadModelStore<DocumentTx>, round: u64, task: u64) -> Result<bool, WorkError> {
    let has_taken = Arc::new(AtomicBool::new(false));
    let taken = Arc::clone(&has_taken);
    transact(store, 1, move |transaction| {
        async move {
            let documents = transaction.read_model();
            let range = KeyRange::prefixed(format!("{round:03}-"));
            let is_free = documents.list(&collection("c"), &range).await?.is_empty();
            // Long enough for others to come between.
            tokio::time::sleep(Duration::from_millis(1)).await;
            if is_free {
                let key = key(&format!("{round:03}-holder"));
                documents.put(&collection("c"), &key, json(&task.to_string())).await?;
            }
            // Of several runs of this work the last one counts.
            taken.store(is_free, Ordering::SeqCst);
            Ok(())
        }
        .boxed()
    })
    .await?;
    Ok(has_taken.load(Ordering::SeqCst))
}

async fn add_one(store: &impl ReadModelStore<DocumentTx>) -> Result<(), WorkError> {
    transact(store, 1, |transaction| {
        async move {
            let documents = transaction.read_model();
            let sum: Option<u64> = documents.read(&collection("c"), "sum").await.map_err(failed)?;
            // Long enough for others to come between.
            tokio::task::yield_now().await;
            documents.write(&collection("c"), "sum", &(sum.unwrap_or(0) + 1)).await.map_err(failed)
        }
        .boxed()
    })
    .await
}

fn failed(error: DocumentError) -> WorkError {
    WorkError::Failed(error.into())
}

pub async fn reading_waits_for_no_transaction<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = Arc::new(fixture.open().await);
    let before = transact(&*store, 1, |transaction| {
        async move { Ok(transaction.read_model().put(&collection("c"), &key("k"), json("1")).await?) }.boxed()
    });
    before.await.expect("it is committed");
    let (entered, gate) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let long = tokio::spawn({
        let (store, entered, gate) = (Arc::clone(&store), Arc::clone(&entered), Arc::clone(&gate));
        async move {
            transact(&*store, 1, move |transaction| {
                async move {
                    transaction.read_model().put(&collection("c"), &key("k"), json("2")).await?;
                    entered.add_permits(1);
                    let _ = gate.acquire().await;
                    Ok(())
                }
                .boxed()
            })
            .await
        }
    });
    entered.acquire().await.expect("open").forget();
    let other = fixture.open().await;
    for store in [&*store, &other] {
        let read = timeout(soon(), stored(store, &space(1), &collection("c"), "k")).await;
        assert_eq!(
            read.expect("reading waits for a transaction"),
            Some(json("1")),
            "what is not committed is seen"
        );
    }
    gate.add_permits(1);
    long.await.expect("no panic").expect("it is committed");
    assert_eq!(stored(&other, &space(1), &collection("c"), "k").await, Some(json("2")));
}

pub async fn read_model_and_notes_commit_together<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    let writer = tokio::spawn({
        let store = fixture.open().await;
        async move {
            for number in 1..=100_u64 {
                let content = json(&number.to_string());
                transact(&store, 1, move |transaction| {
                    async move {
                        transaction.read_model().put(&collection("c"), &key("k"), content.clone()).await?;
                        transaction.notes().put(&notes(), &key("k"), content).await?;
                        if number % 7 == 0 { Err(WorkError::Failed("on purpose".into())) } else { Ok(()) }
                    }
                    .boxed()
                })
                .await
                .map_or_else(|_| assert_eq!(number % 7, 0), |()| assert_ne!(number % 7, 0));
            }
        }
    });
    // Read model first: notes that are older than it would show that they lag behind.
    let number =
        |content: Option<Payload>| content.map_or(0, |content| content.decode::<u64>().expect("a number"));
    while !writer.is_finished() {
        let read_model = number(stored(&store, &space(1), &collection("c"), "k").await);
        let note = number(stored(&store, &space(1), &notes(), "k").await);
        assert!(note >= read_model, "the notes lag behind the read model: {note} < {read_model}");
        assert!(note % 7 != 0 || note == 0, "what was taken back is noted");
    }
    writer.await.expect("no panic");
    for of in [collection("c"), notes()] {
        assert_eq!(stored(&store, &space(1), &of, "k").await, Some(json("100")));
    }
}

pub async fn notes_alone_are_kept<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    assert!(!<F::Store as ReadModelStore<()>>::takes_back(&store), "effects elsewhere cannot be taken back");
    assert!(<F::Store as ReadModelStore<DocumentTx>>::takes_back(&store));
    store.note(&space(1), Box::new(Noting)).await.expect("it is committed");
    <F::Store as ReadModelStore<()>>::transact(&store, &space(2), Box::new(Noting))
        .await
        .expect("it is committed");
    let other = fixture.open().await;
    for number in [1, 2] {
        assert_eq!(stored(&other, &space(number), &notes(), "k").await, Some(json("1")));
    }
}

/// Work over the notes alone.
struct Noting;

#[async_trait]
impl UnitOfWork<()> for Noting {
    async fn run(&mut self, transaction: &mut dyn ProjectionTransaction<()>) -> Result<(), WorkError> {
        let () = *transaction.read_model();
        Ok(transaction.notes().put(&notes(), &key("k"), json("1")).await?)
    }
}

pub async fn a_removed_space_is_empty<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    store.remove(&space(1)).await.expect("there is nothing to remove");
    for number in [1, 2] {
        let done = transact(&store, number, |transaction| {
            async move { Ok(transaction.read_model().put(&collection("c"), &key("k"), json("1")).await?) }
                .boxed()
        });
        done.await.expect("it is committed");
    }
    store.remove(&space(1)).await.expect("it is removed");
    for store in [&store, &fixture.open().await] {
        assert_eq!(stored(store, &space(1), &collection("c"), "k").await, None, "it is still there");
        assert_eq!(stored(store, &space(2), &collection("c"), "k").await, Some(json("1")), "another is gone");
    }
    let again = transact(&store, 1, |transaction| {
        async move {
            assert_eq!(transaction.read_model().get(&collection("c"), &key("k")).await?, None);
            Ok(transaction.read_model().put(&collection("c"), &key("l"), json("2")).await?)
        }
        .boxed()
    });
    again.await.expect("a space can be made anew");
}

pub async fn read_models_are_compared<F: ProjectionFixture>() {
    let fixture = F::start().await;
    let store = fixture.open().await;
    let fill = async |number: u32, documents: &'static [(&'static str, &'static str)], note: &'static str| {
        let done = transact(&store, number, move |transaction| {
            async move {
                for (at, content) in documents {
                    transaction.read_model().put(&collection("c"), &key(at), json(content)).await?;
                }
                // What Nexus notes is no part of the read model.
                Ok(transaction.notes().put(&notes(), &key("k"), json(note)).await?)
            }
            .boxed()
        });
        done.await.expect("it is committed");
    };
    fill(1, &[("a", "1"), ("b", "2"), ("c", "3")], "1").await;
    fill(2, &[("a", "1"), ("b", "2"), ("c", "3")], "2").await;
    fill(3, &[("a", "1"), ("b", "20"), ("d", "4"), ("e", "5")], "1").await;
    let compare =
        async |old, new| store.compare(&space(old), &space(new)).await.expect("they can be compared");
    let equal = compare(1, 2).await;
    assert!(equal.is_equal() && equal.same == 3, "{equal:?}");
    let other = compare(1, 3).await;
    assert_eq!((other.same, other.changed, other.only_old, other.only_new), (1, 1, 1, 2), "{other:?}");
    assert_eq!(other.examples.len(), 4, "{other:?}");
    assert!(
        other.examples.iter().any(|example| example.contains("b") && example.contains("20")),
        "{other:?}"
    );
}
