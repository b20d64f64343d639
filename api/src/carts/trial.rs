//! `/v1/carts/test`: a reminder sent to the shop itself, as its buyers would get it.

use axum::extract::State;
use axum::response::Response;
use policy::cart::CartState;
use serde::Deserialize;
use types::address::EmailAddress;
use types::cart::Reminder;
use types::catalogue::Scope;
use types::event::{Event, MessageAccepted, Origin, ReminderPurpose};
use types::id::{PartitionId, ShopNumber};
use types::locale::Language;

use crate::app::{App, internal};
use crate::auth::Caller;
use crate::body::Json;
use crate::events::AcceptedAnswer;
use crate::extract::{Params, ShopParam};
use crate::once;
use crate::orders::accepted_answer;
use crate::problem::{Fault, Kind, Problem};

/// How many carts are looked at for the newest one: a second of a thread, about.
const CARTS_MAX: usize = 100_000;
/// How many are read at once.
const PAGE: usize = 1000;

/// Which reminder is tried out.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestRequest {
    /// Which.
    reminder: Reminder,
    /// Of a cart in this language.
    language: Language,
    /// To whom.
    #[schema(value_type = String, format = Email, max_length = 318)]
    to: EmailAddress,
}

/// Try a reminder out
///
/// Sends the reminder of the newest abandoned cart of the language, now, to the address given. It has no pixel and no followed links,
/// and changes nothing of the cart and of statistics. Refused with 409 if there is no such cart.
#[utoipa::path(
    post, path = "/v1/carts/test", tag = "carts", operation_id = "testCart", params(ShopParam),
    request_body(content = TestRequest, example = json!({"reminder": "first", "language": "it", "to": "marketing@scarpe.example"})),
    responses(
        (status = 202, description = "The mail is under way.", body = AcceptedAnswer),
        (status = 409, description = "There is no abandoned cart in this language, or the shop has no settings of carts.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Json(request): Json<TestRequest>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?.number;
    let Some(spec) = app.catalogue().carts(shop).cloned() else {
        let detail = "the shop did not say how it reminds of carts; put /v1/carts/settings first";
        return Err(Problem::new(Kind::Conflict, detail));
    };
    app.fold().await;
    let language = request.language;
    let found = app.in_turn(shop, 0, move |app| newest(app, shop, language)).await??;
    let Some((partition, cart)) = found else {
        let fault = Fault::new("/language", "is that of no abandoned cart");
        return Err(Problem::new(Kind::Conflict, "there is no abandoned cart in this language").with(fault));
    };
    let mut spec = (*spec).clone();
    spec.address = Some(request.to);
    let mail = policy::cart::mail(&cart, &spec, request.reminder, ReminderPurpose::Test, app.now());
    let mail = mail.ok_or_else(|| Problem::new(Kind::Internal, "the reminder has no recipient"))?;
    let event = Event::MessageAccepted(Box::new(MessageAccepted {
        shop,
        person: cart.person(),
        request: mail,
        claims: Vec::new(),
        origin: Some(Origin::Cart {
            cart: cart.cart(),
            reminder: request.reminder,
            purpose: ReminderPurpose::Test,
        }),
    }));
    let accepted = once::accept(&app, partition, event, Vec::new()).await?;
    let answer = AcceptedAnswer {
        id: accepted.id.to_string(),
    };
    Ok(accepted_answer(accepted, &answer))
}

/// Finds the cart of a language that was touched last and waits to be bought. Reads the disk.
fn newest(app: &App, shop: ShopNumber, language: Language) -> Result<Option<(PartitionId, CartState)>, Problem> {
    let failed = |error: &dyn std::fmt::Display| internal("reading carts", error);
    let state = app.store.state();
    let (mut best, mut after, mut seen): (Option<(PartitionId, CartState)>, _, _) = (None, None, 0);
    while seen < CARTS_MAX {
        let page = state
            .carts()
            .of_shop(shop, after.as_ref(), PAGE)
            .map_err(|error| failed(&error))?;
        for (_, public) in &page {
            let bytes = state
                .carts()
                .get(public.partition, public.event)
                .map_err(|error| failed(&error))?;
            let Some(bytes) = bytes else { continue };
            let cart = CartState::decode(&bytes).map_err(|error| failed(&error))?;
            let newer = best
                .as_ref()
                .is_none_or(|(_, best)| best.touched_at() < cart.touched_at());
            if cart.language() == language && cart.is_waiting() && newer {
                best = Some((public.partition, cart));
            }
        }
        seen += page.len();
        match page.into_iter().last() {
            Some((id, _)) if seen % PAGE == 0 => after = Some(id),
            _ => break,
        }
    }
    Ok(best)
}
