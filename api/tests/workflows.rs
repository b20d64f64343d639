//! Workflows as documents: drafts with faults, versions, switching, copies, simulation and statistics; carts and their settings.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use serde_json::{Value, json};
use store::state::{CellPut, Put};
use support::{Client, World, template};
use types::id::{Slot, WorkflowNumber};
use types::tally::Measure::{self, Delivered, Left, OpensUnique, Passed, Reached, Sent, Suppressed};
use types::tally::{CellKey, Counts, Dimensions, Hour};
use types::time::Timestamp;

const WELCOME: &str = "/v1/workflows/welcome";

fn welcome() -> Value {
    json!({
        "name": "Welcome", "start": { "on": "group", "group": "news" }, "entry": "after_exit",
        "steps": [
            { "do": "send", "id": "hello", "template": "hello" },
            { "do": "wait", "id": "rest", "for": "3d" },
            { "do": "send", "id": "again", "template": "hello" },
        ],
    })
}

async fn furnished(world: &World, id: &str) -> Client {
    let shop = world.shop(id).await;
    assert_eq!(shop.put("/v1/templates/hello", &template()).await.status, 201);
    assert_eq!(
        shop.put("/v1/groups/news", &json!({ "name": "News" })).await.status,
        201
    );
    shop
}

fn fields(faults: &Value) -> Vec<&str> {
    faults
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["field"].as_str().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_may_have_faults_and_what_runs_may_not() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    let mut broken = welcome();
    broken["steps"][0]["template"] = json!("nothing");
    broken["start"]["group"] = json!("nobody");
    let put = shop.put(WELCOME, &broken).await;
    assert_eq!(put.status, 201, "{put:?}");
    let view = put.json();
    assert_eq!((&view["state"], &view["version"]), (&json!("draft"), &json!(1)));
    assert_eq!(fields(&view["faults"]), ["/start/group", "/steps/0/template"]);
    let on = json!({ "state": "on" });
    let refused = shop.put(&format!("{WELCOME}/state"), &on).await;
    assert_eq!(refused.status, 422);
    assert_eq!(fields(&refused.json()["errors"]), ["/start/group", "/steps/0/template"]);

    // Mended, it is switched on; from then on a put with faults changes nothing.
    let mended = shop.put(WELCOME, &welcome()).await.json();
    assert_eq!((&mended["faults"], &mended["version"]), (&json!([]), &json!(1)));
    let running = shop.put(&format!("{WELCOME}/state"), &on).await;
    assert_eq!((running.status, &running.json()["state"]), (200, &json!("on")));
    assert_eq!(shop.put(WELCOME, &broken).await.status, 422);
    let mut longer = welcome();
    longer["steps"][1]["for"] = json!("5d");
    let newer = shop.put(WELCOME, &longer).await;
    assert_eq!((newer.status, &newer.json()["version"]), (200, &json!(2)));
    assert_eq!(
        shop.put(WELCOME, &longer).await.json()["version"],
        2,
        "what changes nothing is no version"
    );

    // What it needs is kept.
    assert_eq!(shop.delete("/v1/groups/news").await.status, 409);
    assert_eq!(shop.delete("/v1/templates/hello").await.status, 409);
    let off = shop.put(&format!("{WELCOME}/state"), &json!({ "state": "off" })).await;
    assert_eq!(off.json()["state"], "off");

    let copy = shop.post(&format!("{WELCOME}/copy"), &json!({ "id": "second" })).await;
    assert_eq!((copy.status, &copy.json()["state"]), (201, &json!("draft")));
    assert_eq!(copy.json()["spec"], newer.json()["spec"]);
    assert_eq!(
        shop.post(&format!("{WELCOME}/copy"), &json!({ "id": "second" }))
            .await
            .status,
        409
    );
    let listed = shop.get("/v1/workflows").await.json();
    assert_eq!(listed["workflows"].as_array().unwrap().len(), 2);
    assert_eq!(listed["workflows"][1]["mails"], 2);
    assert_eq!(shop.delete(WELCOME).await.status, 204);
    assert_eq!(shop.get(WELCOME).await.status, 404);
    assert_eq!(shop.put("/v1/workflows/schema", &welcome()).await.status, 405);
    assert_eq!(shop.get("/v1/workflows/schema").await.json()["title"], "Workflow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulation_counts_who_is_there_and_changes_nothing() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    assert_eq!(shop.put(WELCOME, &welcome()).await.status, 201);
    for n in 0..12 {
        let (groups, consent) = (if n % 3 == 0 { json!(["news"]) } else { json!([]) }, n % 2 == 0);
        let contact = json!({ "groups": groups, "consent": { "email": consent } });
        assert_eq!(
            shop.put(&format!("/v1/contacts/a{n}@example.it"), &contact)
                .await
                .status,
            202
        );
    }
    let answer = shop.get(&format!("{WELCOME}/simulate")).await;
    assert_eq!(
        answer.json(),
        json!({ "looked_at": 12, "enter_now": 4, "wait_for_start": 0, "without_consent": 2, "faults": 0 })
    );
    let first = shop.get(&format!("{WELCOME}/simulate?limit=5")).await.json();
    let rest = shop
        .get(&format!(
            "{WELCOME}/simulate?cursor={}",
            first["next"].as_str().unwrap()
        ))
        .await
        .json();
    let sum = |key: &str| first[key].as_u64().unwrap() + rest[key].as_u64().unwrap();
    assert_eq!((sum("looked_at"), sum("enter_now")), (12, 4));
    assert_eq!(shop.get(WELCOME).await.json()["state"], "draft");
    let timeline = shop.get("/v1/contacts/a0@example.it/timeline").await.json();
    assert_eq!(timeline["workflows"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_tell_who_came_left_and_waits() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    assert_eq!(shop.put(WELCOME, &welcome()).await.status, 201);
    let now = Hour::of(Timestamp::from_millis(support::NOON));
    let cell = |hours_ago: u32, step: Option<&str>, reason: Option<&str>, counts: &[(Measure, i64)]| {
        let mut sum = Counts::default();
        for (measure, by) in counts {
            sum.add(*measure, *by);
        }
        Put::Cell(CellPut {
            key: CellKey {
                dimensions: Dimensions::Step {
                    workflow: WorkflowNumber(1),
                    step: step.map(|step| step.try_into().unwrap()),
                    reason: reason.map(|reason| reason.try_into().unwrap()),
                },
                hour: Hour(now.0 - hours_ago),
                slot: Slot::all().next().unwrap(),
            },
            counts: Box::new(sum),
        })
    };
    world
        .rows(vec![
            // Forty days ago two entered; one of them still rests.
            cell(960, None, None, &[(Reached, 2), (Passed, 2)]),
            cell(960, Some("hello"), None, &[(Reached, 2), (Passed, 2), (Sent, 2)]),
            cell(960, Some("rest"), None, &[(Reached, 2), (Passed, 1)]),
            cell(960, Some("again"), None, &[(Reached, 1), (Passed, 1)]),
            cell(1, None, None, &[(Reached, 10), (Passed, 10)]),
            cell(
                1,
                Some("hello"),
                None,
                &[
                    (Reached, 10),
                    (Passed, 9),
                    (Left, 1),
                    (Sent, 9),
                    (Delivered, 8),
                    (OpensUnique, 4),
                ],
            ),
            cell(1, Some("hello"), Some("refused"), &[(Suppressed, 1)]),
            cell(1, Some("hello"), Some("no_consent"), &[(Left, 1)]),
            cell(0, Some("rest"), None, &[(Reached, 9), (Passed, 3)]),
            cell(0, Some("again"), None, &[(Reached, 3), (Passed, 3), (Sent, 3)]),
        ])
        .await;
    let stats = shop.get(&format!("{WELCOME}/stats")).await.json();
    let totals = &stats["totals"];
    assert_eq!(
        (&totals["entered"], &totals["finished"], &totals["left"]),
        (&json!(10), &json!(3), &json!(1)),
        "{stats}"
    );
    assert_eq!((&totals["inside"], &totals["mails"]["sent"]), (&json!(7), &json!(12)));
    assert_eq!(totals["left_by"], json!({ "no_consent": 1 }));
    let hello = &stats["steps"][0];
    assert_eq!(
        (&hello["step"], &hello["do"], &hello["waiting"]),
        (&json!("hello"), &json!("send"), &json!(0))
    );
    assert_eq!(
        (&hello["mails"]["delivered"], &hello["mails"]["opens_unique"]),
        (&json!(8), &json!(4))
    );
    assert_eq!(hello["suppressed"], json!({ "refused": 1 }));
    assert_eq!(
        (&stats["steps"][1]["reached"], &stats["steps"][1]["waiting"]),
        (&json!(9), &json!(7))
    );
    let two = furnished(&world, "two").await;
    assert_eq!(two.get(&format!("{WELCOME}/stats")).await.status, 404);
}

fn cart(email: &str) -> Value {
    json!({
        "customer": { "email": email, "locale": "it-IT" }, "total": { "amount": 5990, "currency": "EUR" }, "net": 4910,
        "items": [{ "sku": "A1", "title": "Scarpe", "quantity": 1, "unit_price": 5990 }],
        "restore_url": "https://www.one.example/cart/7",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cart_is_put_seen_handed_on_and_deleted() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    assert_eq!(shop.put("/v1/carts/7", &cart("mario@example.it")).await.status, 202);
    let seen = shop.get("/v1/carts/7").await.json();
    assert_eq!(
        (&seen["id"], &seen["spec"]["total"]["amount"]),
        (&json!("7"), &json!(5990))
    );
    assert_eq!(seen["spec"]["touched_at"], "2026-11-21T20:15:00.000Z");
    let mut bad = cart("mario@example.it");
    bad["items"] = json!([]);
    bad["net"] = json!(-1);
    bad["restore_url"] = json!("https://elsewhere.example/");
    let refused = shop.put("/v1/carts/7", &bad).await;
    assert_eq!(refused.status, 422);
    assert_eq!(fields(&refused.json()["errors"]), ["/items", "/net", "/restore_url"]);
    // It turns out to be another person's.
    assert_eq!(shop.put("/v1/carts/7", &cart("anna@example.it")).await.status, 202);
    let other = shop.get("/v1/carts/7").await.json();
    assert_eq!(other["spec"]["customer"]["email"], "anna@example.it");
    assert_ne!(other["cart"], seen["cart"]);
    let left = shop.get("/v1/contacts/mario@example.it/timeline").await.json();
    assert_eq!(left["carts"], json!([]));
    assert_eq!(shop.delete("/v1/carts/7").await.status, 204);
    assert_eq!(shop.get("/v1/carts/7").await.status, 404);
    for taken in ["test", "stats"] {
        assert_eq!(
            shop.put(&format!("/v1/carts/{taken}"), &cart("a@example.it"))
                .await
                .status,
            405
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_carts_are_checked_and_a_reminder_is_tried_out() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    let settings = json!({
        "mode": "shadow", "languages": ["it"], "first": { "after": "1h" }, "second": { "after": "24h" }, "time_zone": "Europe/Rome",
    });
    assert_eq!(shop.get("/v1/carts/settings").await.status, 404);
    let mut bad = settings.clone();
    bad["first"]["after"] = json!("30h");
    bad["second"]["template"] = json!("hello");
    let refused = shop.put("/v1/carts/settings", &bad).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(
        fields(&refused.json()["errors"]).contains(&"/second/template"),
        "{refused:?}"
    );
    let trial = |language: &str| json!({ "reminder": "first", "language": language, "to": "marketing@one.example" });
    assert_eq!(
        shop.post("/v1/carts/test", &trial("it")).await.status,
        409,
        "there are no settings"
    );
    assert_eq!(shop.put("/v1/carts/settings", &settings).await.status, 201);
    assert_eq!(shop.put("/v1/carts/settings", &settings).await.status, 200);
    let nothing = shop.post("/v1/carts/test", &trial("en")).await;
    assert_eq!(
        (nothing.status, &nothing.json()["errors"][0]["field"]),
        (409, &json!("/language"))
    );
    // The double fixes no language: English stands for none.
    assert_eq!(shop.put("/v1/carts/7", &cart("mario@example.it")).await.status, 202);
    let sent = shop.post("/v1/carts/test", &trial("en")).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        shop.get(&format!("/v1/messages/{id}")).await.json()["to"],
        "marketing@one.example"
    );
    let stats = shop.get("/v1/carts/stats?by=day").await;
    assert_eq!((stats.status, &stats.json()["rows"]), (200, &json!([])));
}
