//! What keeps a field, a group or a template from being deleted.

use serde_json::{Value, json};

use super::*;

const SHOP: ShopNumber = ShopNumber(1);

fn slug(id: &str) -> Slug {
    id.try_into().unwrap()
}

fn shop() -> Catalogue {
    let mut catalogue = Catalogue::default();
    let mut put = |change| catalogue.apply(&change, Timestamp::from_millis(0));
    for (id, kind) in [("used", "text"), ("day", "date"), ("other", "text")] {
        let spec = serde_json::from_value(json!({ "type": kind })).unwrap();
        let (shop, id) = (SHOP, slug(id));
        put(CatalogueChanged::FieldPut { shop, id, spec });
    }
    for id in ["used", "from", "other"] {
        let spec = serde_json::from_value(json!({ "name": "G" })).unwrap();
        let (shop, id) = (SHOP, slug(id));
        put(CatalogueChanged::GroupPut { shop, id, spec });
    }
    for id in ["used", "other"] {
        let sources = json!({ "it": { "subject": "s", "html": "h", "text": "t" } });
        let spec = serde_json::from_value(json!({ "kind": "message", "sources": sources })).unwrap();
        let (shop, id) = (SHOP, slug(id));
        put(CatalogueChanged::TemplatePut { shop, id, spec });
    }
    catalogue
}

/// Puts `value` at a place of a definition of a workflow in this state, and says which changes would break it.
fn check(state: WorkflowState, place: &str, value: Value, breaking: &[CatalogueChanged]) {
    let mut spec = json!({ "name": "W", "start": { "on": "subscription" }, "steps": [{ "do": "exit", "id": "out" }] });
    match place.split_once('/') {
        Some((parent, key)) => spec[parent] = json!({ key: value }),
        None => spec[place] = value,
    }
    let (mut catalogue, shop, id, now) = (shop(), SHOP, slug("w"), Timestamp::from_millis(0));
    let definition: WorkflowSpec = serde_json::from_value(spec.clone()).unwrap();
    assert_eq!(faults(&catalogue, SHOP, &definition), [], "{spec}");
    let put = CatalogueChanged::WorkflowPut {
        shop,
        id: id.clone(),
        spec: Box::new(definition),
    };
    catalogue.apply(&put, now);
    let enrol = Enrol::Future;
    catalogue.apply(&CatalogueChanged::WorkflowSwitched { shop, id, state, enrol }, now);
    for change in deletions() {
        let broken = broken_by(&catalogue, SHOP, &change, now);
        assert_eq!(
            !broken.is_empty(),
            breaking.contains(&change),
            "{change:?} under {spec}"
        );
    }
}

fn field(id: &str) -> CatalogueChanged {
    let (shop, id) = (SHOP, slug(id));
    CatalogueChanged::FieldDeleted { shop, id }
}

fn group(id: &str) -> CatalogueChanged {
    let (shop, id) = (SHOP, slug(id));
    CatalogueChanged::GroupDeleted { shop, id }
}

fn template(id: &str) -> CatalogueChanged {
    let (shop, id) = (SHOP, slug(id));
    CatalogueChanged::TemplateDeleted { shop, id }
}

fn deletions() -> Vec<CatalogueChanged> {
    let fields = ["used", "day", "other"].map(field);
    let groups = ["used", "from", "other"].map(group);
    fields
        .into_iter()
        .chain(groups)
        .chain(["used", "other"].map(template))
        .collect()
}

#[test]
fn what_a_running_workflow_names_anywhere_is_not_deleted() {
    let asks = "fields.used == \"x\"";
    let both = "fields.used == \"x\" || \"used\" in groups";
    let moved = json!({ "move": { "from": "from", "to": "used" } });
    let cases = [
        ("start", json!({ "on": "order", "if": asks }), vec![field("used")]),
        (
            "start",
            json!({ "on": "event", "name": "e", "if": asks }),
            vec![field("used")],
        ),
        ("start", json!({ "on": "date", "field": "day" }), vec![field("day")]),
        (
            "start",
            json!({ "on": "condition", "if": both }),
            vec![field("used"), group("used")],
        ),
        (
            "start",
            json!({ "on": "group", "group": "used", "change": "left" }),
            vec![group("used")],
        ),
        (
            "start",
            json!({ "on": "activity", "activity": "opened", "of": { "template": "used" } }),
            vec![template("used")],
        ),
        ("zone_field", json!("used"), vec![field("used")]),
        ("who/groups", json!(["used"]), vec![group("used")]),
        ("who/not_groups", json!(["used"]), vec![group("used")]),
        ("who/filters", json!([asks]), vec![field("used")]),
        ("who/not_filters", json!([both]), vec![field("used"), group("used")]),
        (
            "steps",
            json!([{ "do": "send", "id": "s", "template": "used" }]),
            vec![template("used")],
        ),
        (
            "steps",
            json!([{ "do": "branch", "id": "b", "if": asks, "else": "end" }]),
            vec![field("used")],
        ),
        (
            "steps",
            json!([{ "do": "group", "id": "g", "change": moved }]),
            vec![group("used"), group("from")],
        ),
        (
            "steps",
            json!([{ "do": "group", "id": "g", "change": { "leave": "used" } }]),
            vec![group("used")],
        ),
        ("goal", json!(asks), vec![field("used")]),
        ("exit/if", json!(asks), vec![field("used")]),
        ("at_end", json!({ "copy": "used" }), vec![group("used")]),
        ("on_exit", moved.clone(), vec![group("used"), group("from")]),
    ];
    for (place, value, breaking) in cases {
        for state in [WorkflowState::On, WorkflowState::Off] {
            check(state, place, value.clone(), &breaking);
        }
        check(WorkflowState::Draft, place, value, &[]);
    }
}

#[test]
fn a_template_that_a_running_workflow_sends_keeps_its_kind() {
    let steps = json!([{ "do": "send", "id": "s", "template": "used" }]);
    let (mut catalogue, now, shop) = (shop(), Timestamp::from_millis(0), SHOP);
    let spec = serde_json::from_value(json!({ "name": "W", "start": { "on": "subscription" }, "steps": steps }));
    let (id, spec, enrol) = (slug("w"), Box::new(spec.unwrap()), Enrol::Future);
    let put = CatalogueChanged::WorkflowPut { shop, id, spec };
    catalogue.apply(&put, now);
    let (id, state) = (slug("w"), WorkflowState::On);
    catalogue.apply(&CatalogueChanged::WorkflowSwitched { shop, id, state, enrol }, now);
    for (kind, broken) in [("message", 0), ("cart", 1)] {
        let sources = json!({ "it": { "subject": "s", "html": "h", "text": "t" } });
        let spec = serde_json::from_value(json!({ "kind": kind, "sources": sources })).unwrap();
        let id = slug("used");
        let change = CatalogueChanged::TemplatePut { shop, id, spec };
        assert_eq!(broken_by(&catalogue, SHOP, &change, now).len(), broken, "{kind}");
    }
}
