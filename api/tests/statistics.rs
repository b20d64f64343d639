//! `/v1/stats` and a campaign's leads: exact sums of what the runners counted, and each shop sees its own.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use serde_json::{Value, json};
use store::state::{CellPut, LeadPut, Put, StoredLead};
use support::{Client, NOON, World, campaign};
use types::event::{EvidenceGrade, LeadClaim, LeadDecided, LeadOutcome, LeadVerdict, VoidReason};
use types::id::{CampaignNumber, EventId, LeadId, MessageId, PartitionId, ShopNumber, Slot, VisitorKey};
use types::money::Money;
use types::order::Stream;
use types::provider::Provider;
use types::tally::{CellKey, Counts, Dimensions, Hour, Measure};
use types::time::Timestamp;

/// The first hour that the tests count in: twelve before the clock's.
const FIRST: u64 = NOON - 12 * 3_600_000;

fn cell(dimensions: Dimensions, hour: u32, slot: u8, counted: &[(Measure, i64)]) -> Put {
    let mut counts = Counts::default();
    for (measure, count) in counted {
        counts.add(*measure, *count);
    }
    let hour = Hour(Hour::of(Timestamp::from_millis(FIRST)).0 + hour);
    let slot = Slot::new(slot).unwrap();
    Put::Cell(CellPut {
        key: CellKey { dimensions, hour, slot },
        counts: Box::new(counts),
    })
}

fn mails(shop: u32, stream: Stream, provider: Provider, template: Option<&str>) -> Dimensions {
    Dimensions::Mails {
        shop: ShopNumber(shop),
        stream,
        provider,
        template: template.map(|id| id.try_into().unwrap()),
    }
}

fn offer(campaign: u32, publisher: u32) -> Dimensions {
    Dimensions::Offer {
        campaign: CampaignNumber(campaign),
        publisher: ShopNumber(publisher),
    }
}

/// Two publishers, one of which advertises, too; and their counts.
async fn furnished() -> (World, Client, Client) {
    let world = World::start().await;
    let (scarpe, borse) = (world.shop("scarpe").await, world.shop("borse").await);
    assert_eq!(borse.put("/v1/campaigns/pelle", &campaign("borse")).await.status, 201);
    assert_eq!(scarpe.put("/v1/campaigns/suole", &campaign("scarpe")).await.status, 201);
    let (offers, plain) = (Stream::Promotional, Stream::Transactional);
    let google = mails(1, offers, Provider::Google, None);
    world
        .rows(vec![
            cell(google.clone(), 0, 0, &[(Measure::Sent, 3), (Measure::OpensRaw, 5)]),
            cell(google.clone(), 0, 63, &[(Measure::Sent, 4), (Measure::OpensUnique, 2)]),
            cell(google, 1, 7, &[(Measure::Sent, 10)]),
            cell(
                mails(1, plain, Provider::Other, Some("avviso")),
                1,
                7,
                &[(Measure::Sent, 1)],
            ),
            cell(mails(2, offers, Provider::Google, None), 1, 7, &[(Measure::Sent, 100)]),
            cell(
                offer(1, 1),
                0,
                0,
                &[(Measure::ClicksRaw, 6), (Measure::LeadsClaimed, 2)],
            ),
            cell(offer(1, 2), 0, 0, &[(Measure::ClicksRaw, 1)]),
            cell(offer(2, 2), 5, 0, &[(Measure::ClicksRaw, 50)]),
        ])
        .await;
    (world, scarpe, borse)
}

async fn sums(caller: &Client, query: &str) -> Value {
    let answer = caller.get(&format!("/v1/stats?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    answer.json()
}

/// The rows of an answer, each as the named fields.
fn rows(answer: &Value, names: &[&str]) -> Vec<Value> {
    let field = |row: &Value, name: &str| match name.strip_prefix("counts.") {
        Some(measure) => row["counts"][measure].clone(),
        None => row[name].clone(),
    };
    let row = |row: &Value| names.iter().map(|name| field(row, name)).collect();
    answer["rows"].as_array().unwrap().iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_summed_and_rows_grouped_as_asked() {
    let (_world, scarpe, _) = furnished().await;
    let all = sums(&scarpe, "").await;
    assert_eq!(all["totals"]["sent"], 18);
    assert_eq!(all["totals"]["opens_unique"], 2);
    // What steps and carts alone count is not among them.
    assert_eq!(all["totals"].as_object().unwrap().len(), Measure::InDoubt as usize + 1);
    assert_eq!(rows(&all, &["counts.sent"]), [json!([18])]);
    assert!(all["window"]["loss"].as_str().unwrap().contains("power cut"));

    let by = sums(&scarpe, "by=hour,stream,template").await;
    assert_eq!(
        rows(&by, &["time", "stream", "template", "counts.sent"]),
        [
            json!(["2026-11-21T08:00:00.000Z", "promotional", "", 7]),
            json!(["2026-11-21T09:00:00.000Z", "transactional", "avviso", 1]),
            json!(["2026-11-21T09:00:00.000Z", "promotional", "", 10]),
        ]
    );
    let day = sums(&scarpe, "by=day,provider").await;
    assert_eq!(
        rows(&day, &["time", "provider", "counts.sent"]),
        [
            json!(["2026-11-21T00:00:00.000Z", "google", 17]),
            json!(["2026-11-21T00:00:00.000Z", "other", 1]),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_and_times_leave_out_what_was_not_asked_for() {
    let (_world, scarpe, _) = furnished().await;
    for (query, sent) in [
        ("stream=transactional", 1),
        ("provider=google", 17),
        ("template=avviso", 1),
        ("template=", 17),
        ("provider=aruba", 0),
        ("from=2026-11-21T09:30:00Z", 11),
        ("to=2026-11-21T09:00:00Z", 7),
        ("to=2026-11-21T09:00:00.001Z", 18),
        ("from=2026-11-21T07:00:00Z&to=2026-11-21T07:59:59Z", 0),
    ] {
        assert_eq!(sums(&scarpe, query).await["totals"]["sent"], sent, "{query}");
    }
    let hours = sums(&scarpe, "from=2026-11-21T09:30:00Z&to=2026-11-21T10:10:00Z").await;
    assert_eq!(
        (&hours["from"], &hours["to"]),
        (&json!("2026-11-21T09:00:00.000Z"), &json!("2026-11-21T11:00:00.000Z"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn advertisers_see_their_offers_in_all_mails_and_not_whose_mails() {
    let (world, scarpe, borse) = furnished().await;
    let own = sums(&borse, "by=campaign").await;
    assert_eq!(
        rows(&own, &["campaign", "counts.clicks_raw", "counts.leads_claimed"]),
        [json!(["pelle", 7, 2])]
    );
    assert_eq!(sums(&scarpe, "by=campaign").await["totals"]["clicks_raw"], 50);
    assert_eq!(scarpe.get("/v1/stats?campaign=pelle").await.status, 404);
    assert_eq!(borse.get("/v1/stats?by=campaign,publisher").await.status, 403);
    let operator = world.at_admin();
    let told = operator.get("/admin/v1/stats?campaign=pelle&by=publisher").await.json();
    assert_eq!(
        rows(&told, &["publisher", "counts.clicks_raw"]),
        [json!(["scarpe", 6]), json!(["borse", 1])]
    );
    let told = sums(&world.operator, "by=shop").await;
    assert_eq!(
        rows(&told, &["shop", "counts.sent"]),
        [json!(["scarpe", 18]), json!(["borse", 100])]
    );
    assert_eq!(borse.get("/v1/stats?shop=scarpe").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_without_an_answer_are_refused_by_name() {
    let (world, scarpe, _) = furnished().await;
    for (query, field) in [
        ("from=2026-11-21T09:00:00Z&to=2026-11-21T09:00:00Z", "from"),
        ("from=2025-01-01T00:00:00Z&to=2026-11-21T00:00:00Z", "from"),
        ("from=yesterday", "from"),
        ("to=2026-11-21", "to"),
        ("by=colour", "by"),
        ("by=", "by"),
        ("by=hour,day", "by"),
        ("by=hour,hour", "by"),
        ("by=stream,campaign", "by"),
        ("campaign=suole&by=provider", "by"),
        ("campaign=suole&stream=promotional", "stream"),
        ("provider=gogle", "provider"),
    ] {
        let answer = scarpe.get(&format!("/v1/stats?{query}")).await;
        assert_eq!(
            (answer.status, &answer.json()["errors"][0]["field"]),
            (400, &json!(field)),
            "{query}"
        );
    }
    // 10,001 rows: hours times templates.
    let google = |template: usize| mails(1, Stream::Promotional, Provider::Google, Some(&format!("t{template}")));
    let many = (0..10_001).map(|n| {
        cell(
            google(n / 24),
            u32::try_from(n % 24).unwrap() % 12,
            1,
            &[(Measure::Sent, 1)],
        )
    });
    world.rows(many.collect()).await;
    assert_eq!(scarpe.get("/v1/stats?by=hour,template").await.status, 200);
    let more = (0..10_001).map(|n| cell(google(n), 1, 1, &[(Measure::Sent, 1)]));
    world.rows(more.collect()).await;
    let answer = scarpe.get("/v1/stats?by=template").await;
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert!(answer.body.contains("more than 10000 rows"), "{}", answer.body);
}

fn lead(number: u64, outcome: Option<LeadOutcome>) -> Put {
    let visitor = VisitorKey::from_bytes([u8::try_from(number).unwrap(); 16]);
    let claimed = EventId::from_raw(1000 + number);
    let decided = LeadDecided {
        message: MessageId::from_raw(5),
        shop: ShopNumber(1),
        campaign: CampaignNumber(1),
        advertiser: ShopNumber(2),
        click: EventId::from_raw(7),
        landing: EventId::from_raw(8),
        verdict: LeadVerdict::Claimed(LeadClaim {
            lead: LeadId::new(ShopNumber(2), &visitor, 0),
            visitor,
            generation: 0,
            price: Money {
                amount: 150,
                currency: "EUR".to_owned().try_into().unwrap(),
            },
            evidence: EvidenceGrade::HistoryAndBrowser,
        }),
    };
    Put::Lead(LeadPut::Lead {
        campaign: CampaignNumber(1),
        claimed,
        lead: StoredLead {
            partition: PartitionId::new(9).unwrap(),
            at: Timestamp::from_millis(NOON),
            decided,
            outcome,
            settled_at: outcome.map(|_| Timestamp::from_millis(NOON + 1)),
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_advertiser_pages_through_its_leads() {
    let (world, scarpe, borse) = furnished().await;
    let outcomes = [
        None,
        Some(LeadOutcome::Confirmed),
        Some(LeadOutcome::Voided(VoidReason::KnownToSite)),
        None,
        None,
    ];
    let leads = (0u64..).zip(outcomes).map(|(number, outcome)| lead(number, outcome));
    world.rows(leads.collect()).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = borse
            .get(&format!("/v1/campaigns/pelle/leads?limit=2{cursor}"))
            .await
            .json();
        seen.extend(page["leads"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let told: Vec<_> = seen.iter().map(|lead| (&lead["state"], &lead["reason"])).collect();
    let (pending, none) = (json!("pending"), json!(null));
    assert_eq!(
        told,
        [
            (&pending, &none),
            (&pending, &none),
            (&json!("voided"), &json!("known_to_site")),
            (&json!("confirmed"), &none),
            (&pending, &none),
        ]
    );
    assert_eq!(seen[0]["publisher"], "scarpe");
    assert_eq!(seen[0]["evidence"], "history_and_browser");
    assert_eq!(seen[0]["price"], json!({ "amount": 150, "currency": "EUR" }));
    assert_eq!(
        scarpe.get("/v1/campaigns/pelle/leads").await.status,
        404,
        "the publisher is not the advertiser"
    );
    assert_eq!(borse.get("/v1/campaigns/pelle/leads?cursor=x").await.status, 400);
}
