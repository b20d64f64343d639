//! Open-loop orders at a fixed rate, each timed from POST to the 250 that our own sink gives its mail.
//!
//! The schedule is fixed before the run: a late answer does not delay the next order, and each latency counts from the
//! moment the order was due (no coordinated omission).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::http::Connection;
use crate::order::{Orders, number_of};
use crate::sink;
use crate::throughput::percentiles;

#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// The API listener.
    #[arg(long)]
    api: String,
    /// The shop's API key.
    #[arg(long)]
    key: String,
    /// Where our sink listens; the service must route all mail there.
    #[arg(long)]
    sink: String,
    /// Orders a second.
    #[arg(long, default_value_t = 50.0)]
    rate: f64,
    /// Orders that count.
    #[arg(long, default_value_t = 3000)]
    orders: u64,
    /// Orders before them that do not.
    #[arg(long, default_value_t = 200)]
    warm_up: u64,
    /// A name for the run; order ids start with it.
    #[arg(long, default_value = "latency")]
    run: String,
    /// When the orders were placed, RFC 3339.
    #[arg(long)]
    placed_at: String,
}

/// Posts the orders and returns the latencies from POST to the sink's 250 and to the API's 202.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<serde_json::Value> {
    let (arrived, mut arrivals) = mpsc::channel(4096);
    let _sink = sink::start(&arguments.sink, arrived).await?;
    let orders = Arc::new(Orders::new(
        &arguments.run,
        arguments.placed_at.clone(),
        vec!["a.load.test".to_owned()],
    ));
    let total = arguments.warm_up + arguments.orders;
    let accepts = Arc::new(Mutex::new(Histogram::<u64>::new(3)?));
    let pool = Arc::new(tokio::sync::Mutex::new(Vec::new()));
    let started = Instant::now() + Duration::from_millis(100);
    let due = {
        let interval = Duration::from_secs_f64(1.0 / arguments.rate);
        move |number: u64| started + interval * u32::try_from(number).unwrap_or(u32::MAX)
    };

    // The runtime's timer rounds up to milliseconds; a thread that sleeps wakes within tens of microseconds.
    let (tick, mut ticks) = mpsc::channel(4096);
    let pacer = std::thread::spawn(move || {
        for number in 0..total {
            std::thread::sleep(due(number).saturating_duration_since(Instant::now()));
            if tick.blocking_send(number).is_err() {
                return;
            }
        }
    });
    let post = {
        let (arguments, accepts) = (arguments.clone(), Arc::clone(&accepts));
        move |number: u64| {
            let (arguments, orders) = (arguments.clone(), Arc::clone(&orders));
            let (accepts, pool) = (Arc::clone(&accepts), Arc::clone(&pool));
            async move {
                let idle = pool.lock().await.pop();
                let mut connection = match idle {
                    Some(connection) => connection,
                    None => Connection::open(&arguments.api, &arguments.key).await?,
                };
                let status = connection.post(&orders.body(number)).await?;
                if status != 202 {
                    bail!("order {number} was answered with {status}");
                }
                if number >= arguments.warm_up {
                    let micros = u64::try_from(due(number).elapsed().as_micros())?;
                    accepts.lock().unwrap_or_else(PoisonError::into_inner).record(micros)?;
                }
                pool.lock().await.push(connection);
                Ok(())
            }
        }
    };
    let posting = tokio::spawn(async move {
        let mut posts = JoinSet::new();
        while let Some(number) = ticks.recv().await {
            posts.spawn(post(number));
        }
        while let Some(posted) = posts.join_next().await {
            posted??;
        }
        anyhow::Ok(())
    });

    let mut deliveries = Histogram::<u64>::new(3)?;
    let mut seen = 0;
    let deadline = due(total) + Duration::from_secs(30);
    while seen < total {
        let arrival = tokio::time::timeout_at(deadline.into(), arrivals.recv()).await;
        let sink::Arrival { recipient, at, .. } = arrival
            .with_context(|| format!("{} of {total} mails did not arrive", total - seen))?
            .context("the sink ended")?;
        let number = number_of(&recipient).with_context(|| format!("a mail for {recipient}, which was not ordered"))?;
        seen += 1;
        if number >= arguments.warm_up {
            deliveries.record(u64::try_from(at.saturating_duration_since(due(number)).as_micros())?)?;
        }
    }
    posting.await??;
    pacer.join().map_err(|_| anyhow::anyhow!("the pacer panicked"))?;
    let accepts = accepts.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(json!({
        "orders": deliveries.len(),
        "rate": arguments.rate,
        "accept_ms": percentiles(&accepts),
        "post_to_250_ms": percentiles(&deliveries),
    }))
}
