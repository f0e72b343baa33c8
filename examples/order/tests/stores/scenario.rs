//! What happens in a shop, and what must come of it wherever that is.

use std::path::Path;
use std::time::Duration;

use futures::TryStreamExt;
use nexus_core::{
    Actor, Aggregate, AsOf, Category, Collection, CommandOptions, EventLog, EventStore, EventsRequest,
    History, HistoryKey, HistoryLimits, KeyRange, ManualClock, Payload, ProjectionName, Query, ReadOptions,
    RecordedEvent, Repository, RetrySchedule, RoleAccess, SagaId, SagaState, Snapshot, SnapshotState,
    StateShape, StreamVersion, Timestamp,
};
use order::address::Address;
use order::read_models::ReadModels;
use order::shop::Shop;
use order::stats::Stats;
use order_commands::fulfilment::WAREHOUSE;
use order_commands::inventory::{Inventory, Receive};
use order_commands::order::{
    AddLine, Cancel, CheckOut, Line, Order, OrderId, Place, Refund, RemoveLine, Sku, State,
};
use order_commands::payment::{Dispute, Payment};
use order_views::{CustomerSpend, DailyRevenue, OrderList, Spend};

pub(crate) fn sample() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample.txt").display().to_string()
}

/// All that can be seen of a shop after an import, without ids and times.
pub(crate) async fn seen(shop: &Shop) -> Vec<String> {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let report = order::import::import(shop, Path::new(&sample())).await.expect("imported");
        seen.push(format!("{:?}", (report.orders, report.customers, report.units, report.revenue_cents)));
        seen.push(format!("{:?}", (report.commands, report.executed, report.rejected_lines)));
    }
    seen.push(format!("{:?}", Stats::of(shop).await.expect("counted")));
    let id: OrderId = "00002-19970112-5-7700-1".parse().expect("an id");
    let stream = Order::stream(&id).expect("a stream");
    let mut events = shop.orders.store().read(&stream, ReadOptions::forwards());
    while let Some(event) = events.try_next().await.expect("read") {
        let (version, payload, actor) = (event.version(), event.payload(), event.metadata().actor());
        seen.push(format!("{version} {} {payload} {:?} {actor:?}", event.event_type(), event.tags()));
    }
    for version in 1..=4 {
        let as_of = AsOf::Version(StreamVersion::new(version).expect("valid"));
        let loaded = shop.orders.load_as_of::<Order>(&id, as_of).await.expect("loaded");
        seen.push(serde_json::to_string(&loaded.state).expect("JSON"));
    }
    let read_models = [
        ("order-list", OrderList::ORDERS),
        ("customer-spend", CustomerSpend::CUSTOMERS),
        ("daily-revenue", DailyRevenue::DAYS),
    ];
    for (name, collection) in read_models {
        let (name, collection) =
            (ProjectionName::new(name).expect("valid"), Collection::new(collection).expect("valid"));
        let range = KeyRange::all().limit(1_000);
        let documents = shop.projections().documents(&name, &collection, &range).await.expect("listed");
        assert!(documents.len() > 20, "{name} has {} documents", documents.len());
        seen.extend(documents.iter().map(|document| format!("{} {}", document.key, document.content)));
    }
    seen
}

/// Version 1 of an event is upcast to today's version 2, one event to two, one to none.
pub(crate) async fn what_the_first_release_stored_is_read_as_todays(shop: &Shop, address: &Address) {
    let store = shop.orders.store();
    for _ in 0..2 {
        order::first_release::append_to(store).await.expect("appended, or found to be there");
    }
    let load = async |id: &str| {
        let id: OrderId = id.parse().expect("an id");
        shop.orders.load::<Order>(&id).await.expect("loaded")
    };
    let shipped = load("901").await;
    assert_eq!((shipped.version.map(StreamVersion::get), shipped.state.parcels), (Some(4), 1), "{address}");
    assert_eq!(
        (shipped.state.state, shipped.state.carrier.as_deref()),
        (State::Delivered, Some("post")),
        "{address}"
    );
    let settled = load("902").await;
    assert_eq!(
        (settled.version.map(StreamVersion::get), settled.state.paid_cents),
        (Some(3), Some(1_299)),
        "{address}"
    );
    assert_eq!(settled.state.state, State::Delivered, "{address}");
    let id: OrderId = "902".parse().expect("an id");
    let viewed = AsOf::Version(StreamVersion::new(2).expect("valid"));
    let before = shop.orders.load_as_of::<Order>(&id, viewed).await.expect("loaded");
    assert_eq!(before.state.state, State::Placed, "{address}");
    // The read models take them in, and commands go on from there.
    let read_models = ReadModels::start(shop).await.expect("started");
    read_models.caught_up(shop).await.expect("caught up");
    read_models.stop().await.expect("stopped");
    let (name, customers) = (
        ProjectionName::new("customer-spend").expect("valid"),
        Collection::new(CustomerSpend::CUSTOMERS).expect("valid"),
    );
    let monk: Option<Spend> = shop.projections().document(&name, &customers, "monk").await.expect("read");
    assert_eq!(monk.map(|spend| (spend.orders, spend.cents)), Some((1, 1_299)), "{address}");
    let refund = Refund { cents: 299, reason: "scratched".into() };
    let clerk = CommandOptions::default().actor(Actor::new("ada").role("clerk"));
    let receipt = shop.orders.execute_with::<Order, _>(&id, refund, clerk).await.expect("refunded");
    assert_eq!(receipt.version.map(StreamVersion::get), Some(4), "{address}");
}

/// What was recorded within the hour is all there is, and is found in portions of any size.
pub(crate) async fn the_past_is_complete(shop: &Shop, address: &Address) {
    let orders = Category::new(Order::CATEGORY).expect("valid");
    let query = Query::categories([orders.clone()]);
    let logged = match shop.log() {
        Ok(logged) => logged,
        Err(refused) => {
            assert!(refused.to_string().contains("none over all of them"), "{refused} on {address}");
            return;
        }
    };
    let log: Vec<RecordedEvent> =
        logged.store().read_all(query, ReadOptions::forwards()).try_collect().await.expect("read");
    let now = Timestamp::now();
    let hour = jiff::SignedDuration::from_hours(1);
    let middle = log[log.len() / 2].recorded_at();
    for (from, to) in
        [(now - hour, now + hour), (now - hour, middle), (middle, now + hour), (now + hour, now + hour)]
    {
        let access = RoleAccess::default().category("clerk", orders.clone());
        let limits = HistoryLimits::default().per_minute(u32::MAX.try_into().expect("not 0")).events(700);
        let history = History::new(logged.clone(), access, HistoryKey::new([3; 32])).with_limits(limits);
        let (clerk, range) =
            (Actor::new("ada").role("clerk"), EventsRequest::between(from, to).category(orders.clone()));
        let (mut found, mut request) = (Vec::new(), range.clone());
        loop {
            let answer = history.events(&clerk, request).await.expect("answered");
            found.extend(answer.found.iter().map(RecordedEvent::id));
            match answer.continuation {
                Some(continuation) => request = range.clone().go_on(continuation.token),
                None => break,
            }
        }
        let expected = log.iter().filter(|event| (from..=to).contains(&event.recorded_at()));
        let expected: Vec<_> = expected.map(RecordedEvent::id).collect();
        assert_eq!(found, expected, "from {from} to {to} on {address}");
    }
}

/// Places an order for two units of what the warehouse has ten of, and checks it out.
pub(crate) async fn check_out(shop: &Shop, id: &str, card: &str) -> OrderId {
    let order: OrderId = id.parse().expect("an id");
    let lines = vec![Line::new("so-what", 2, 2_354)];
    let place = Place { customer: "frida".into(), ordered_on: jiff::civil::date(1997, 5, 1), lines };
    shop.orders.execute::<Order, _>(&order, place).await.expect("placed");
    let check_out = CheckOut { card: card.into(), carrier: "post".into() };
    shop.orders.execute::<Order, _>(&order, check_out).await.expect("checked out");
    order
}

/// One is sent, one is undone, one needs a person; and in the end nothing is reserved, charged or sent that should not be.
pub(crate) async fn orders_are_fulfilled(shop: &Shop, address: &Address) {
    let (warehouse, stock) = (WAREHOUSE.to_owned(), Receive { sku: Sku("so-what".into()), units: 10 });
    shop.orders.execute::<Inventory, _>(&warehouse, stock).await.expect("received");
    let (sent, declined) =
        (check_out(shop, "3001", "visa-1").await, check_out(shop, "3002", "empty-1").await);
    let called_off = check_out(shop, "3003", "visa-3").await;
    let cancel = Cancel { reason: "found it cheaper".into() };
    shop.orders.execute::<Order, _>(&called_off, cancel).await.expect("cancelled");
    let dispute = |is_open| Dispute { is_open };
    let disputed = called_off.to_string();
    shop.orders.execute::<Payment, _>(&disputed, dispute(true)).await.expect("disputed");

    let brisk = RetrySchedule::default().tries(2).pauses(Duration::from_millis(1), Duration::from_millis(2));
    let running = shop.fulfilling().retry(brisk).start().await.expect("started");
    let sagas = running.sagas();
    let id = |order: &OrderId| SagaId::new(order).expect("valid");
    let patience = Duration::from_secs(30);
    let ended = async |order| sagas.ended(&id(order), patience).await.expect("it ends");
    assert_eq!(ended(&sent).await, SagaState::Completed, "{address}");
    assert_eq!(ended(&declined).await, SagaState::Compensated, "{address}");
    while sagas.state(&id(&called_off)).await.expect("told") != Some(SagaState::Parked) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while sagas.open(10).await.expect("listed").first().is_none_or(|saga| saga.state != SagaState::Parked) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shop.orders.execute::<Payment, _>(&disputed, dispute(false)).await.expect("settled");
    sagas.retry(&id(&called_off), Some("ada")).await.expect("asked for");
    assert_eq!(ended(&called_off).await, SagaState::Compensated, "{address}");
    running.stop().await.expect("stopped");

    let stock = shop.orders.load::<Inventory>(&warehouse).await.expect("loaded").state;
    assert_eq!((stock.free.get("so-what"), stock.reserved.len()), (Some(&8), 1), "{address}");
    let payment = async |order: &OrderId| {
        let payment = shop.orders.load::<Payment>(&order.to_string()).await.expect("loaded").state;
        (payment.charged_cents, payment.returned)
    };
    assert_eq!(payment(&sent).await, (Some(2_354), false), "{address}");
    assert_eq!(payment(&declined).await, (None, false), "{address}");
    assert_eq!(payment(&called_off).await, (Some(2_354), true), "{address}");
    let state = async |order| shop.orders.load::<Order>(order).await.expect("loaded").state.state;
    assert_eq!(
        (state(&sent).await, state(&declined).await, state(&called_off).await),
        (State::Shipped, State::Placed, State::Cancelled),
        "{address}"
    );
}

/// What nobody has touched for a day gets its snapshot by the sweeper, once.
pub(crate) async fn what_is_due_by_time_is_swept(shop: &Shop, address: &Address) {
    let tomorrow = Timestamp::now() + jiff::SignedDuration::from_hours(25);
    let Ok(logged) = shop.log() else { return };
    let later = logged.clone().with_clock(ManualClock::at(tomorrow));
    let swept = later.sweep_snapshots::<Order>().await.expect("swept");
    assert!(swept.taken >= 1, "{swept:?} on {address}");
    let id: OrderId = "2001".parse().expect("an id");
    let (stream, shape) = (Order::stream(&id).expect("valid"), Order::state_shape().expect("valid"));
    let snapshots = shop.orders.snapshots().expect("the shop takes snapshots");
    let kept = snapshots.store().summary(&stream, &shape).await.expect("found").expect("it was due");
    let version = shop.orders.load::<Order>(&id).await.expect("loaded").version;
    assert_eq!(Some(kept.version), version, "{address}");
    let again = later.sweep_snapshots::<Order>().await.expect("swept");
    assert_eq!((again.events, again.taken), (0, 0), "{address}");
}

pub(crate) async fn a_snapshot_of_an_older_build_is_ignored(shop: &Shop, address: &Address) {
    let id: OrderId = "2001".parse().expect("an id");
    let (title, sku) = (Line::new("so-what", 1, 1_177), Sku("so-what".into()));
    let place = Place {
        customer: "edith".into(),
        ordered_on: jiff::civil::date(1997, 4, 1),
        lines: vec![Line::new("round-midnight", 1, 1_299)],
    };
    shop.orders.execute::<Order, _>(&id, place).await.expect("placed");
    for _ in 0..40 {
        shop.orders.execute::<Order, _>(&id, AddLine { line: title.clone() }).await.expect("added");
        shop.orders.execute::<Order, _>(&id, RemoveLine { sku: sku.clone() }).await.expect("removed");
    }
    let stream = Order::stream(&id).expect("valid");
    let mut last = shop.orders.store().read(&stream, ReadOptions::backwards().limit(1));
    let last = last.try_next().await.expect("read").expect("there");
    let snapshots = shop.orders.snapshots().expect("the shop takes snapshots");
    let wrong = Order { customer: Some("nobody".into()), ..Order::default() };
    let snapshot = |shape| Snapshot {
        stream: stream.clone(),
        shape,
        version: last.version(),
        event: last.id(),
        recorded_at: last.recorded_at(),
        taken_at: last.recorded_at(),
        state: Payload::of(&wrong).expect("JSON"),
    };
    let older = StateShape::new("0123456789abcdef0123456789abcdef").expect("valid");
    snapshots.store().save(snapshot(older)).await.expect("kept");
    // Without what this process has in memory.
    let fresh = Repository::new(shop.orders.store().clone()).with_snapshots(snapshots.clone());
    let loaded = fresh.load::<Order>(&id).await.expect("loaded");
    assert_eq!(loaded.state.customer.as_deref(), Some("edith"), "{address}");
    // The same by this build would have been used: it is the shape that makes it invisible.
    let today = Order::state_shape().expect("valid");
    snapshots.store().save(snapshot(today.clone())).await.expect("kept");
    let loaded = fresh.load::<Order>(&id).await.expect("loaded");
    assert_eq!(loaded.state.customer.as_deref(), Some("nobody"), "{address}");
    snapshots.settle().await;
    snapshots.store().remove(&stream, &today, last.version()).await.expect("removed");
}
