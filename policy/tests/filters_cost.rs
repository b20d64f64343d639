//! What filters cost: `cargo test --release -p policy --test filters_cost -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

mod filter_fixture;

use std::hint::black_box;
use std::time::Instant;

use filter_fixture::{Contact, schema};
use policy::filter::{Filter, Scope};

const FILTERS: &[(&str, &str)] = &[
    ("one comparison", "fields.age > 18"),
    (
        "a usual one",
        r#"consent.email && fields.city in ["Genova", "Roma", "Milano"] && days_since(orders.last_at) < 90 && !("press" in groups)"#,
    ),
    (
        "dates",
        r#"activity.last_open_at > now - duration("90d") && fields.born < timestamp("2000-01-01")"#,
    ),
];

fn measure(rounds: u32, mut work: impl FnMut()) -> u128 {
    let mut best = u128::MAX;
    for _ in 0..7 {
        let begun = Instant::now();
        for _ in 0..rounds {
            work();
        }
        best = best.min(begun.elapsed().as_nanos() / u128::from(rounds));
    }
    best
}

#[test]
#[ignore = "measures; wants an optimized build"]
fn cost() {
    let (schema, anna) = (schema(), Contact::anna());
    let cities: Vec<String> = (0..130).map(|number| format!("\"città {number}\"")).collect();
    let cities = format!("fields.city in [{}]", cities.join(","));
    let terms = ["fields.name.contains(\"x\")"; 70].join("||");
    for (name, source) in FILTERS
        .iter()
        .copied()
        .chain([("130 cities", cities.as_str()), ("70 searches", terms.as_str())])
    {
        let filter = Filter::compile(source, &schema, Scope::Contact).unwrap();
        let facts = anna.facts(Scope::Contact);
        let ask = measure(100_000, || {
            black_box(filter.matches(black_box(&facts)).unwrap());
        });
        let compile = measure(200, || {
            black_box(Filter::compile(black_box(source), &schema, Scope::Contact).unwrap());
        });
        println!(
            "{name}: {} characters, asked in {ask} ns, compiled in {} µs",
            source.chars().count(),
            compile / 1_000
        );
    }
}
