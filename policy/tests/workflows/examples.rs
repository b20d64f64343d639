//! The examples of `docs/workflows/` have no fault, and run.

use std::collections::BTreeSet;

use policy::workflow::{Completeness, Vocabulary, check};
use types::catalogue::Catalogue;
use types::event::CatalogueChanged;
use types::workflow::{Enrol, WorkflowSpec, WorkflowState};

use crate::world::{SHOP, Sim, slug};

const FIELDS: [(&str, &str); 3] = [("birthday", "date"), ("last_visit", "date"), ("points", "number")];
const GROUPS: [&str; 5] = ["staff", "welcomed", "regulars", "newsletter", "inactive"];

fn files() -> Vec<(String, serde_json::Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/workflows");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let read = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let json = serde_json::from_str(&std::fs::read_to_string(&path).unwrap());
        (name, json.unwrap_or_else(|fault| panic!("{}: {fault}", path.display())))
    };
    files.into_iter().map(read).collect()
}

/// A shop with all that the examples name.
fn shop(catalogue: &mut Catalogue) {
    let at = crate::world::at("2026-01-01T00:00");
    for (id, kind) in FIELDS {
        let spec = serde_json::from_value(serde_json::json!({ "type": kind })).unwrap();
        catalogue.apply(
            &CatalogueChanged::FieldPut {
                shop: SHOP,
                id: slug(id),
                spec,
            },
            at,
        );
    }
    for id in GROUPS {
        let spec = serde_json::from_value(serde_json::json!({ "name": id })).unwrap();
        catalogue.apply(
            &CatalogueChanged::GroupPut {
                shop: SHOP,
                id: slug(id),
                spec,
            },
            at,
        );
    }
    let templates: BTreeSet<String> = files()
        .iter()
        .flat_map(|(_, json)| json["steps"].as_array().unwrap().clone())
        .filter_map(|step| step["template"].as_str().map(str::to_owned))
        .collect();
    for id in templates {
        let spec = serde_json::json!({
            "kind": "message", "sources": { "it": { "subject": "s", "html": "h", "text": "t" } },
        });
        let spec = serde_json::from_value(spec).unwrap();
        catalogue.apply(
            &CatalogueChanged::TemplatePut {
                shop: SHOP,
                id: slug(&id),
                spec,
            },
            at,
        );
    }
}

#[test]
fn every_example_can_be_switched_on() {
    let mut catalogue = crate::world::catalogue();
    shop(&mut catalogue);
    let vocabulary = Vocabulary::of(&catalogue, SHOP);
    let files = files();
    assert_eq!(files.len(), 5);
    for (name, json) in files {
        let spec: WorkflowSpec = serde_json::from_value(json).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(check(&spec, &vocabulary, Completeness::Complete), [], "{name}");
    }
}

/// Lets one example run, with what happens to the contact, and expects its mails.
fn run(name: &str, happens: impl FnOnce(&mut Sim), sent: &[(&str, &str)], leave: &str) {
    let mut sim = Sim::new(&[]);
    shop(&mut sim.catalogue);
    let (_, json) = files().into_iter().find(|(file, _)| file == name).unwrap();
    sim.put(name, &json);
    sim.switch(name, WorkflowState::On, Enrol::Future);
    happens(&mut sim);
    sim.until("2027-06-01T00:00");
    sim.expect_sent(sent);
    assert_eq!(sim.leaves().first(), Some(&leave), "{:#?}", sim.story());
}

#[test]
fn the_examples_run() {
    run(
        "welcome-series",
        |sim| {
            sim.subscribe();
            sim.until("2026-11-26T09:00");
            sim.opened("tips-en");
        },
        &[
            ("welcome", "2026-11-23T10:00"),
            ("tips-en", "2026-11-25T10:00"),
            ("first-order", "2026-11-27T09:00"),
        ],
        "exit_step",
    );
    run(
        "birthday",
        |sim| {
            sim.subscribe();
            sim.set("birthday", Some("1980-12-24"));
        },
        &[("gift", "2026-12-24T07:30"), ("last-days", "2027-01-03T07:30")],
        "finished",
    );
    run(
        "re-engagement",
        |sim| {
            sim.subscribe();
            sim.join("newsletter");
            sim.set("points", Some("7"));
            sim.order("A", 60);
            sim.set("last_visit", Some("2026-11-20"));
            sim.set("last_visit", Some("2026-11-23"));
        },
        &[("miss-you", "2027-02-21T17:00"), ("goodbye", "2027-03-07T17:00")],
        "finished",
    );
    run(
        "abandoned-cart",
        |sim| {
            sim.subscribe();
            sim.until("2026-11-23T20:30");
            sim.cart_touched("c1");
        },
        &[("cart", "2026-11-24T07:00"), ("help", "2026-11-25T07:00")],
        "finished",
    );
}

#[test]
fn the_example_after_an_order_waits_for_a_working_morning_and_spreads() {
    let mut sim = Sim::new(&[]);
    shop(&mut sim.catalogue);
    let (_, json) = files().into_iter().find(|(file, _)| file == "post-purchase").unwrap();
    sim.put("after", &json);
    sim.switch("after", WorkflowState::On, Enrol::Future);
    sim.subscribe();
    sim.until("2026-11-28T12:00");
    sim.order("A", 60);
    sim.order("B", 20);
    sim.until("2027-01-01T00:00");
    let steps: Vec<_> = sim.sent.iter().map(|mail| mail.step.as_str()).collect();
    // The second order of the day makes no first buyer; and it is too small to start one of its own.
    assert_eq!(steps, ["advice"]);
    let (from, to) = (
        crate::world::at("2026-12-07T09:00"),
        crate::world::at("2026-12-07T09:30"),
    );
    assert!(sim.sent[0].at >= from && sim.sent[0].at < to, "{}", sim.sent[0].at);
}
