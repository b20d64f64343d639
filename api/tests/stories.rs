//! What goes in comes out again as a story.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use serde_json::json;
use support::{World, campaign, message, order, shop, template};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_tells_what_was_decided_and_each_event_since() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let answer = caller.post("/v1/orders", &order("100045")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let accepted = answer.json();
    assert_eq!(accepted["order_id"], "100045");

    let told = caller.get("/v1/orders/100045").await.json();
    assert_eq!(told["id"], accepted["id"]);
    assert_eq!(told["decision"]["verdict"], "send");
    assert_eq!(
        told["decision"]["offers"],
        json!([{ "campaign": "borse", "price": { "amount": 150, "currency": "EUR" }, "expected_value": 1_500_000,
                 "propensity": 900_000, "explored": false }])
    );
    let kinds: Vec<_> = told["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].clone())
        .collect();
    assert_eq!(
        kinds,
        [
            "order.accepted",
            "message.decided",
            "message.claimed",
            "message.delivered"
        ]
    );
    let delivered = &told["events"][3];
    assert_eq!(
        delivered["detail"],
        "Attempt 1 was accepted at mx.example [127.0.0.1] over TLSv1.3: 250 2.0.0 queued"
    );
    let state = &told["messages"][0];
    assert_eq!((&state["state"], &state["attempts"]), (&json!("delivered"), &json!(1)));

    // The accept's id and the message's lead to the same history.
    let by_accept = caller
        .get(&format!("/v1/messages/{}", accepted["id"].as_str().unwrap()))
        .await;
    let by_message = caller
        .get(&format!("/v1/messages/{}", state["id"].as_str().unwrap()))
        .await;
    assert_eq!(by_accept.status, 200);
    assert_eq!(by_accept.json(), by_message.json());
    assert_eq!(by_message.json()["events"], told["events"]);
    assert_eq!(by_message.json()["to"], "mario@example.it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_order_tells_its_reason_as_code_and_sentence() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let mut refused = order("1");
    refused["consent"]["marketing"] = json!(false);
    assert_eq!(caller.post("/v1/orders", &refused).await.status, 202);
    let told = caller.get("/v1/orders/1").await.json();
    assert_eq!(told["decision"]["verdict"], "refuse");
    assert_eq!(told["decision"]["reasons"][0]["code"], "no_marketing_consent");
    assert!(told["decision"]["reasons"][0]["text"].as_str().unwrap().ends_with('.'));
    assert_eq!(told["messages"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn order_ids_may_hold_anything_that_fits_a_line() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    assert_eq!(caller.post("/v1/orders", &order("Größe 7/b?#%")).await.status, 202);
    let told = caller.get("/v1/orders/Gr%C3%B6%C3%9Fe%207%2Fb%3F%23%25").await;
    assert_eq!(told.json()["order_id"], "Größe 7/b?#%");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_has_one_result_for_each_item() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let one = caller.post("/v1/messages", &message("a@example.it")).await;
    assert_eq!(one.status, 202, "{one:?}");
    let mut items: Vec<_> = (0..300).map(|n| message(&format!("p{n}@example.it"))).collect();
    items[1]["to"]["email"] = json!("nobody");
    items[2]["body"]["content"]["subject"] = json!("");
    items[3]["colour"] = json!("red");
    let answer = caller.post("/v1/messages", &json!(items)).await;
    assert_eq!(answer.status, 207, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 300);
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], index);
        assert_eq!(result.get("problem").is_some(), (1..=3).contains(&index), "{result}");
        assert_eq!(result.get("id").is_none(), (1..=3).contains(&index), "{result}");
    }
    let field = |index: usize| results[index]["problem"]["errors"][0]["field"].clone();
    assert_eq!(field(1), "/to/email");
    assert_eq!(field(2), "/body/content/subject");
    assert_eq!(field(3), "/colour");
    let told = caller
        .get(&format!("/v1/messages/{}", results[299]["id"].as_str().unwrap()))
        .await
        .json();
    assert_eq!(told["to"], "p299@example.it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_is_put_seen_changed_and_deleted() {
    let world = World::start().await;
    let operator = &world.operator;
    let put = operator.put("/v1/shops/scarpe", &shop("scarpe")).await;
    assert_eq!(put.status, 201);
    assert_eq!(put.json()["dns"][0]["name"], "s1._domainkey.offerte.scarpe.example");
    assert_eq!(put.json()["spec"]["offers_max"], 3);

    let again = operator.put("/v1/shops/scarpe", &shop("scarpe")).await;
    assert_eq!((again.status, again.json()["version"].as_u64()), (200, Some(1)));
    let mut changed = shop("scarpe");
    changed["name"] = json!("Scarpe & Co");
    let put = operator.put("/v1/shops/scarpe", &changed).await;
    assert_eq!((put.status, put.json()["version"].as_u64()), (200, Some(2)));
    // What a GET shows can be put back as it is.
    let seen = operator.get("/v1/shops/scarpe").await.json();
    assert_eq!(
        operator.put("/v1/shops/scarpe", &seen["spec"]).await.json()["version"],
        2
    );

    let caller = world.key("scarpe", &["read"]).await;
    assert_eq!(caller.get("/v1/shops/scarpe").await.status, 200);
    assert_eq!(operator.delete("/v1/shops/scarpe").await.status, 204);
    assert_eq!(operator.get("/v1/shops/scarpe").await.status, 404);
    assert_eq!(
        caller.get("/v1/shops/scarpe").await.status,
        401,
        "its keys went with it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_and_templates_are_put_listed_and_deleted() {
    let world = World::start().await;
    let caller = world.shop("borse").await;
    for (path, document) in [("campaigns", campaign("borse")), ("templates", template())] {
        for id in ["c", "a", "b"] {
            let put = caller.put(&format!("/v1/{path}/{id}"), &document).await;
            assert_eq!(put.status, 201, "{put:?}");
        }
        assert_eq!(caller.get(&format!("/v1/{path}/a")).await.json()["version"], 1);
        let first = caller.get(&format!("/v1/{path}?limit=2")).await.json();
        let ids = |page: &serde_json::Value| -> Vec<String> {
            let entries = page[path].as_array().unwrap();
            entries
                .iter()
                .map(|entry| entry["id"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(ids(&first), ["a", "b"]);
        let next = first["next"].as_str().unwrap();
        let second = caller.get(&format!("/v1/{path}?limit=2&cursor={next}")).await.json();
        assert_eq!(ids(&second), ["c"]);
        assert!(second.get("next").is_none());
        assert_eq!(caller.delete(&format!("/v1/{path}/b")).await.status, 204);
        assert_eq!(caller.get(&format!("/v1/{path}/b")).await.status, 404);
        assert_eq!(caller.delete(&format!("/v1/{path}/b")).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_refused_with_its_part_and_line() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    let mut broken = template();
    broken["sources"]["it"]["html"] = json!("<p>\n{{ vars.name\n</p>");
    let answer = caller.put("/v1/templates/t", &broken).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    let fault = answer.json()["errors"][0].clone();
    assert_eq!(fault["field"], "/sources/it/html");
    assert!(fault["fault"].as_str().unwrap().starts_with("line "), "{fault}");

    assert_eq!(caller.put("/v1/templates/t", &template()).await.status, 201);
    let used = |template: &str| {
        let body = json!({ "template": { "id": template, "vars": { "name": "Mario" } } });
        json!({ "to": { "email": "a@example.it" }, "body": body })
    };
    assert_eq!(caller.post("/v1/messages", &used("t")).await.status, 202);
    let missing = caller.post("/v1/messages", &used("u")).await;
    assert_eq!(missing.json()["errors"][0]["field"], "/body/template/id");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_suppressed_looked_up_listed_and_taken_off() {
    let world = World::start().await;
    let caller = world.shop("scarpe").await;
    for stream in [json!(null), json!("promotional"), json!("promotional")] {
        let answer = caller
            .post(
                "/v1/suppressions",
                &json!({ "email": "Mario@Example.it", "stream": stream }),
            )
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(
        caller
            .put("/v1/suppressions", &json!({ "email": "luca@example.it" }))
            .await
            .status,
        200
    );
    let found = caller
        .post("/v1/suppressions/lookup", &json!({ "email": "mario@example.it" }))
        .await
        .json();
    assert_eq!(found["suppressions"].as_array().unwrap().len(), 2, "{found}");
    let person = found["person"].as_str().unwrap().to_owned();

    let first = caller.get("/v1/suppressions?limit=2").await.json();
    let next = first["next"].as_str().unwrap();
    let second = caller
        .get(&format!("/v1/suppressions?limit=2&cursor={next}"))
        .await
        .json();
    let entries = |page: &serde_json::Value| page["suppressions"].as_array().unwrap().len();
    assert_eq!((entries(&first), entries(&second)), (2, 1));
    assert!(!first.to_string().contains('@'), "lists show no address");

    let off = format!("/v1/suppressions/{person}?stream=promotional");
    assert_eq!(caller.delete(&off).await.status, 204);
    assert_eq!(caller.delete(&off).await.status, 404);
    let found = caller
        .post("/v1/suppressions/lookup", &json!({ "email": "mario@example.it" }))
        .await
        .json();
    assert_eq!(found["suppressions"].as_array().unwrap().len(), 1);
}
