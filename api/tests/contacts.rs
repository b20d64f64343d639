//! Contacts, their fields and groups, what shops report of them, and their timelines.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use serde_json::{Value, json};
use support::{Answer, Client, World};

const MARIO: &str = "/v1/contacts/mario@example.it";

/// A shop with a field of each type and two groups.
async fn furnished(world: &World, id: &str) -> Client {
    let shop = world.shop(id).await;
    for (field, kind) in [
        ("age", "number"),
        ("born", "date"),
        ("city", "text"),
        ("vip", "boolean"),
    ] {
        let answer = shop.put(&format!("/v1/fields/{field}"), &json!({ "type": kind })).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    for group in ["news", "old"] {
        let answer = shop
            .put(&format!("/v1/groups/{group}"), &json!({ "name": group }))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    shop
}

async fn patch(shop: &Client, path: &str, body: &Value) -> Answer {
    shop.request("PATCH", path, &[], Some(body.to_string().as_bytes()))
        .await
}

/// Checks that a request is refused for these fields, in this order.
fn refused(answer: &Answer, fields: &[&str]) {
    assert_eq!(answer.status, 422, "{answer:?}");
    let errors = answer.json()["errors"].clone();
    let found: Vec<_> = errors
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].as_str().unwrap())
        .collect();
    assert_eq!(found, fields, "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contact_is_put_changed_seen_and_erased() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    let put = json!({
        "name": "Mario", "locale": "it-IT", "country": "IT", "time_zone": "Europe/Rome", "phone": "+390612345678",
        "fields": { "age": 41, "born": "1985-02-28", "vip": true }, "groups": ["news"],
        "consent": { "email": { "granted": true, "at": "2026-11-01T10:00:00Z", "text": "v3", "source": "form" }, "sms": false },
    });
    let answer = shop.put(MARIO, &put).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json()["id"].as_str().unwrap().len(), 16);
    let seen = shop.get(MARIO).await;
    assert_eq!(seen.header("cache-control"), Some("no-store"));
    let seen = seen.json();
    assert_eq!(
        seen["fields"],
        json!({ "age": 41.0, "born": "1985-02-28", "vip": true })
    );
    assert_eq!(
        (&seen["groups"], &seen["time_zone"]),
        (&json!(["news"]), &json!("Europe/Rome"))
    );
    assert_eq!(seen["consent"]["email"]["source"], "form");
    assert_eq!(seen["consent"]["email"]["asserted"], false);
    assert_eq!(
        (&seen["consent"]["sms"]["granted"], &seen["consent"]["sms"]["asserted"]),
        (&json!(false), &json!(true))
    );

    // What is not named stays, a null clears, groups are exactly these.
    let change = json!({ "fields": { "vip": null, "city": "Roma" }, "groups": ["old"] });
    assert_eq!(patch(&shop, MARIO, &change).await.status, 202);
    let seen = shop.get(MARIO).await.json();
    assert_eq!(
        seen["fields"],
        json!({ "age": 41.0, "born": "1985-02-28", "city": "Roma" })
    );
    assert_eq!((&seen["groups"], &seen["name"]), (&json!(["old"]), &json!("Mario")));

    // A put clears what it does not name, and never a consent.
    assert_eq!(shop.put(MARIO, &json!({ "name": "Mario R." })).await.status, 202);
    let seen = shop.get(MARIO).await.json();
    assert_eq!(
        (&seen["fields"], &seen["groups"], &seen["phone"]),
        (&json!({}), &json!([]), &Value::Null)
    );
    assert_eq!(seen["consent"]["email"]["granted"], true);

    let reader = world.key("one", &["send", "read"]).await;
    assert_eq!(
        reader.delete(MARIO).await.status,
        403,
        "erasing takes the scope manage, as for persons"
    );
    assert_eq!(shop.delete(MARIO).await.status, 204);
    assert_eq!(shop.get(MARIO).await.status, 404);
    assert_eq!(shop.delete(MARIO).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_contact_is_told_at_once() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    let bad = json!({
        "country": "Italy", "fields": { "age": "41", "shoe": 43 }, "groups": ["news", "nobody"],
        "consent": { "email": { "granted": true, "at": "2027-11-01T10:00:00Z" } },
    });
    refused(
        &shop.put(MARIO, &bad).await,
        &[
            "/country",
            "/fields/age",
            "/fields/shoe",
            "/consent/email/at",
            "/groups/1",
        ],
    );
    refused(&shop.put("/v1/contacts/mario", &json!({})).await, &["email"]);
    refused(&shop.put(MARIO, &json!({ "surname": "Rossi" })).await, &["/surname"]);
    assert_eq!(shop.get(MARIO).await.status, 404, "nothing was made");
    // What a shop keeps of its contacts is of one type for ever.
    refused(
        &shop.put("/v1/fields/age", &json!({ "type": "text" })).await,
        &["/type"],
    );
    assert_eq!(
        shop.put("/v1/fields/age", &json!({ "type": "number", "label": "Age" }))
            .await
            .status,
        200
    );
    assert_eq!(shop.delete("/v1/fields/age").await.status, 204);
    // Its values may still be there: it does not come back, nor does another one in its place.
    for kind in ["number", "text"] {
        let again = shop.put("/v1/fields/age", &json!({ "type": kind })).await;
        assert_eq!((again.status, &again.json()["errors"][0]["field"]), (409, &json!("id")));
    }
    refused(
        &shop.put(MARIO, &json!({ "fields": { "age": 41 } })).await,
        &["/fields/age"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn contacts_and_members_are_listed_a_page_at_a_time() {
    let world = World::start().await;
    let (one, two) = (furnished(&world, "one").await, furnished(&world, "two").await);
    for n in 0..25 {
        let groups = if n % 5 == 0 { json!(["news"]) } else { json!([]) };
        let path = format!("/v1/contacts/a{n}@example.it");
        assert_eq!(one.put(&path, &json!({ "groups": groups })).await.status, 202);
    }
    assert_eq!(
        two.put("/v1/contacts/b@example.it", &json!({ "groups": ["news"] }))
            .await
            .status,
        202
    );
    let walk = async |path: &str, limit: usize| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = one.get(&format!("{path}?limit={limit}{cursor}")).await.json();
            found.extend(
                page["contacts"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|contact| contact["email"].to_string()),
            );
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let count = found.len();
        found.sort();
        found.dedup();
        assert_eq!(found.len(), count, "nobody is listed twice");
        count
    };
    for limit in [1, 7, 25, 1000] {
        assert_eq!(walk("/v1/contacts", limit).await, 25, "{limit} a page");
        assert_eq!(walk("/v1/groups/news/members", limit).await, 5, "{limit} a page");
    }
    assert_eq!(one.get("/v1/groups/none/members").await.status, 404);
    assert_eq!(one.get("/v1/contacts?cursor=x").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_with_an_id_happens_once() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    let event = |id: &str, nights: u32| json!({ "id": id, "email": "mario@example.it", "name": "booking", "key": "7", "properties": { "nights": nights } });
    let first = shop.post("/v1/events", &event("a", 3)).await;
    let again = shop.post("/v1/events", &event("a", 3)).await;
    assert_eq!((first.status, again.status), (202, 202), "{first:?} {again:?}");
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(shop.post("/v1/events", &event("a", 4)).await.status, 409);
    assert_eq!(shop.get(MARIO).await.status, 200, "a report makes the contact");

    let batch = json!([event("a", 3), event("b", 1), { "email": "x", "name": "n" }, { "email": "a@example.it", "name": "n", "properties": { "x": [] } }]);
    let answer = shop.post("/v1/events", &batch).await;
    assert_eq!(answer.status, 207);
    let results = answer.json()["results"].clone();
    assert_eq!(results[0]["replayed"], true);
    assert_eq!(results[1]["id"].as_str().unwrap().len(), 16);
    assert_eq!(results[2]["problem"]["errors"][0]["field"], "/email");
    assert_eq!(results[3]["problem"]["errors"][0]["field"], "/properties/x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeline_tells_the_newest_first() {
    let world = World::start().await;
    let shop = furnished(&world, "one").await;
    for n in 0..5 {
        assert_eq!(
            patch(&shop, MARIO, &json!({ "fields": { "age": n } })).await.status,
            202
        );
    }
    let report = json!({ "email": "mario@example.it", "name": "booking" });
    assert_eq!(shop.post("/v1/events", &report).await.status, 202);
    let page = shop.get(&format!("{MARIO}/timeline?limit=4")).await.json();
    assert_eq!(page["contact"]["fields"]["age"], 4.0);
    let kinds = |page: &Value| {
        let events = page["events"].as_array().unwrap().clone();
        events
            .iter()
            .map(|event| event["kind"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(&page),
        [
            "event.reported",
            "contact.changed",
            "contact.changed",
            "contact.changed"
        ]
    );
    let next = page["next_events"].as_str().unwrap();
    let rest = shop
        .get(&format!("{MARIO}/timeline?limit=4&cursor={next}"))
        .await
        .json();
    assert_eq!((kinds(&rest).len(), &rest["next_events"]), (2, &Value::Null));
    // A person's export has it all, and takes none of it for a mail.
    let export = shop.get("/v1/persons?email=mario@example.it").await.json();
    assert_eq!(export["contacts"][0]["contact"]["fields"]["age"], 4.0);
    assert_eq!(
        (&export["mails"], &export["others"][0]["reported"][0]["name"]),
        (&json!([]), &json!("booking"))
    );
    assert_eq!(export["others"][0]["events"].as_array().unwrap().len(), 6);
    let twin = world
        .at_admin()
        .get("/admin/v1/shops/one/contacts/mario@example.it/timeline")
        .await;
    assert_eq!((twin.status, kinds(&twin.json()).len()), (200, 6));
    assert_eq!(
        world.at_admin().get("/admin/v1/set-aside").await.json(),
        json!({ "set_aside": [] })
    );
}
