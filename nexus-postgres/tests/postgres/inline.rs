//! Projections that are written in the append's transaction.

use std::time::Duration;

use nexus_core::{
    AppendBatch, Appended, Collection, DocumentKey, DocumentTx, DocumentsExt, EventStore, ExpectedVersion,
    KeyRange, Projection, ProjectionError, Query, RecordedEvent, StoreError, async_trait,
};
use nexus_postgres::sqlx::{self, PgConnection};
use nexus_postgres::{OpenError, PostgresStore};
use tokio::time::timeout;

use crate::support::{Gate, House, append, batch, event, read_all, stream};

const SOON: Duration = Duration::from_secs(10);

/// How many events each stream has; refuses streams whose id says so.
struct Taken {
    version: u32,
}

#[async_trait]
impl Projection<DocumentTx> for Taken {
    fn name(&self) -> &str {
        "taken"
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let (streams, id) = (Collection::new("streams")?, event.stream().id());
        let count: u32 = tx.read(&streams, id).await?.unwrap_or(0);
        tx.write(&streams, id, &(count + 1)).await?;
        match id {
            "bad" => Err(ProjectionError::new("asked to refuse")),
            "panic" => panic!("asked to panic"),
            _ => Ok(()),
        }
    }
}

async fn count(store: &PostgresStore, id: &str) -> Option<String> {
    let key = DocumentKey::new(id).expect("valid");
    let found = store.document(&Collection::new("streams").expect("valid"), &key).await.expect("read");
    found.map(|content| content.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_in_the_read_model() {
    let house = House::new();
    let config = || house.config().inline(Taken { version: 1 });
    let store = PostgresStore::open_with(config()).await.expect("opened");
    let other = PostgresStore::open_with(config()).await.expect("opened");
    let appends = (0..60_usize).map(|number| {
        let store = if number.is_multiple_of(2) { store.clone() } else { other.clone() };
        tokio::spawn(async move {
            let id = ["one", "two", "bad", "panic"][number % 4];
            let answer = store.append(batch(&stream(id), vec![event(1), event(1)])).await;
            match id {
                "bad" | "panic" => {
                    let refused = answer.expect_err("refused");
                    assert!(
                        matches!(&refused, StoreError::Refused { by, .. } if by.contains("taken")),
                        "{refused:?}"
                    );
                }
                _ => assert!(matches!(answer, Ok(Appended::Stored(_))), "{answer:?}"),
            }
        })
    });
    for done in futures::future::join_all(appends.collect::<Vec<_>>()).await {
        done.expect("as expected");
    }
    for id in ["one", "two"] {
        assert_eq!(count(&other, id).await.as_deref(), Some("30"), "nothing is lost between processes");
    }
    assert_eq!((count(&store, "bad").await, count(&store, "panic").await), (None, None));
    let streams = Collection::new("streams").expect("valid");
    assert_eq!(store.documents(&streams, &KeyRange::all()).await.expect("listed").len(), 2);
    assert_eq!(read_all(&store).await.expect("read").len(), 60);
    // Over several streams, all or nothing.
    let both = batch(&stream("one"), vec![event(1)]);
    let both = both.and(stream("bad"), ExpectedVersion::Any, vec![event(1)]).expect("valid");
    assert!(matches!(store.append(both).await, Err(StoreError::Refused { .. })));
    assert_eq!(count(&store, "one").await.as_deref(), Some("30"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_projection_takes_in_what_is_stored_and_is_required_from_then_on() {
    let house = House::new();
    let plain = house.open().await;
    for number in 0..30 {
        append(&plain, number % 3, 1).await;
    }
    let store = PostgresStore::open_with(house.config().inline(Taken { version: 1 })).await.expect("opened");
    assert_eq!(count(&store, "1").await.as_deref(), Some("10"));
    // Whoever opened it before is told, whatever it appends.
    let two = AppendBatch::new(stream(1), ExpectedVersion::Any, vec![event(1)]).expect("valid");
    let two = two.and(stream(2), ExpectedVersion::Any, vec![event(1)]).expect("valid");
    let new = AppendBatch::new(stream("new"), ExpectedVersion::NoStream, vec![event(1)]).expect("valid");
    for sent in [batch(&stream(1), vec![event(1)]), two, new] {
        let refused = plain.append(sent).await.expect_err("it does not know the projection");
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused:?}");
    }
    let missing = PostgresStore::open_with(house.config()).await;
    assert!(matches!(missing, Err(OpenError::InlineMissing { .. })), "{missing:?}");
    append(&store, 1, 1).await;
    assert_eq!(count(&store, "1").await.as_deref(), Some("11"));
    let newer = PostgresStore::open_with(house.config().inline(Taken { version: 2 })).await.expect("opened");
    let outdated = PostgresStore::open_with(house.config().inline(Taken { version: 1 })).await;
    assert!(matches!(outdated, Err(OpenError::InlineOutdated { found: 2, .. })), "{outdated:?}");
    assert!(matches!(store.append(batch(&stream(1), vec![event(1)])).await, Err(StoreError::Refused { .. })));
    append(&newer, 1, 1).await;
    let without = PostgresStore::open_with(house.config().without_inline("taken")).await.expect("given up");
    append(&without, 1, 1).await;
    assert_eq!(read_all(&without).await.expect("read").len(), 33);
}

/// An append that began before is under way: the new projection waits for it, and takes it in.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_projection_misses_no_append_that_is_under_way() {
    let house = House::new();
    let plain = house.open().await;
    append(&plain, "known", 1).await;
    let gate = Gate::close(&house, "held").await;
    let held = tokio::spawn({
        let plain = plain.clone();
        async move { append(&plain, "held", 2).await }
    });
    gate.reached(1).await;
    let opening = tokio::spawn(PostgresStore::open_with(house.config().inline(Taken { version: 1 })));
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Begins while the new one waits for the table.
    let late = tokio::spawn({
        let plain = plain.clone();
        async move { plain.append(batch(&stream("late"), vec![event(1)])).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!opening.is_finished());
    gate.open().await;
    held.await.expect("stored");
    let store = timeout(SOON, opening).await.expect("it goes on").expect("no panic").expect("opened");
    assert_eq!(count(&store, "held").await.as_deref(), Some("2"));
    let late = timeout(SOON, late).await.expect("answered").expect("no panic");
    let expected = if late.is_ok() { Some("1") } else { None };
    assert_eq!(count(&store, "late").await.as_deref(), expected, "{late:?}");
}

/// SQL in the store's own schema.
struct Names;

#[async_trait]
impl Projection<PgConnection> for Names {
    fn name(&self) -> &str {
        "names"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Query::all()
    }

    async fn prepare(&mut self, tx: &mut PgConnection) -> Result<(), ProjectionError> {
        sqlx::raw_sql("DROP TABLE IF EXISTS names; CREATE TABLE names (name text PRIMARY KEY)")
            .execute(tx)
            .await?;
        Ok(())
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut PgConnection) -> Result<(), ProjectionError> {
        let insert = sqlx::query("INSERT INTO names VALUES ($1)").bind(event.payload().to_string());
        let inserted = insert.execute(tx).await;
        if event.stream().id() == "careless" {
            // The error is not passed on; PostgreSQL takes the transaction for failed all the same.
            return Ok(());
        }
        inserted?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_once() {
    let house = House::new();
    let store = PostgresStore::open_with(house.config().inline(Names)).await.expect("opened");
    let _ = store.append(batch(&stream(1), vec![event(3)])).await.expect("stored");
    for id in ["2", "careless"] {
        let refused = store.append(batch(&stream(id), vec![event(3)])).await.expect_err("the name is taken");
        assert!(matches!(refused, StoreError::Refused { .. }), "{id}: {refused:?}");
    }
    let _ = store.append(batch(&stream(2), vec![event(4)])).await.expect("stored");
    assert_eq!(read_all(&store).await.expect("read").len(), 2);
}
