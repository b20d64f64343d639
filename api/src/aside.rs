//! `/admin/v1/set-aside`: what could not be done after several tries, for people to look at.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use types::id::PublicId;

use crate::app::App;
use crate::auth::Operator;
use crate::extract::{Params, page_size, unknown_cursor};
use crate::problem::Problem;

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AsideParams {
    /// `next` of the page before.
    cursor: Option<String>,
    /// How many entries at most. Default 100.
    limit: Option<usize>,
}

/// A page of what was set aside.
#[derive(Debug, Serialize)]
struct AsideList {
    /// The newest first.
    set_aside: Vec<AsideView>,
    /// The cursor of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// Something that was set aside.
#[derive(Debug, Serialize)]
struct AsideView {
    /// The event that says so.
    id: String,
    /// When.
    at: String,
    /// Whose it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    shop: Option<String>,
    /// The instance or cart whose turn it was.
    object: String,
    /// The timer that brought it.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<String>,
    /// What went wrong.
    fault: String,
    /// How often it was tried.
    tries: u32,
}

/// Lists what was set aside, the newest first.
pub(crate) async fn list(
    State(app): State<App>,
    _operator: Operator,
    Params(params): Params<AsideParams>,
) -> Result<Response, Problem> {
    let limit = page_size(params.limit)?;
    let before = params.cursor.as_deref().map(str::parse::<PublicId>).transpose();
    let before = before.map_err(|_| unknown_cursor())?.map(|id| id.event);
    app.fold().await;
    let mut found = app
        .reading(move |state| state.asides().newest(before, limit + 1))
        .await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(id, _)| id.to_string());
    let catalogue = app.catalogue();
    let views = found.into_iter().map(|(id, aside)| {
        let shop = aside.shop.and_then(|shop| catalogue.shop_by_number(shop));
        let partition = id.partition;
        let object = PublicId {
            partition,
            event: aside.object,
        };
        AsideView {
            id: id.to_string(),
            at: id.event.time().to_string(),
            shop: shop.map(|shop| shop.id.to_string()),
            object: object.to_string(),
            due: aside.due.map(|due| due.to_string()),
            fault: aside.fault.to_string(),
            tries: aside.tries,
        }
    });
    let list = AsideList {
        set_aside: views.collect(),
        next,
    };
    Ok(axum::Json(list).into_response())
}
