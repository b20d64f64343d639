//! How much of a core delivery takes: run with `--release --ignored --nocapture`.

use types::event::Outcome;

use crate::real::smtp_sink;
use crate::support::{Engine, to};

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn cost_of_a_delivery_into_smtp_sink() {
    const COUNT: u64 = 100_000;
    let (_sink, address) = smtp_sink();
    let mut engine = Engine::start(to(address));
    let body: String = (0..80)
        .map(|_| "A line of seventy-six characters, as quoted-printable text has them in mails\r\n")
        .collect();
    let body = bytes::Bytes::from(format!("Subject: x\r\n\r\n{body}"));
    let (started, cpu) = (std::time::Instant::now(), cpu_seconds());
    for id in 1..=COUNT {
        let mail = mta::ready::Ready {
            bytes: body.clone(),
            ..engine.mail(id, "r@dest.example")
        };
        engine.send(mail);
    }
    let queued = started.elapsed();
    for _ in 0..COUNT {
        assert_eq!(engine.terminal().await.outcome, Outcome::Delivered);
    }
    let (wall, cpu) = (started.elapsed(), cpu_seconds() - cpu);
    println!(
        "{COUNT} of {} bytes: queued in {queued:?}, {:.0}/s, {:.1} µs CPU each",
        body.len(),
        COUNT as f64 / wall.as_secs_f64(),
        cpu * 1e6 / COUNT as f64
    );
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "a measurement"]
async fn memory_of_a_queued_message() {
    let engine = Engine::start(to("127.0.0.1:1".parse().unwrap()));
    let mail = engine.mail(1, "r@dest.example");
    let mut before = 0;
    for id in 1..=1_000_000 {
        engine.delivery.ready(mta::ready::Ready {
            message: types::id::MessageId::from_raw(id),
            ..mail.clone()
        });
        if id == 200_000 {
            before = rss_kib();
        }
    }
    println!(
        "{:.1} bytes a message from 200,000 to 1,000,000",
        (rss_kib() - before) as f64 * 1024.0 / 800_000.0
    );
}
