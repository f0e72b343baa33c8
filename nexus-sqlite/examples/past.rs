use nexus_core::{
    Actor, Aggregate, AsOf, Category, DomainEvent, EventKind, Every, History, HistoryKey, RecordedEvent,
    Repository, RoleAccess, Snapshots, StateCache, StateRequest, Upcast,
};
use nexus_sqlite::{SqliteSnapshots, SqliteStore};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, DomainEvent)]
#[event(upcast(SoldV1))]
enum TillEvent {
    #[event(version = 2)]
    Sold { cents: u64, currency: String },
}

/// What earlier code stored.
#[derive(Deserialize, JsonSchema)]
struct SoldV1 {
    cents: u64,
}

impl Upcast for SoldV1 {
    const KIND: EventKind = EventKind::new("TillSold", 1);
    type Next = TillEvent;

    fn upcast(self, _: &RecordedEvent) -> impl IntoIterator<Item = TillEvent> {
        [TillEvent::Sold { cents: self.cents, currency: "USD".into() }] // or several, or none
    }
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
struct Till {
    cents: u64,
}

impl Aggregate for Till {
    const CATEGORY: &'static str = "till";
    type Id = u32;
    type Event = TillEvent;

    fn apply(&mut self, TillEvent::Sold { cents, .. }: &TillEvent) {
        self.cents += cents;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = SqliteStore::open("tills.db").await?;
    let snapshots = Snapshots::new(SqliteSnapshots::beside(&store).await?).of::<Till>(Every::default())?;
    let tills = Repository::new(store)
        .with_snapshots(snapshots) // every 1,000 events, MiB or 24 hours; never in a command's way
        .with_cache(StateCache::default().of::<Till>(10_000)); // states in memory, never believed by themselves

    let access = RoleAccess::default().category("clerk", Category::new("till")?);
    let history = History::new(tills, access, HistoryKey::random()?);
    let march = StateRequest::<Till>::of(&1, AsOf::Time("2026-03-31T23:59:59Z".parse()?))?;
    let answer = history.state(&Actor::new("ada").role("clerk"), march).await?;
    println!("by the end of March there were {} cents", answer.found.state.cents);
    Ok(())
}
