//! What one shop makes us compute keeps nobody else waiting.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use support::{Answer, Client, World, order, template};
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

/// A message template that reads its variable as often as it may: cheap with sample data, dear with a long text.
fn dear() -> Value {
    let part = "{% for a in vars.n %}{% set y = vars.x[::-1] %}{% endfor %}.";
    json!({ "kind": "message", "sources": { "it": { "subject": "s", "html": part, "text": part } } })
}

/// A message with a template.
fn filled(template: &str, vars: &Value) -> Value {
    json!({ "to": { "email": "mario@example.it" }, "body": { "template": { "id": template, "vars": vars } } })
}

fn dear_message() -> Value {
    filled("dear", &json!({ "n": "n".repeat(4000), "x": "x".repeat(10_000) }))
}

/// Shops `one`, which has the dear template, and `two`.
async fn two_shops(world: &World) -> (Client, Client) {
    let (one, two) = (world.shop("one").await, world.shop("two").await);
    assert_eq!(one.put("/v1/templates/dear", &dear()).await.status, 201);
    (one, two)
}

async fn metric(world: &World, name: &str) -> usize {
    let metrics = world.at_admin().get("/metrics").await.body;
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

async fn reaches(world: &World, name: &str, wanted: impl Fn(usize) -> bool) {
    while !wanted(metric(world, name).await) {
        tokio::task::yield_now().await;
    }
}

/// Requests under way, and how many of them are answered.
#[derive(Default)]
struct Sent {
    answers: JoinSet<Answer>,
    answered: Arc<AtomicUsize>,
}

impl Sent {
    fn post(&mut self, caller: &Client, body: &Arc<Value>) {
        let (caller, body, answered) = (caller.clone(), Arc::clone(body), Arc::clone(&self.answered));
        self.answers.spawn(async move {
            let answer = caller.post("/v1/messages", &body).await;
            answered.fetch_add(1, Ordering::SeqCst);
            answer
        });
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_answered_before_the_dear_batches_of_another_shop() {
    let world = World::start().await;
    let (one, two) = two_shops(&world).await;
    let batch = Arc::new(Value::from(vec![dear_message(); 40]));
    let mut sent = Sent::default();
    for _ in 0..4 {
        sent.post(&one, &batch);
    }
    // All are under way, and this request about it.
    reaches(&world, "api_in_flight_requests", |requests| {
        requests > 4 || sent.answered() > 0
    })
    .await;
    for n in 0..3 {
        assert_eq!(two.post("/v1/orders", &order(&n.to_string())).await.status, 202);
    }
    assert_eq!(two.get("/v1/orders/0").await.status, 200);
    assert_eq!(world.at_admin().get("/healthz").await.status, 200);
    assert_eq!(sent.answered(), 0);
    // Items are done in their order until the budget is over, and the rest say so.
    let answer = sent.answers.join_next().await.unwrap().unwrap();
    assert_eq!(answer.status, 207, "{answer:?}");
    let results = answer.json()["results"].as_array().unwrap().clone();
    let (done, rest): (Vec<_>, Vec<_>) = results.iter().partition(|result| result["id"].is_string());
    assert!(!done.is_empty());
    assert!(results.iter().take(done.len()).all(|result| result["id"].is_string()));
    for result in rest {
        let problem = &result["problem"];
        assert_eq!(problem["status"], 429);
        assert_eq!(
            problem["detail"],
            "the batch's templates took too long: send fewer items"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_of_another_shop_go_before_a_busy_shops_second_one() {
    let world = World::start().await;
    let (one, two) = two_shops(&world).await;
    let (message, mut sent) = (Arc::new(dear_message()), Sent::default());
    for _ in 0..3 {
        sent.post(&one, &message);
    }
    reaches(&world, "api_turns_waiting", |pieces| pieces == 2).await;
    assert_eq!(two.put("/v1/templates/t", &template()).await.status, 201);
    let message = filled("t", &json!({ "name": "Mario" }));
    assert_eq!(two.post("/v1/messages", &message).await.status, 202);
    assert!(sent.answered() < 2);
    while let Some(answer) = sent.answers.join_next().await {
        assert_eq!(answer.unwrap().status, 202);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_with_too_much_work_is_told_to_come_again() {
    let world = World::start().await;
    let (one, two) = two_shops(&world).await;
    let (message, mut sent) = (Arc::new(dear_message()), Sent::default());
    for _ in 0..300 {
        sent.post(&one, &message);
    }
    let refused = loop {
        let answer = sent.answers.join_next().await.unwrap().unwrap();
        if answer.status != 202 {
            break answer;
        }
    };
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["type"], "urn:staffetta:problem:rate-limited");
    assert_eq!(two.put("/v1/templates/t", &template()).await.status, 201);
    // The clients hang up, and the line is empty.
    sent.answers.shutdown().await;
    reaches(&world, "api_turns_waiting", |pieces| pieces == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_whose_client_hung_up_is_not_done() {
    let world = World::start().await;
    let (one, _) = two_shops(&world).await;
    let body = dear_message().to_string();
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        one.key().unwrap(),
        body.len()
    );
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = one.connect().await;
        client.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        clients.push(client);
        // The first runs before the others come.
        let waiting = clients.len() - 1;
        reaches(&world, "api_in_flight_requests", |requests| requests > waiting + 1).await;
    }
    reaches(&world, "api_turns_waiting", |pieces| pieces == 2).await;
    clients.truncate(1);
    reaches(&world, "api_turns_waiting", |pieces| pieces == 0).await;
    assert_eq!(metric(&world, "api_messages_accepted_total").await, 0);
    let mut first = clients.pop().unwrap();
    let answer = Answer::parse(&support::http::read_to_end(&mut first).await);
    assert_eq!(answer.status, 202);
    assert_eq!(metric(&world, "api_messages_accepted_total").await, 1);
}
