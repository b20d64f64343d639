//! Closed-loop orders: every connection posts the next order as soon as the last one is accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::task::JoinSet;

use crate::http::Connection;
use crate::order::Orders;

#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// The API listener.
    #[arg(long)]
    api: String,
    /// The shop's API key.
    #[arg(long)]
    key: String,
    /// How many orders.
    #[arg(long, default_value_t = 20_000)]
    orders: u64,
    /// The first order's number; numbers name orders and recipients.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// On how many connections.
    #[arg(long, default_value_t = 64)]
    connections: u64,
    /// A name for the run; order ids start with it.
    #[arg(long, default_value = "run")]
    run: String,
    /// When the orders were placed, RFC 3339.
    #[arg(long)]
    placed_at: String,
    /// The recipients' domains.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "a.load.test,b.load.test,c.load.test,d.load.test,e.load.test,f.load.test,g.load.test,h.load.test"
    )]
    domains: Vec<String>,
    /// The whole run may take no longer.
    #[arg(long, default_value_t = 900)]
    seconds_max: u64,
}

/// Posts the orders and returns how long the accepts took. Overload answers (429, 503) are tried again.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<serde_json::Value> {
    let orders = Arc::new(Orders::new(
        &arguments.run,
        arguments.placed_at.clone(),
        arguments.domains.clone(),
    ));
    let next = Arc::new(AtomicU64::new(arguments.first));
    let started = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..arguments.connections {
        let (arguments, orders, next) = (arguments.clone(), Arc::clone(&orders), Arc::clone(&next));
        connections.spawn(async move {
            let mut connection = Connection::open(&arguments.api, &arguments.key).await?;
            let mut accepts = Histogram::<u64>::new(3)?;
            let mut overloads = 0_u64;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= arguments.first + arguments.orders {
                    return Ok::<_, anyhow::Error>((accepts, overloads));
                }
                let body = orders.body(number);
                let posted = Instant::now();
                loop {
                    match connection.post(&body).await? {
                        202 => break,
                        429 | 503 => {
                            overloads += 1;
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        status => bail!("order {number} was answered with {status}"),
                    }
                }
                accepts.record(u64::try_from(posted.elapsed().as_micros())?)?;
            }
        });
    }
    let mut accepts = Histogram::<u64>::new(3)?;
    let mut overloads = 0;
    let all = async {
        while let Some(ended) = connections.join_next().await {
            let (histogram, count) = ended??;
            accepts.add(histogram)?;
            overloads += count;
        }
        Ok::<_, anyhow::Error>(())
    };
    tokio::time::timeout(Duration::from_secs(arguments.seconds_max), all).await??;
    let seconds = started.elapsed().as_secs_f64();
    Ok(json!({
        "orders": accepts.len(),
        "seconds": seconds,
        "accepted_per_second": rate(accepts.len(), seconds),
        "overload_answers": overloads,
        "accept_ms": percentiles(&accepts),
    }))
}

/// Returns events per second.
#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
pub(crate) fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// Returns the usual percentiles of a histogram of microseconds, in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "microseconds here stay far below 2^52")]
pub(crate) fn percentiles(micros: &Histogram<u64>) -> serde_json::Value {
    let at = |quantile: f64| micros.value_at_quantile(quantile) as f64 / 1000.0;
    json!({ "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99.5": at(0.995), "p99.9": at(0.999), "max": micros.max() as f64 / 1000.0 })
}
