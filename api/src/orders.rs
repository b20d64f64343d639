//! `/v1/orders`: an order comes in once, and is asked about for as long as its shop likes.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use types::catalogue::Scope;
use types::event::{Claim, Event, OrderAccepted};
use types::order::Order;

use crate::app::App;
use crate::auth::Caller;
use crate::body::Json;
use crate::check;
use crate::extract::{Params, Segments, ShopParam};
use crate::once::{self, Accepted, IdempotencyKey};
use crate::problem::Problem;
use crate::story::{self, OrderStory};

/// What `POST /v1/orders` answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OrderAnswer {
    /// Names the accept; `GET /v1/messages/{id}` takes it too.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// The shop's own number, as it came.
    order_id: String,
}

/// Report an order
///
/// Answers 202 once the order is durable. What becomes of it is decided at once and told by `GET
/// /v1/orders/{order_id}`. The same order again gets the first answer, marked `Idempotent-Replayed: true`; another
/// content under the same order id or `Idempotency-Key` is refused with 409.
#[utoipa::path(
    post, path = "/v1/orders", tag = "orders", operation_id = "postOrder",
    params(ShopParam, ("Idempotency-Key" = Option<String>, Header, description = "Names this request; kept for at least 72 hours.", min_length = 1, max_length = 255, pattern = "^[ -~]+$")),
    request_body(content = Order, example = json!({
        "order_id": "100045", "placed_at": "2026-11-21T20:15:00Z", "status": "confirmed",
        "customer": {"email": "mario@example.it", "name": "Mario Rossi", "locale": "it-IT", "country": "IT", "time_zone": "Europe/Rome"},
        "consent": {"marketing": {"granted": true, "at": "2026-11-21T20:14:10Z", "text": "v3", "source": "checkout"}, "tracking": true, "sharing": false},
        "total": {"amount": 5990, "currency": "EUR"},
        "items": [{"sku": "A1", "title": "Scarpe", "quantity": 1, "unit_price": 5990, "categories": ["shoes"]}]
    })),
    responses((status = 202, description = "The order is durable.", body = OrderAnswer,
        headers(("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier answer is repeated."))))
)]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    headers: HeaderMap,
    Json(order): Json<Order>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?;
    let key = IdempotencyKey::read(&headers)?;
    check::order(&order, app.now())?;
    let body = once::content_digest("/v1/orders", &order);
    let name = once::order_name(shop.number, &order.order_id);
    let mut claims = Vec::with_capacity(2);
    claims.push(Claim { name, body });
    claims.extend(key.claim(&caller, &shop, None, body));

    let person = app.keyring.person(&order.customer.email);
    let order_id = order.order_id.to_string();
    let event = Event::OrderAccepted(Box::new(OrderAccepted {
        shop: shop.number,
        person,
        order,
        claims: claims.clone(),
    }));
    let accepted = once::accept(&app, person.partition(), event, claims).await?;
    if !accepted.replayed {
        app.metrics.orders_accepted.inc();
    }
    let answer = OrderAnswer {
        id: accepted.id.to_string(),
        order_id,
    };
    Ok(accepted_answer(accepted, &answer))
}

/// Writes a 202.
pub(crate) fn accepted_answer(accepted: Accepted, answer: &impl Serialize) -> Response {
    let body = serde_json::to_vec(answer).expect("answers are texts");
    let mut response = Response::new(Bytes::from(body).into());
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if accepted.replayed {
        headers.insert(
            HeaderName::from_static(once::REPLAYED),
            HeaderValue::from_static("true"),
        );
    }
    response
}

/// Ask what became of an order
///
/// Tells what was decided and why, the messages it caused and each event since.
#[utoipa::path(
    get, path = "/v1/orders/{order_id}", tag = "orders", operation_id = "getOrder",
    params(ShopParam, ("order_id" = String, Path, description = "The shop's own number of the order.", min_length = 1, max_length = 128)),
    responses((status = 200, description = "The order's story.", body = OrderStory))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(order_id): Segments<String>,
) -> Result<Response, Problem> {
    let story = story_of(&app, &caller, params.shop.as_deref(), &order_id).await?;
    Ok(axum::Json(story).into_response())
}

/// Finds the story of an order that the caller may see.
pub(crate) async fn story_of(
    app: &App,
    caller: &Caller,
    shop: Option<&str>,
    order_id: &str,
) -> Result<OrderStory, Problem> {
    let shop = caller.shop(app, shop, Scope::Read)?;
    app.fold().await;
    let story = story::order(app, once::order_name(shop.number, order_id)).await?;
    story
        .filter(|story| story.shop == shop.id)
        .ok_or_else(|| Problem::not_found("order"))
}
