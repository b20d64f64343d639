//! `/v1/carts`: carts as their buyers touch them, and how the shop reminds of those that are left.
//!
//! A cart is put whole each time it is touched. It belongs to the person of its customer's address; one that turns out to be another
//! person's is taken from the first and put anew. Three ids are taken by the paths beside it: `settings`, `test` and `stats`.

pub(crate) mod settings;
pub(crate) mod stats;
pub(crate) mod trial;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use policy::cart::CartState;
use serde::Serialize;
use types::cart::{Cart, Reminder};
use types::catalogue::Scope;
use types::event::{CartChanged, Event, Recovery};
use types::id::{PartitionId, PublicId, ShopNumber};
use types::locale::Language;
use types::text::Line;

use crate::app::{App, internal};
use crate::auth::Caller;
use crate::body::Json;
use crate::check;
use crate::events::AcceptedAnswer;
use crate::extract::{Params, Segments, ShopParam};
use crate::once;
use crate::orders::accepted_answer;
use crate::problem::{Fault, Kind, Problem};

/// Ids that name something else at the same place.
const TAKEN: [&str; 3] = ["settings", "test", "stats"];

/// A cart as it is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CartView {
    /// The shop's own id of it.
    pub(crate) id: String,
    /// Names it in timelines and events.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    pub(crate) cart: String,
    /// What was put last.
    spec: Cart,
    /// In which language its reminders are: fixed when it was touched last.
    language: Language,
    /// The reminder to come; missing if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) next: Option<NextView>,
    /// Reminders that went out to the buyer.
    pub(crate) reminders: Vec<ReminderView>,
    /// The order that closed it; missing while it is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    pub(crate) ordered: Option<OrderedView>,
}

/// A reminder to come.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NextView {
    /// Which.
    pub(crate) reminder: Reminder,
    /// When it is decided.
    #[schema(format = DateTime)]
    pub(crate) due: String,
}

/// A reminder that went out.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReminderView {
    /// Which.
    pub(crate) reminder: Reminder,
    /// When.
    #[schema(format = DateTime)]
    pub(crate) at: String,
    /// The mail; `GET /v1/messages/{id}` takes it.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    pub(crate) message: String,
}

/// How a cart was closed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OrderedView {
    /// The accepted order.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    pub(crate) order: String,
    /// What reminders had to do with it.
    pub(crate) recovery: Recovery,
}

impl CartView {
    pub(crate) fn of(partition: PartitionId, cart: &CartState) -> Self {
        let public = |event| PublicId { partition, event }.to_string();
        let reminders = cart.reminders().iter().map(|sent| ReminderView {
            reminder: sent.reminder,
            at: sent.at.to_string(),
            message: public(sent.message.event()),
        });
        Self {
            id: cart.id().to_string(),
            cart: public(cart.cart()),
            spec: Cart {
                customer: cart.customer().clone(),
                consent: cart.consent().clone(),
                items: cart.items().to_vec(),
                total: cart.total(),
                net: cart.net(),
                payment: cart.payment(),
                restore_url: cart.restore_url().clone(),
                touched_at: Some(cart.touched_at()),
            },
            language: cart.language(),
            next: cart.next().map(|next| NextView {
                reminder: next.reminder,
                due: next.due.to_string(),
            }),
            reminders: reminders.collect(),
            ordered: cart.ordered().map(|(order, recovery)| OrderedView {
                order: public(order),
                recovery,
            }),
        }
    }
}

impl App {
    /// Finds the cart that a shop calls so, with all that is durable in it.
    async fn cart(&self, shop: ShopNumber, id: &Line<128>) -> Result<Option<(PartitionId, CartState)>, Problem> {
        self.fold().await;
        let id = id.clone();
        let found = self
            .reading(move |state| {
                let Some(PublicId { partition, event }) = state.carts().named(shop, &id)? else {
                    return Ok(None);
                };
                Ok(state.carts().get(partition, event)?.map(|bytes| (partition, bytes)))
            })
            .await?;
        let Some((partition, bytes)) = found else {
            return Ok(None);
        };
        let cart = CartState::decode(&bytes).map_err(|error| internal("reading a cart", &error))?;
        Ok(Some((partition, cart)))
    }
}

/// Reads the id under which a cart is put.
fn new_id(id: String) -> Result<Line<128>, Problem> {
    let wrong = |fault: String| Problem::invalid(vec![Fault::new("id", fault)]);
    if TAKEN.contains(&id.as_str()) {
        return Err(wrong(
            "names something else here; put the cart under another id".to_owned(),
        ));
    }
    let id = Line::try_from(id).map_err(|fault| wrong(fault.to_string()))?;
    if id.is_empty() {
        return Err(wrong("is empty".to_owned()));
    }
    Ok(id)
}

fn existing(id: String) -> Result<Line<128>, Problem> {
    Line::try_from(id).map_err(|_| Problem::not_found("cart"))
}

/// Put a cart
///
/// Puts the whole cart, each time that its buyer touches it. Answers 202 once it is durable. Each touch starts the clocks of the
/// reminders over; one that was sent is not sent again. A touch that is older than the last one changes nothing.
#[utoipa::path(
    put, path = "/v1/carts/{id}", tag = "carts", operation_id = "putCart",
    params(ShopParam, ("id" = String, Path, description = "The shop's own id of the cart; not `settings`, `test` or `stats`.", min_length = 1, max_length = 128)),
    request_body(content = Cart, example = json!({
        "customer": {"email": "mario@example.it", "name": "Mario Rossi", "locale": "it-IT"},
        "consent": {"marketing": {"granted": true, "at": "2026-11-21T20:14:10Z", "text": "v3", "source": "account"}},
        "items": [{"sku": "A1", "title": "Scarpe", "quantity": 1, "unit_price": 5990, "categories": ["shoes"]}],
        "total": {"amount": 5990, "currency": "EUR"}, "net": 4910, "restore_url": "https://scarpe.example/cart/7"
    })),
    responses((status = 202, description = "The cart is durable.", body = AcceptedAnswer))
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
    Json(cart): Json<Cart>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?;
    let id = new_id(id)?;
    check::cart(&cart, &shop.spec, app.now())?;
    let person = app.keyring.person(&cart.customer.email);
    let accepted = alone(&app, once::cart_name(shop.number, &id), move |app: App| async move {
        if let Some((partition, before)) = app.cart(shop.number, &id).await?
            && before.person() != person
        {
            app.submit(partition, removed(&before)).await?;
        }
        let event = Event::CartChanged(Box::new(CartChanged {
            shop: shop.number,
            person,
            id,
            cart: Some(Box::new(cart)),
            language: None,
            next: None,
            object: None,
        }));
        once::accept(&app, person.partition(), event, Vec::new()).await
    })
    .await?;
    let answer = AcceptedAnswer {
        id: accepted.id.to_string(),
    };
    Ok(accepted_answer(accepted, &answer))
}

/// Changes a cart while nobody else does, so that two buyers at once leave one cart and not two. Runs to its end even when the caller
/// goes away.
async fn alone<T, Work>(
    app: &App,
    name: [u8; 16],
    change: impl FnOnce(App) -> Work + Send + 'static,
) -> Result<T, Problem>
where
    T: Send + 'static,
    Work: Future<Output = Result<T, Problem>> + Send,
{
    let worker = app.clone();
    let work = app.tasks.spawn(async move {
        let _held = worker.hold(name).await?;
        change(worker.clone()).await
    });
    work.await
        .unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "the request could not be worked on")))
}

/// Returns the event that a cart is none any more.
fn removed(before: &CartState) -> Event {
    Event::CartChanged(Box::new(CartChanged {
        shop: before.shop(),
        person: before.person(),
        id: before.id().clone(),
        cart: None,
        language: None,
        next: None,
        object: None,
    }))
}

/// See a cart
///
/// As it was put last, with the reminder to come, those that went out, and the order that closed it.
#[utoipa::path(
    get, path = "/v1/carts/{id}", tag = "carts", operation_id = "getCart",
    params(ShopParam, ("id" = String, Path, description = "The shop's own id of the cart.", min_length = 1, max_length = 128)),
    responses((status = 200, description = "The cart.", body = CartView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?;
    let found = app.cart(shop.number, &existing(id)?).await?;
    let (partition, cart) = found.ok_or_else(|| Problem::not_found("cart"))?;
    Ok(axum::Json(CartView::of(partition, &cart)).into_response())
}

/// Delete a cart
///
/// It is none any more: nobody is reminded of it.
#[utoipa::path(
    delete, path = "/v1/carts/{id}", tag = "carts", operation_id = "deleteCart",
    params(ShopParam, ("id" = String, Path, description = "The shop's own id of the cart.", min_length = 1, max_length = 128)),
    responses((status = 204, description = "The cart is gone."))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?;
    let id = existing(id)?;
    alone(&app, once::cart_name(shop.number, &id), move |app: App| async move {
        let found = app.cart(shop.number, &id).await?;
        let (partition, cart) = found.ok_or_else(|| Problem::not_found("cart"))?;
        app.submit(partition, removed(&cart)).await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
