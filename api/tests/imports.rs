//! Imports: files of contacts, worked through behind other work, with each bad row told.

#![allow(
    clippy::format_push_string,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping, and files are written to be read"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use store::imports::{ImportFormat, ImportProgress};
use support::{Answer, Client, World};
use types::time::Timestamp;

async fn import(shop: &Client, kind: &str, file: &[u8]) -> Answer {
    shop.request("POST", "/v1/imports", &[("Content-Type", kind)], Some(file))
        .await
}

/// Waits until an import is done and returns how it ended, with its rejects.
async fn done(shop: &Client, answer: &Answer) -> (Value, Vec<Value>) {
    assert_eq!(answer.status, 202, "{answer:?}");
    let path = format!("/v1/imports/{}", answer.json()["id"].as_str().unwrap());
    loop {
        let seen = shop.get(&path).await.json();
        if seen["state"] == "done" {
            let rejects = shop.get(&format!("{path}/rejects")).await;
            assert_eq!(rejects.header("content-type"), Some("application/x-ndjson"));
            let rejects = rejects
                .body
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            return (seen, rejects);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn furnished(world: &World) -> Client {
    let shop = world.shop("one").await;
    assert_eq!(
        shop.put("/v1/fields/age", &json!({ "type": "number" })).await.status,
        201
    );
    assert_eq!(
        shop.put("/v1/groups/news", &json!({ "name": "News" })).await.status,
        201
    );
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_imported_row_by_row() {
    let world = World::start().await;
    let shop = furnished(&world).await;
    let file = b"email,name,groups,fields.age,consent.email,consent.email_at,consent.email_source\r\n\
        mario@example.it,\"Rossi, Mario\",news,41,yes,2025-05-01T10:00:00Z,form\r\n\
        \r\n\
        not an address,,,,,,\r\n\
        luca@example.it,,nobody,,,,\r\n\
        anna@example.it,,,old,,,\r\n\
        short@example.it\r\n\
        \xff@example.it,,,,,,\r\n\
        last@example.it,,,7,no,,";
    let answer = import(&shop, "text/csv; charset=utf-8", file).await;
    let (seen, rejects) = done(&shop, &answer).await;
    assert_eq!(
        (&seen["accepted"], &seen["rejected"]),
        (&json!(2), &json!(5)),
        "{seen} {rejects:?}"
    );
    assert_eq!((&seen["bytes"], &seen["lines"]), (&seen["bytes_read"], &json!(9)));
    let places: Vec<_> = rejects
        .iter()
        .map(|reject| (reject["line"].as_u64().unwrap(), reject["field"].as_str().unwrap()))
        .collect();
    assert_eq!(
        places,
        [(4, "email"), (5, "groups.0"), (6, "fields.age"), (7, ""), (8, "")]
    );
    let mario = shop.get("/v1/contacts/mario@example.it").await.json();
    assert_eq!(mario["name"], "Rossi, Mario");
    assert_eq!(
        (&mario["groups"], &mario["fields"]["age"]),
        (&json!(["news"]), &json!(41.0))
    );
    assert_eq!(mario["consent"]["email"]["told_by"], "import");
    let last = shop.get("/v1/contacts/last@example.it").await.json();
    assert_eq!(last["consent"]["email"]["granted"], false);
    let listed = shop.get("/v1/imports").await.json();
    assert_eq!(listed["imports"][0]["state"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_never_turns_a_refusal_into_consent() {
    let world = World::start().await;
    let shop = furnished(&world).await;
    let path = "/v1/contacts/mario@example.it";
    assert_eq!(
        shop.put(path, &json!({ "consent": { "email": false } })).await.status,
        202
    );
    let file = b"{\"email\": \"mario@example.it\", \"name\": \"Mario\", \"consent\": {\"email\": true}}\n";
    let (seen, _) = done(&shop, &import(&shop, "application/x-ndjson", file).await).await;
    assert_eq!(seen["accepted"], 1);
    let mario = shop.get(path).await.json();
    assert_eq!(
        (&mario["name"], &mario["consent"]["email"]["granted"]),
        (&json!("Mario"), &json!(false))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_json_are_imported_and_a_long_one_is_not_the_end() {
    let world = World::start().await;
    let shop = furnished(&world).await;
    let mut file = b"{\"email\": \"a@example.it\", \"fields\": {\"age\": 5}}\n".to_vec();
    file.extend_from_slice(&vec![b'x'; 200_000]);
    file.extend_from_slice(
        b"\n[]\n{\"email\": \"b@example.it\", \"email\": \"c@example.it\"}\n{\"email\": \"d@example.it\", \"x\": 1}\n",
    );
    file.extend_from_slice(b"{\"email\": \"e@example.it\"}\n");
    let (seen, rejects) = done(&shop, &import(&shop, "application/x-ndjson", &file).await).await;
    assert_eq!(
        (&seen["accepted"], &seen["rejected"]),
        (&json!(2), &json!(4)),
        "{seen} {rejects:?}"
    );
    let places: Vec<_> = rejects
        .iter()
        .map(|reject| (reject["line"].as_u64().unwrap(), reject["field"].as_str().unwrap()))
        .collect();
    assert_eq!(places, [(2, ""), (3, ""), (4, "email"), (5, "x")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_meant_is_refused_at_once() {
    let world = World::start().await;
    let shop = furnished(&world).await;
    let refused = import(&shop, "text/csv", b"name,fields.shoe,age\n").await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let fields: Vec<_> = refused.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["field"].clone())
        .collect();
    assert_eq!(fields, ["age", "email"]);
    let unknown = import(&shop, "text/csv", b"email,fields.shoe\na@example.it,43\n").await;
    assert_eq!(
        (unknown.status, &unknown.json()["errors"][0]["field"]),
        (422, &json!("fields.shoe"))
    );
    assert_eq!(import(&shop, "application/json", b"{}").await.status, 415);
    assert_eq!(
        shop.get("/v1/imports").await.json(),
        json!({ "imports": [] }),
        "nothing is left of them"
    );
    let other = world.shop("two").await;
    let kept = import(&shop, "text/csv", b"email\na@example.it\n").await;
    let path = format!("/v1/imports/{}", kept.json()["id"].as_str().unwrap());
    assert_eq!(
        (shop.get(&path).await.status, other.get(&path).await.status),
        (200, 404)
    );
    assert_eq!(other.get(&format!("{path}/rejects")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_from_where_it_was_saved() {
    let world = World::start().await;
    let shop = furnished(&world).await;
    let (imports, id) = (world.store.imports().clone(), world.store.journal().mint());
    let number = types::id::ShopNumber(1);
    let mut upload = imports
        .begin(id, number, ImportFormat::Csv, Timestamp::from_millis(support::NOON))
        .unwrap();
    let (worked, rest) = ("email;groups\nfirst@example.it;news\n", "second@example.it;news\nx;\n");
    upload.write(worked.as_bytes()).unwrap();
    upload.write(rest.as_bytes()).unwrap();
    upload.finish().unwrap();
    let mut import = imports.open(id).unwrap().unwrap();
    let progress = ImportProgress {
        offset: worked.len() as u64,
        lines: 2,
        accepted: 1,
        ..ImportProgress::default()
    };
    import.save(progress).unwrap();
    drop(import);
    // Another one wakes the work; the older comes first.
    let other = import_of(&shop).await;
    done(&shop, &other).await;
    let listed = shop.get("/v1/imports").await.json();
    let resumed = &listed["imports"][1];
    assert_eq!(
        (&resumed["accepted"], &resumed["rejected"]),
        (&json!(2), &json!(1)),
        "{listed}"
    );
    assert_eq!(
        (&resumed["lines"], &resumed["bytes_read"]),
        (&json!(4), &resumed["bytes"])
    );
    assert_eq!(
        shop.get("/v1/contacts/first@example.it").await.status,
        404,
        "it was not read again"
    );
    assert_eq!(
        shop.get("/v1/contacts/second@example.it").await.json()["groups"],
        json!(["news"])
    );
}

async fn import_of(shop: &Client) -> Answer {
    import(shop, "text/csv", b"email\nother@example.it\n").await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_go_in_at_speed() {
    let world = World::start().await;
    let shop = furnished(&world).await;
    let rows = 20_000;
    let mut file = String::from("email,fields.age\n");
    for n in 0..rows {
        file.push_str(&format!("a{n}@example.it,{}\n", n % 90));
    }
    let begun = std::time::Instant::now();
    let (seen, _) = done(&shop, &import(&shop, "text/csv", file.as_bytes()).await).await;
    assert_eq!(seen["accepted"], rows);
    println!("{rows} rows in {:?}", begun.elapsed());
}
