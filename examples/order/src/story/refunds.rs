//! An order is called off, and policies say who may give the money back.

use futures::TryStreamExt;
use jiff::civil::date;
use nexus_core::{
    Actor, Aggregate, CommandOptions, CommandRefusal, EventStore, ExecuteError, ReadOptions, Repository,
    RepositoryError,
};

use super::{chapter, refuse_by, say, told};
use crate::history::print_event;
use crate::shop::Store;
use crate::show::dollars;
use order_commands::order::{Cancel, Line, Order, OrderId, Pay, Place, Refund};

pub(super) async fn an_order_is_called_off(orders: &Repository<Store>) -> anyhow::Result<()> {
    chapter("An order is called off");
    let id: OrderId = "1003".parse()?;
    let lines = vec![Line::new("bitches-brew", 1, 1_899)];
    say(&id, "carla orders", orders, Place { customer: "carla".into(), ordered_on: date(1997, 2, 3), lines })
        .await?;
    say(&id, "pays", orders, Pay { cents: 1_899 }).await?;
    refuse_by(
        &manager(),
        &id,
        "a refund before that",
        orders,
        Refund { cents: 1_899, reason: "asked".into() },
    )
    .await?;
    say(&id, "cancels", orders, Cancel { reason: "found it cheaper".into() }).await?;
    who_may_give_it_back(orders, &id).await?;
    refuse_by(&manager(), &id, "a second refund", orders, Refund { cents: 1_899, reason: "again".into() })
        .await?;
    let kept = orders.load::<Order>(&id).await?.state.kept_cents();
    println!("  the shop keeps {}", dollars(kept));
    Ok(())
}

fn manager() -> Actor {
    Actor::new("grace").role("manager")
}

/// Policies in `policies/` say how much whom may refund.
async fn who_may_give_it_back(orders: &Repository<Store>, id: &OrderId) -> anyhow::Result<()> {
    let refund = || Refund { cents: 1_899, reason: "cancelled".into() };
    let by = |actor: Actor| CommandOptions::default().actor(actor);
    let clerk = Actor::new("henry").role("clerk");
    match orders.execute_with::<Order, _>(id, refund(), by(clerk)).await {
        Err(ExecuteError::Failed(RepositoryError::Guarded(CommandRefusal::Refused { by, source }))) => {
            println!("  henry, a clerk, is about to give her the money back: refused by {by}, {source}");
        }
        other => anyhow::bail!("a clerk's refund was answered with {other:?}"),
    }
    let receipt = orders.execute_with::<Order, _>(id, refund(), by(manager())).await?;
    println!("  grace, a manager, does: {}", told(&receipt));
    let last = orders.store().read(&Order::stream(id)?, ReadOptions::backwards()).try_next().await?;
    last.iter().for_each(print_event);
    Ok(())
}
