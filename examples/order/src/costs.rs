//! What the buses cost a month: from what a run has sent, and a table of prices.

use anyhow::Context;
use nexus_kinesis::PublishedCounts as ByKinesis;
use nexus_sns::PublishedCounts as BySns;
use serde::Deserialize;

use crate::read_models::ReadModels;
use crate::show::thousands;

/// With their dates and the region; other regions have others.
const PRICES: &str = include_str!("../../../deploy/prices.json");

/// So many events a month.
const VOLUMES: [u64; 3] = [1_000_000, 100_000_000, 10_000_000_000];

/// At the busiest time there is so many times what there is on average: shards have to bear it.
const PEAK: f64 = 3.0;

/// A feed asks a queue that has nothing once a second.
const ASKED_A_SECOND: f64 = 1.0;

const GIGABYTE: f64 = 1_073_741_824.0;

/// Kinesis on demand counts a record in these.
const KILOBYTE: f64 = 1_024.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prices {
    currency: String,
    region: String,
    hours_a_month: f64,
    kinesis: KinesisPrices,
    sns: RequestPrice,
    sqs: RequestPrice,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KinesisPrices {
    as_of: String,
    shard_hour: f64,
    million_payload_units: f64,
    records_a_second_and_shard: f64,
    bytes_a_second_and_shard: f64,
    on_demand_stream_hour: f64,
    on_demand_gigabyte_in: f64,
    on_demand_gigabyte_out: f64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestPrice {
    as_of: String,
    million_requests: f64,
}

/// What a run has sent, and what its consumers have asked for.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    pub fast: ByKinesis,
    pub cheap: BySns,
    /// To receive what was there and to delete it, by all consumers.
    pub queue_requests: u64,
}

/// What goes by Kinesis.
#[derive(Clone, Copy, Debug)]
struct Records {
    records: f64,
    bytes: f64,
    payload_units: f64,
}

/// What some events a month cost.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Costs {
    all_by_kinesis: f64,
    two_paths: f64,
    /// Without a stream, and without order.
    all_by_queues: f64,
}

impl Records {
    fn times(self, factor: f64) -> Self {
        Self {
            records: self.records * factor,
            bytes: self.bytes * factor,
            payload_units: self.payload_units * factor,
        }
    }
}

impl Prices {
    /// The cheaper of provisioned shards and of paying by volume.
    fn kinesis(&self, sent: Records, readers: f64) -> f64 {
        let (prices, seconds) = (&self.kinesis, self.hours_a_month * 3_600.0);
        let peak = |amount: f64| amount / seconds * PEAK;
        let shards = (peak(sent.records) / prices.records_a_second_and_shard)
            .max(peak(sent.bytes) / prices.bytes_a_second_and_shard)
            // All that poll share what a shard hands out: twice what it takes.
            .max(peak(sent.bytes) * readers / (2.0 * prices.bytes_a_second_and_shard))
            .ceil()
            .max(1.0);
        let provisioned = shards * prices.shard_hour * self.hours_a_month
            + sent.payload_units / 1e6 * prices.million_payload_units;
        let a_record = (sent.bytes / sent.records.max(1.0) / KILOBYTE).ceil().max(1.0) * KILOBYTE;
        let gigabytes = sent.records * a_record / GIGABYTE;
        let on_demand = prices.on_demand_stream_hour * self.hours_a_month
            + gigabytes * (prices.on_demand_gigabyte_in + readers * prices.on_demand_gigabyte_out);
        provisioned.min(on_demand)
    }

    fn costs(&self, traffic: Traffic, events: u64, readers: f64) -> Costs {
        let Traffic { fast, cheap, queue_requests } = traffic;
        let factor = events as f64 / (fast.events + cheap.events).max(1) as f64;
        let by_kinesis = Records {
            records: fast.records as f64,
            bytes: fast.bytes as f64,
            payload_units: fast.payload_units as f64,
        };
        // The others would be packed as these were.
        let packed = fast.records as f64 / fast.events.max(1) as f64;
        let records = cheap.events as f64 * packed;
        let others = Records { records, bytes: cheap.bytes as f64, payload_units: records };
        let all = Records {
            records: by_kinesis.records + others.records,
            bytes: by_kinesis.bytes + others.bytes,
            payload_units: by_kinesis.payload_units + others.payload_units,
        };
        // Who asks a queue that has nothing pays for it, too; who gets something asks again at once.
        let asked_in_vain = |busy: f64| {
            let idle = readers * ASKED_A_SECOND * self.hours_a_month * 3_600.0;
            (idle - busy).max(0.0) / 1e6 * self.sqs.million_requests
        };
        let queues = |factor: f64| {
            let busy = queue_requests as f64 * factor;
            let sent = cheap.billed_units as f64 * factor / 1e6 * self.sns.million_requests;
            sent + busy / 1e6 * self.sqs.million_requests + asked_in_vain(busy)
        };
        Costs {
            all_by_kinesis: self.kinesis(all.times(factor), readers),
            two_paths: self.kinesis(by_kinesis.times(factor), readers) + queues(factor),
            all_by_queues: queues(events as f64 / cheap.events.max(1) as f64),
        }
    }
}

/// Prints what was sent, and what as much would cost a month by either way.
pub fn print(traffic: Traffic) -> anyhow::Result<()> {
    let prices: Prices = serde_json::from_str(PRICES).context("deploy/prices.json is wrong")?;
    let Traffic { fast, cheap, queue_requests } = traffic;
    println!(
        "sent by Kinesis: {} events in {} records, {} KB, {} requests",
        thousands(fast.events),
        thousands(fast.records),
        thousands(fast.bytes / 1_000),
        thousands(fast.requests)
    );
    println!(
        "sent by SNS:     {} events, {} KB, {} requests; SQS had {} requests to get and delete them",
        thousands(cheap.events),
        thousands(cheap.bytes / 1_000),
        thousands(cheap.requests),
        thousands(queue_requests)
    );
    println!(
        "in a month, in {} by the prices of {} (Kinesis {}, SNS {}, SQS {}), at a peak of {PEAK} times the average:",
        prices.currency, prices.region, prices.kinesis.as_of, prices.sns.as_of, prices.sqs.as_of
    );
    println!(
        "{:>16} {:>14} {:>14} {:>9} {:>14}",
        "events", "all by Kinesis", "by two paths", "saving", "all by queues"
    );
    for events in VOLUMES {
        let Costs { all_by_kinesis, two_paths, all_by_queues } =
            prices.costs(traffic, events, ReadModels::NAMES.len() as f64);
        println!(
            "{:>16} {all_by_kinesis:>14.2} {two_paths:>14.2} {:>7.0} % {all_by_queues:>14.2}",
            thousands(events),
            (1.0 - two_paths / all_by_kinesis) * 100.0
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices() -> Prices {
        serde_json::from_str(PRICES).unwrap()
    }

    fn records(records: f64, bytes: f64) -> Records {
        Records { records, bytes, payload_units: records }
    }

    #[test]
    fn a_quiet_stream_costs_a_shard() {
        let quiet = prices().kinesis(records(1e6, 5e8), 3.0);
        assert!((quiet - (0.015 * 730.0 + 0.014)).abs() < 1e-9, "{quiet}");
    }

    #[test]
    fn a_busy_stream_costs_what_it_takes_to_bear_it() {
        // 10,000 records a second at the peak: ten shards.
        let many = 10_000.0 / 3.0 * 730.0 * 3_600.0;
        let busy = prices().kinesis(records(many, many), 1.0);
        assert!((busy - (10.0 * 0.015 * 730.0 + many / 1e6 * 0.014)).abs() < 1e-6, "{busy}");
        // 20 MB a second at the peak, and three readers share what shards hand out: thirty.
        let bytes = 20.0 * 1_048_576.0 / 3.0 * 730.0 * 3_600.0;
        let large = prices().kinesis(records(1e6, bytes), 3.0);
        assert!((large - (30.0 * 0.015 * 730.0 + 0.014)).abs() < 1e-6, "{large}");
    }

    #[test]
    fn two_paths_cost_what_each_does() {
        let (mut fast, mut cheap) = (ByKinesis::default(), BySns::default());
        (fast.events, fast.records, fast.bytes, fast.payload_units) = (100, 50, 50_000, 50);
        (cheap.events, cheap.bytes, cheap.billed_units) = (300, 150_000, 30);
        let traffic = Traffic { fast, cheap, queue_requests: 60 };
        let Costs { all_by_kinesis, two_paths, all_by_queues } = prices().costs(traffic, 4_000_000, 3.0);
        // A shard bears either; 2,000,000 records, or 500,000 and 300,000 requests to SNS and 600,000 to SQS.
        let shard = 0.015 * 730.0;
        assert!((all_by_kinesis - (shard + 2.0 * 0.014)).abs() < 1e-9, "{all_by_kinesis}");
        let asked = 3.0 * 730.0 * 3_600.0 / 1e6 * 0.4;
        let sent = 0.5 * 0.014 + 0.3 * 0.5;
        assert!((two_paths - (shard + sent + asked)).abs() < 1e-9, "{two_paths}");
        assert!((all_by_queues - (0.4 * 0.5 + asked)).abs() < 1e-9, "{all_by_queues}");
        // With a thousand times as many, nobody asks in vain.
        let Costs { all_by_queues, .. } = prices().costs(traffic, 4_000_000_000, 3.0);
        assert!((all_by_queues - 1e3 * (0.4 * 0.5 + 0.8 * 0.4)).abs() < 1e-6, "{all_by_queues}");
    }
}
