//! What somebody would write by hand: one sqlx connection, prepared statements, one table with the id of the command as
//! metadata, and the two unique indexes that optimistic concurrency and idempotent appends need. The connection has the same
//! settings that make PostgreSQL plan statements once.

use futures::TryStreamExt;
use nexus_postgres::PostgresConfig;
use nexus_postgres::sqlx::postgres::{PgConnectOptions, PgConnection};
use nexus_postgres::sqlx::{self, ConnectOptions, Row};
use uuid::Uuid;

use crate::by_hand::ByHand;
use crate::domain::{AddLine, Order, OrderEvent, typed};

#[derive(Debug)]
pub(crate) struct Raw {
    url: String,
    connection: PgConnection,
}

/// With the settings of Nexus's own connections: plans are made once, and not for tables as small as they were then.
async fn connect(url: &str) -> anyhow::Result<PgConnection> {
    let options = PostgresConfig::tuned(url.parse::<PgConnectOptions>()?);
    let options = options.options([("enable_seqscan", "off"), ("enable_bitmapscan", "off")]);
    Ok(options.connect().await?)
}

impl Raw {
    /// Connects, and makes the table anew.
    pub(super) async fn open(url: &str) -> anyhow::Result<Self> {
        let mut connection = connect(url).await?;
        sqlx::raw_sql(
            "DROP SCHEMA IF EXISTS raw CASCADE;
             CREATE SCHEMA raw;
             CREATE TABLE raw.events (
                 position    bigserial PRIMARY KEY,
                 version     bigint NOT NULL,
                 recorded_at timestamptz NOT NULL DEFAULT now(),
                 id          uuid NOT NULL UNIQUE,
                 stream      text NOT NULL,
                 type        text NOT NULL,
                 metadata    text NOT NULL,
                 payload     text NOT NULL,
                 UNIQUE (stream, version)
             );
             CREATE TABLE raw.snapshots (stream text PRIMARY KEY, version bigint NOT NULL, state text NOT NULL);",
        )
        .execute(&mut connection)
        .await?;
        Ok(Self { url: url.to_owned(), connection })
    }

    /// Commands on streams that are new, one after the other: an insert each.
    pub(super) async fn inserts(&mut self, first: u64, commands: u64) -> anyhow::Result<()> {
        for number in 0..commands {
            self.insert_one(&format!("order-{}", first + number), 0, &Order::default(), number).await?;
        }
        Ok(())
    }

    /// One command after the other: select, then insert.
    async fn commands_alone(&mut self, first: u64, commands: u64) -> anyhow::Result<()> {
        for number in 0..commands {
            let stream = format!("order-{}", first + number);
            let last: Option<(i64, String)> = sqlx::query_as(
                "SELECT version, payload FROM raw.events WHERE stream = $1 ORDER BY version DESC LIMIT 1",
            )
            .bind(&stream)
            .fetch_optional(&mut self.connection)
            .await?;
            let (mut order, mut version) = (Order::default(), 0);
            if let Some((last, payload)) = last {
                order.fold(&typed("LineAdded", payload.as_bytes())?);
                version = last;
            }
            self.insert_one(&stream, version, &order, number).await?;
        }
        Ok(())
    }

    /// What a command decides on an order, after so many events.
    async fn insert_one(
        &mut self,
        stream: &str,
        after: i64,
        order: &Order,
        number: u64,
    ) -> anyhow::Result<()> {
        sqlx::query(
            "INSERT INTO raw.events (stream, version, id, type, metadata, payload) \
             VALUES ($1, $2, $3::text::uuid, $4, $5, $6)",
        )
        .bind(stream)
        .bind(after + 1)
        .bind(Uuid::now_v7().to_string())
        .bind("LineAdded")
        .bind(metadata())
        .bind(order.added(&AddLine::sample(number))?)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    /// Commands on new streams, so many in one statement: one select for all, then one insert by UNNEST.
    async fn commands_together(&mut self, first: u64, commands: u64, together: u64) -> anyhow::Result<()> {
        let mut done = 0;
        while done < commands {
            let numbers: Vec<u64> = (done..(done + together).min(commands)).collect();
            let streams: Vec<String> =
                numbers.iter().map(|number| format!("order-{}", first + number)).collect();
            let last = sqlx::query(
                "SELECT DISTINCT ON (stream) stream, version, payload FROM raw.events WHERE stream = ANY ($1) \
                 ORDER BY stream, version DESC",
            );
            let last = last.bind(&streams).fetch_all(&mut self.connection).await?;
            anyhow::ensure!(last.is_empty(), "they are new");
            let order = Order::default();
            let payloads = numbers
                .iter()
                .map(|number| order.added(&AddLine::sample(*number)))
                .collect::<anyhow::Result<Vec<_>>>()?;
            self.insert(streams, vec![1; numbers.len()], payloads).await?;
            done += together;
        }
        Ok(())
    }

    async fn insert(
        &mut self,
        streams: Vec<String>,
        versions: Vec<i64>,
        payloads: Vec<String>,
    ) -> anyhow::Result<()> {
        let ids: Vec<String> = streams.iter().map(|_| Uuid::now_v7().to_string()).collect();
        let metadata: Vec<String> = streams.iter().map(|_| metadata()).collect();
        sqlx::query(
            "INSERT INTO raw.events (stream, version, id, type, metadata, payload) \
             SELECT s, v, i::uuid, 'LineAdded', m, p FROM unnest($1::text[], $2::int8[], $3::text[], $4::text[], $5::text[]) \
             AS u (s, v, i, m, p)",
        )
        .bind(streams)
        .bind(versions)
        .bind(ids)
        .bind(metadata)
        .bind(payloads)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }
}

impl ByHand for Raw {
    async fn commands(&mut self, first: u64, commands: u64, per_commit: u64) -> anyhow::Result<()> {
        match per_commit {
            1 => self.commands_alone(first, commands).await,
            together => self.commands_together(first, commands, together).await,
        }
    }

    async fn command_after_all(&mut self, stream: u64, number: u64) -> anyhow::Result<()> {
        let order = self.load(stream).await?;
        self.insert_one(&format!("order-{stream}"), i64::from(order.lines), &order, number).await
    }

    async fn snapshot(&mut self, stream: u64) -> anyhow::Result<()> {
        let order = self.load(stream).await?;
        sqlx::query("INSERT INTO raw.snapshots (stream, version, state) VALUES ($1, $2, $3)")
            .bind(format!("order-{stream}"))
            .bind(i64::from(order.lines))
            .bind(serde_json::to_string(&order)?)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    async fn command_after_snapshot(&mut self, stream: u64, number: u64) -> anyhow::Result<()> {
        let stream = format!("order-{stream}");
        let (mut version, state): (i64, String) =
            sqlx::query_as("SELECT version, state FROM raw.snapshots WHERE stream = $1")
                .bind(&stream)
                .fetch_one(&mut self.connection)
                .await?;
        let mut order: Order = serde_json::from_str(&state)?;
        {
            let rows = sqlx::query(
                "SELECT type, payload FROM raw.events WHERE stream = $1 AND version > $2 ORDER BY version",
            );
            let mut rows = rows.bind(&stream).bind(version).fetch(&mut self.connection);
            while let Some(row) = rows.try_next().await? {
                order.fold(&typed(row.try_get(0)?, row.try_get::<&str, _>(1)?.as_bytes())?);
                version += 1;
            }
        }
        self.insert_one(&stream, version, &order, number).await
    }

    async fn append(&mut self, stream: u64, events: u64) -> anyhow::Result<()> {
        let payloads = (0..events)
            .map(|number| added(u32::try_from(number)?, number))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let count = usize::try_from(events)?;
        let versions = (1..=i64::try_from(events)?).collect();
        self.insert(vec![format!("order-{stream}"); count], versions, payloads).await
    }

    async fn load(&mut self, stream: u64) -> anyhow::Result<Order> {
        let mut order = Order::default();
        let rows = sqlx::query("SELECT type, payload FROM raw.events WHERE stream = $1 ORDER BY version");
        let mut rows = rows.bind(format!("order-{stream}")).fetch(&mut self.connection);
        while let Some(row) = rows.try_next().await? {
            order.fold(&typed(row.try_get(0)?, row.try_get::<&str, _>(1)?.as_bytes())?);
        }
        Ok(order)
    }

    async fn scan(&mut self) -> anyhow::Result<(u64, u64)> {
        let mut rows = sqlx::query(
            "SELECT position, stream, version, id, type, recorded_at, payload, metadata FROM raw.events ORDER BY position",
        )
        .fetch(&mut self.connection);
        let (mut events, mut cents) = (0, 0);
        while let Some(row) = rows.try_next().await? {
            let place: (i64, String, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let id = Uuid::from_slice(row.try_get_raw(3)?.as_bytes().map_err(anyhow::Error::from_boxed)?)?;
            let time = row.try_get_raw(5)?.as_bytes().map_err(anyhow::Error::from_boxed)?.to_vec();
            let metadata: String = row.try_get(7)?;
            let event = typed(row.try_get(4)?, row.try_get::<&str, _>(6)?.as_bytes())?;
            std::hint::black_box((place, id, time, metadata));
            events += 1;
            if let OrderEvent::LineAdded { cents: more, .. } = event {
                cents += more;
            }
        }
        Ok((events, cents))
    }

    async fn fill(&mut self, events: u64, stream: impl Fn(u64) -> u64) -> anyhow::Result<()> {
        let mut lines = std::collections::HashMap::<u64, u32>::new();
        for chunk in 0..events.div_ceil(10_000) {
            let (mut streams, mut versions, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
            for number in chunk * 10_000..((chunk + 1) * 10_000).min(events) {
                let line = lines.entry(stream(number)).or_default();
                payloads.push(added(*line, number)?);
                *line += 1;
                streams.push(format!("order-{}", stream(number)));
                versions.push(i64::from(*line));
            }
            self.insert(streams, versions, payloads).await?;
        }
        self.connection = connect(&self.url).await?;
        Ok(())
    }
}

/// What is decided on an order of so many lines.
fn added(lines: u32, number: u64) -> anyhow::Result<String> {
    Order { lines, cents: 0 }.added(&AddLine::sample(number))
}

fn metadata() -> String {
    format!("{{\"command\":\"{}\"}}", Uuid::now_v7())
}
