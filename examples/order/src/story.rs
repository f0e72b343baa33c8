//! `order` without a subcommand: the life of some orders on a fresh embedded store, told step by step.

mod fulfilment;
mod refunds;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use futures::TryStreamExt;
use futures::future::join_all;
use jiff::civil::date;
use nexus_core::{
    Actor, Aggregate, AppendBatch, AsOf, Category, Collection, Command, CommandHandler, CommandId,
    CommandOptions, DocumentTx, DocumentsExt, DomainEvent, EventId, EventStore, EventType, ExecuteError,
    ExpectedVersion, KeyRange, LetterState, Loaded, NewEvent, Outcome, Payload, Projection, ProjectionError,
    ProjectionName, Query, ReadOptions, Receipt, RecordedEvent, Repository, RetrySchedule, SnapshotState,
    StoreError, StreamVersion, Timestamp, async_trait,
};

use nexus_governance::SchemaRefusal;

use crate::address::Address;
use crate::first_release;
use crate::history::print_event;
use crate::read_models::ReadModels;
use crate::shop::{Shop, Store};
use crate::show::{dollars, print_order};
use crate::stats::Stats;
use order_commands::order::{
    AddLine, Cancel, Deliver, Line, Order, OrderEvent, OrderId, Pay, Place, Refused, RemoveLine, Ship,
};
use order_views::{CustomerSpend, Listed, OrderList, Spend};

/// Tells the story; fails where anything does not go as told.
pub async fn tell() -> anyhow::Result<()> {
    let directory = tempfile::tempdir().context("could not make a temporary directory")?;
    let address = Address::Sqlite(directory.path().join("orders.db"));
    let shop = address.open().await?;
    let orders = shop.orders.clone();
    println!("Customers order CDs. The events go to a fresh SQLite file, {address}");

    let id: OrderId = "1001".parse()?;
    commands_become_events(&orders, &id).await?;
    the_shop_has_rules(&orders, &id).await?;
    what_does_not_fit_is_refused(&orders, &id).await?;
    conflicts_are_retried(&orders).await?;
    a_command_has_one_effect(&orders, &id).await?;
    the_past_can_be_asked(&orders, &id).await?;
    refunds::an_order_is_called_off(&orders).await?;
    what_was_stored_before_is_read_today(&orders).await?;
    a_long_history_has_a_snapshot(&orders).await?;
    read_models_follow(&shop).await?;
    a_failing_event_holds_up_its_stream_alone(&shop).await?;
    fulfilment::orders_are_fulfilled(&shop).await?;

    chapter("What it all comes to, counted from the events");
    Stats::of(&shop).await?.print();
    println!();
    println!("The store goes away with the story. To keep one, with 69,659 real purchases if you have them:");
    println!("  cargo run -p order -- import examples/order/data/sample.txt --store orders.db");
    Ok(())
}

async fn commands_become_events(orders: &Repository<Store>, id: &OrderId) -> anyhow::Result<()> {
    chapter("Commands are given, events are stored");
    let lines = vec![Line::new("kind-of-blue", 2, 2_354), Line::new("giant-steps", 1, 1_299)];
    say(
        id,
        "ada places an order",
        orders,
        Place { customer: "ada".into(), ordered_on: date(1997, 1, 12), lines },
    )
    .await?;
    say(id, "she adds a title", orders, AddLine { line: Line::new("blue-train", 3, 3_531) }).await?;
    say(id, "and thinks better of another", orders, RemoveLine { sku: Line::new("giant-steps", 0, 0).sku })
        .await?;
    println!();
    let stored: Vec<_> =
        orders.store().read(&Order::stream(id)?, ReadOptions::forwards()).try_collect().await?;
    stored.iter().for_each(print_event);
    Ok(())
}

async fn the_shop_has_rules(orders: &Repository<Store>, id: &OrderId) -> anyhow::Result<()> {
    chapter("The shop has rules");
    refuse(id, "shipping it unpaid", orders, Ship { carrier: "post".into() }).await?;
    refuse(id, "paying too little", orders, Pay { cents: 5_000 }).await?;
    say(id, "ada pays", orders, Pay { cents: 5_885 }).await?;
    refuse(id, "paying twice", orders, Pay { cents: 5_885 }).await?;
    refuse(id, "adding a title now", orders, AddLine { line: Line::new("a-love-supreme", 1, 1_177) }).await
}

/// Whoever passes the domain by, still meets the schemas in `schemas/`.
async fn what_does_not_fit_is_refused(orders: &Repository<Store>, id: &OrderId) -> anyhow::Result<()> {
    chapter("Nothing is stored that does not fit its schema");
    let payload = Payload::from_json(r#"{"cents":"11.77","by":"cheque"}"#)?;
    println!("  OrderPaid {payload}, not by the program: refused");
    let event = NewEvent::new(EventId::from_bytes([7; 16]), EventType::new("OrderPaid")?, payload);
    let batch = AppendBatch::new(Order::stream(id)?, ExpectedVersion::StreamExists, vec![event])?;
    let error = match orders.store().append(batch).await {
        Err(StoreError::Refused { source, .. }) => source,
        other => anyhow::bail!("an event that does not fit its schema was answered with {other:?}"),
    };
    match error.downcast_ref() {
        Some(SchemaRefusal::Unfit { schema, violations, .. }) => {
            violations.iter().for_each(|violation| println!("    {schema}: {violation}"));
        }
        other => anyhow::bail!("an event was refused for {other:?}"),
    }
    Ok(())
}

async fn conflicts_are_retried(orders: &Repository<Store>) -> anyhow::Result<()> {
    chapter("Eight clerks change one order at the same time");
    let id: OrderId = "1002".parse()?;
    let place = Place {
        customer: "bob".into(),
        ordered_on: date(1997, 1, 12),
        lines: vec![Line::new("title-0", 1, 999)],
    };
    orders.execute::<Order, _>(&id, place).await?;
    let clerks = (1..=8_u32).map(|number| {
        let (orders, id) = (orders.clone(), id.clone());
        let line = Line::new(&format!("title-{number}"), number, u64::from(number) * 999);
        tokio::spawn(async move { orders.execute::<Order, _>(&id, AddLine { line }).await })
    });
    let mut attempts = 0;
    for receipt in join_all(clerks).await {
        attempts += receipt??.attempts;
    }
    let Loaded { state, version } = orders.load::<Order>(&id).await?;
    println!(
        "  all 8 lines are there, none twice: {} lines, version {}. It took {attempts} attempts: whoever was \
         overtaken decided again",
        state.lines.len(),
        version.map_or(0, StreamVersion::get)
    );

    let seen = StreamVersion::FIRST;
    let options = CommandOptions::default().at_version(seen);
    let late =
        orders.execute_with::<Order, _>(&id, Cancel { reason: "changed my mind".into() }, options).await;
    match late {
        Err(ExecuteError::Failed(error)) => {
            println!("  bob cancels what he saw at version {seen}. Not retried, as he asked: {error}");
            Ok(())
        }
        other => anyhow::bail!("expected a conflict, got {other:?}"),
    }
}

async fn a_command_has_one_effect(orders: &Repository<Store>, id: &OrderId) -> anyhow::Result<()> {
    chapter("A command sent twice has one effect");
    let command = CommandId::named(Timestamp::now(), "ship 1001");
    let options = || CommandOptions::default().id(command).actor("warehouse");
    let ship = || Ship { carrier: "post".into() };
    let first = orders.execute_with::<Order, _>(id, ship(), options()).await?;
    say(id, "the post delivers it", orders, Deliver).await?;
    let again = orders.execute_with::<Order, _>(id, ship(), options()).await?;
    anyhow::ensure!(again.events == first.events && again.outcome == Outcome::Repeated);
    println!("  shipping was {}", told(&first));
    println!("  the same command again, after delivery, is {}", told(&again));
    say(id, "the post says it once more", orders, Deliver).await
}

async fn the_past_can_be_asked(orders: &Repository<Store>, id: &OrderId) -> anyhow::Result<()> {
    chapter("The order as it was, and as it is");
    let as_of = StreamVersion::new(2)?;
    let Loaded { state, version } = orders.load_as_of::<Order>(id, AsOf::Version(as_of)).await?;
    print_order(id, version, &state);
    let Loaded { state, version } = orders.load::<Order>(id).await?;
    print_order(id, version, &state);
    Ok(())
}

async fn what_was_stored_before_is_read_today(orders: &Repository<Store>) -> anyhow::Result<()> {
    chapter("What the first release stored is read as today's");
    for stream in first_release::append_to(orders.store()).await? {
        let stored: Vec<_> = orders.store().read(&stream, ReadOptions::forwards()).try_collect().await?;
        stored.iter().for_each(print_event);
        let id: OrderId = stream.id().parse()?;
        let Loaded { state, version } = orders.load::<Order>(&id).await?;
        print_order(&id, version, &state);
    }
    println!(
        "  version 1 of OrderShipped is upcast to version 2, OrderSettled to two events, OrderViewed to none"
    );
    Ok(())
}

async fn a_long_history_has_a_snapshot(orders: &Repository<Store>) -> anyhow::Result<()> {
    chapter("Somebody cannot decide: a snapshot saves folding the events again");
    let id: OrderId = "1006".parse()?;
    let lines = vec![Line::new("round-midnight", 1, 1_177)];
    let place = Place { customer: "edith".into(), ordered_on: date(1997, 4, 1), lines };
    orders.execute::<Order, _>(&id, place).await?;
    for _ in 0..500 {
        orders.execute::<Order, _>(&id, AddLine { line: Line::new("so-what", 1, 1_177) }).await?;
        orders.execute::<Order, _>(&id, RemoveLine { sku: Line::new("so-what", 0, 0).sku }).await?;
    }
    let snapshots = orders.snapshots().context("the shop takes snapshots")?;
    snapshots.settle().await;
    let (stream, shape) = (Order::stream(&id)?, Order::state_shape()?);
    let kept = snapshots.store().summary(&stream, &shape).await?.context("a snapshot was due")?;
    let version = orders.load::<Order>(&id).await?.version.map_or(0, StreamVersion::get);
    println!(
        "  a snapshot of version {} has {} bytes; the order is at version {version}",
        kept.version, kept.bytes
    );
    Ok(())
}

async fn read_models_follow(shop: &Shop) -> anyhow::Result<()> {
    chapter("Projections keep read models, each event once");
    let running = ReadModels::start(shop).await?;
    running.caught_up(shop).await?;
    running.stop().await?;
    let projections = shop.projections();
    let list = ProjectionName::new("order-list")?;
    let orders = Collection::new(OrderList::ORDERS)?;
    for document in projections.documents(&list, &orders, &KeyRange::all()).await? {
        let order: Listed = document.content.decode()?;
        let total = dollars(order.total_cents());
        println!("  order {}  {:<8} {:<10} {total:>10}", document.key, order.customer, order.state);
    }
    let spend = ProjectionName::new("customer-spend")?;
    let customers = Collection::new(CustomerSpend::CUSTOMERS)?;
    let ada: Option<Spend> = projections.document(&spend, &customers, "ada").await?;
    println!("  ada has paid {}", dollars(ada.unwrap_or_default().cents));
    Ok(())
}

/// Writes labels for parcels; knows no carrier but the post, until it is taught.
#[derive(Clone)]
struct Labels(Arc<AtomicBool>);

#[async_trait]
impl Projection<DocumentTx> for Labels {
    fn name(&self) -> &str {
        "labels"
    }

    fn version(&self) -> u32 {
        1
    }

    fn query(&self) -> Query {
        Category::new(Order::CATEGORY).map_or_else(|_| Query::all(), |orders| Query::categories([orders]))
    }

    async fn handle(&mut self, event: &RecordedEvent, tx: &mut DocumentTx) -> Result<(), ProjectionError> {
        let (labels, id) = (Collection::new("labels")?, event.stream().id());
        for happened in OrderEvent::from_recorded(event)? {
            match happened {
                OrderEvent::Shipped { carrier, .. } if carrier == "post" || self.0.load(Ordering::SeqCst) => {
                    tx.write(&labels, id, &format!("by {carrier}, on its way")).await?;
                }
                OrderEvent::Shipped { carrier, .. } => {
                    return Err(ProjectionError::new(format!(
                        "no label is known for the carrier {carrier:?}"
                    )));
                }
                OrderEvent::Delivered => tx.write(&labels, id, "delivered").await?,
                _ => {}
            }
        }
        Ok(())
    }
}

async fn a_failing_event_holds_up_its_stream_alone(shop: &Shop) -> anyhow::Result<()> {
    chapter("A projection fails: one stream waits, the others go on");
    let orders = &shop.orders;
    let (pigeon, post): (OrderId, OrderId) = ("1004".parse()?, "1005".parse()?);
    for (id, carrier) in [(&pigeon, "pigeon"), (&post, "post")] {
        let lines = vec![Line::new("blue-train", 1, 1_177)];
        let place = Place { customer: "dora".into(), ordered_on: date(1997, 3, 1), lines };
        orders.execute::<Order, _>(id, place).await?;
        orders.execute::<Order, _>(id, Pay { cents: 1_177 }).await?;
        orders.execute::<Order, _>(id, Ship { carrier: carrier.into() }).await?;
        orders.execute::<Order, _>(id, Deliver).await?;
    }
    let is_taught = Arc::new(AtomicBool::new(false));
    let brisk =
        RetrySchedule::default().tries(2).pauses(Duration::from_millis(10), Duration::from_millis(20));
    let running = shop.projecting(Labels(is_taught.clone())).retry(brisk).start().await?;
    let (projections, name) = (shop.projections(), running.name().clone());
    let stream = Order::stream(&pigeon)?;
    let letters = loop {
        let letters = projections.dead_letters(&name, None, 10).await?;
        let is_dead = letters.first().is_some_and(|letter| letter.state == LetterState::Dead);
        if is_dead && letters.len() == 2 {
            break letters;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    for letter in &letters {
        let error = letter.error.as_deref().unwrap_or("waits behind it");
        println!("  {} version {}: {error}", letter.event.stream(), letter.event.version());
    }
    let labels = Collection::new("labels")?;
    let label = async |id: &OrderId| projections.document::<String>(&name, &labels, &id.to_string()).await;
    println!("  the label of order {post}: {}", label(&post).await?.unwrap_or_default());
    anyhow::ensure!(label(&pigeon).await?.is_none(), "the pigeon's parcel has no label yet");

    is_taught.store(true, Ordering::SeqCst);
    running.retry(&stream).await?;
    let left = projections.answered(&name, &stream, Duration::from_secs(10)).await?;
    anyhow::ensure!(left.is_none(), "{left:?} still waits");
    println!("  the projection is mended and its dead letters retried, in order");
    println!("  the label of order {pigeon}: {}", label(&pigeon).await?.unwrap_or_default());
    Ok(running.stop().await?)
}

fn chapter(title: &str) {
    println!("\n── {title} ──");
}

/// Sends a command that is expected to work.
async fn say<C>(id: &OrderId, what: &str, orders: &Repository<Store>, command: C) -> anyhow::Result<()>
where
    C: Command,
    Order: CommandHandler<C, Rejection = Refused>,
{
    let receipt = orders.execute::<Order, C>(id, command).await.with_context(|| what.to_owned())?;
    println!("  {what}: {}", told(&receipt));
    Ok(())
}

/// Sends a command that the shop is expected to refuse.
async fn refuse<C>(id: &OrderId, what: &str, orders: &Repository<Store>, command: C) -> anyhow::Result<()>
where
    C: Command,
    Order: CommandHandler<C, Rejection = Refused>,
{
    refuse_by(&Actor::new("somebody"), id, what, orders, command).await
}

/// The same, whoever sends it.
async fn refuse_by<C>(
    actor: &Actor,
    id: &OrderId,
    what: &str,
    orders: &Repository<Store>,
    command: C,
) -> anyhow::Result<()>
where
    C: Command,
    Order: CommandHandler<C, Rejection = Refused>,
{
    let options = CommandOptions::default().actor(actor.clone());
    match orders.execute_with::<Order, C>(id, command, options).await {
        Err(ExecuteError::Rejected(refused)) => {
            println!("  {what} is refused: {refused}");
            Ok(())
        }
        other => anyhow::bail!("{what} should have been refused: {other:?}"),
    }
}

fn told(receipt: &Receipt) -> String {
    let version = receipt.version.map_or(0, StreamVersion::get);
    match receipt.outcome {
        Outcome::Stored => format!("stored as version {version} of {}", receipt.stream),
        Outcome::Repeated => format!("answered with its first receipt, version {version}; nothing is stored"),
        Outcome::Unchanged => format!("nothing has to happen, still version {version}"),
    }
}
