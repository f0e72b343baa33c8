//! The command line of the Order example.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use nexus_core::{ProjectionName, Timestamp};
use order::address::Address;
use order::bus::BusAddress;
use order::history::Point;
use order::list::Part;
use order::shop::Shop;
use order_commands::order::OrderId;

/// Customers order CDs. Without a subcommand, tells a story on a fresh store.
#[derive(Debug, Parser)]
#[command(name = "order", version)]
struct Options {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Sends each purchase of a file as the commands of an order; what was imported before is not executed again.
    Import {
        /// One purchase a line: customer, date (YYYYMMDD), number of CDs, dollars. See data/sample.txt.
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Shows an order as it is now.
    Show {
        /// Such as 1001.
        id: OrderId,
        #[command(flatten)]
        common: Common,
    },
    /// Lists what happened to an order.
    History {
        /// Such as 1001.
        id: OrderId,
        /// Only up to this version, or this time (such as 2026-11-23T10:00:00Z).
        #[arg(long, value_name = "VERSION|TIME")]
        as_of: Option<Point>,
        #[command(flatten)]
        common: Common,
    },
    /// Lists what happened to all orders in a range of time, 90 days at most.
    Events {
        /// Such as 2026-11-01T00:00:00Z.
        #[arg(long)]
        from: Timestamp,
        /// Such as 2026-11-30T23:59:59Z.
        #[arg(long)]
        to: Timestamp,
        #[command(flatten)]
        common: Common,
    },
    /// Lists orders, from a read model.
    List {
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        common: Common,
    },
    /// Lists what customers have ordered and paid, from a read model.
    Spend {
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        common: Common,
    },
    /// Lists what the orders of each day have come to, from a read model.
    Revenue {
        #[command(flatten)]
        part: Part,
        #[command(flatten)]
        common: Common,
    },
    /// Shows how the projections are doing.
    Status {
        #[command(flatten)]
        common: Common,
    },
    /// Lists where the fulfilment of orders is, those first that need a person; runs it, and decides what a person has to.
    Sagas {
        #[command(subcommand)]
        action: Option<order::sagas::Action>,
        /// How many are listed.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        common: Common,
    },
    /// Lists events that a projection could not take in; retries or skips them.
    Deadletters {
        #[command(subcommand)]
        action: order::deadletters::Action,
        #[command(flatten)]
        common: Common,
    },
    /// Makes a read model anew beside the one that serves, compares the two, and switches.
    Rebuild {
        /// Such as order-list.
        projection: ProjectionName,
        /// Switches only if nothing differs.
        #[arg(long)]
        only_if_equal: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Runs proposed schemas and policies over all that is stored, read as this program reads it; fails if something would break.
    Replay {
        /// The directory of the schemas; those of this program unless told otherwise.
        #[arg(long, default_value = order::shop::SCHEMAS)]
        schemas: PathBuf,
        /// The directory of the policies; those of this program unless told otherwise.
        #[arg(long, default_value = order::shop::POLICIES)]
        policies: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Counts over all orders, from the stored events.
    Stats {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Where the events are: sqlite:PATH, memory:, postgres://USER@HOST/DATABASE, a path, or, where this program is built with the
    /// feature aws, dynamodb://TABLE?region=REGION&endpoint=URL (both are found as AWS programs find them unless given).
    #[arg(long, global = true, default_value = "sqlite:orders.db")]
    store: Address,
    /// The bus by which events go to the read models: local or local:DIRECTORY, or, where this program is built with the feature aws,
    /// aws://NAME?region=REGION&endpoint=URL. Without one, read models are made from the store. A read model that was made in one way does not go on in
    /// another.
    #[arg(long, global = true)]
    bus: Option<BusAddress>,
    /// Prints JSON.
    #[arg(long, global = true)]
    json: bool,
}

impl Common {
    async fn open(&self) -> anyhow::Result<Shop> {
        self.on_bus(self.store.open().await?).await
    }

    async fn open_existing(&self) -> anyhow::Result<Shop> {
        self.on_bus(self.store.open_existing().await?).await
    }

    async fn on_bus(&self, shop: Shop) -> anyhow::Result<Shop> {
        match &self.bus {
            Some(bus) => Ok(shop.with_bus(bus.open().await?)),
            None => Ok(shop),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse().action).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(action: Option<Action>) -> anyhow::Result<()> {
    match action {
        None => order::story::tell().await,
        Some(Action::Import { file, common }) => {
            let shop = common.open().await?;
            let report = order::import::import(&shop, &file).await?;
            if common.json {
                println!("{}", serde_json::to_string(&report)?);
            } else {
                report.print();
                #[cfg(feature = "aws")]
                if let Some(sent) = shop.bus().and_then(|bus| bus.sent()) {
                    order::costs::print(sent.traffic())?;
                }
            }
            Ok(())
        }
        Some(Action::Show { id, common }) => {
            order::show::show(&common.open_existing().await?.orders, &id, common.json).await
        }
        Some(Action::History { id, as_of, common }) => {
            order::history::history(&common.open_existing().await?, &id, as_of, common.json).await
        }
        Some(Action::Events { from, to, common }) => {
            order::events::events(&common.open_existing().await?, from, to, common.json).await
        }
        Some(Action::Replay { schemas, policies, common }) => {
            order::replay::replay(common.store.open_for_reading().await?, &schemas, &policies, common.json)
                .await
        }
        Some(Action::Stats { common }) => {
            order::stats::stats(&common.open_existing().await?, common.json).await
        }
        Some(Action::List { part, common }) => {
            order::list::orders(&common.open_existing().await?, &part, common.json).await
        }
        Some(Action::Spend { part, common }) => {
            order::list::customers(&common.open_existing().await?, &part, common.json).await
        }
        Some(Action::Revenue { part, common }) => {
            order::list::days(&common.open_existing().await?, &part, common.json).await
        }
        Some(Action::Status { common }) => {
            order::status::status(&common.open_existing().await?, common.json).await
        }
        Some(Action::Sagas { action, limit, common }) => {
            let shop = common.open_existing().await?;
            order::sagas::run(&shop, action.as_ref(), limit, common.json).await
        }
        Some(Action::Deadletters { action, common }) => {
            order::deadletters::run(&common.open_existing().await?, &action, common.json).await
        }
        Some(Action::Rebuild { projection, only_if_equal, common }) => {
            order::rebuild::rebuild(&common.open_existing().await?, &projection, only_if_equal).await
        }
    }
}
