//! Parts of the path and the query, with refusals in our form.

use axum::extract::{FromRequestParts, Path, Query};
use hyper::http::request::Parts;
use serde::de::DeserializeOwned;
use types::text::Slug;

use crate::app::App;
use crate::problem::{Fault, Kind, Problem};

/// The variable parts of the path.
pub(crate) struct Segments<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, app).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(_) => Err(Problem::new(Kind::Malformed, "the path is not UTF-8 once decoded")),
        }
    }
}

/// The query, its names known and each there at most once.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, app).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let detail = rejection.body_text();
                let fault = detail.rsplit(": ").next().unwrap_or(&detail).to_owned();
                Err(Problem::new(Kind::Malformed, "the query cannot be read").with(Fault::new("query", fault)))
            }
        }
    }
}

/// Reads the id of something that is to exist: what is no id does not.
pub(crate) fn existing(id: &str, what: &'static str) -> Result<Slug, Problem> {
    Slug::try_from(id).map_err(|_| Problem::not_found(what))
}

/// Reads the id under which something is put.
pub(crate) fn new_id(id: String) -> Result<Slug, Problem> {
    Slug::try_from(id).map_err(|fault| Problem::invalid(vec![Fault::new("id", format!("is {fault}"))]))
}

/// `?shop=`, with which the operator names the shop a request is about.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ShopParam {
    /// The shop the request is about. Demanded with the operator's key; with a shop's key it may only be its own.
    #[param(required = false)]
    pub(crate) shop: Option<String>,
}

/// A list's page.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// The shop the request is about. Demanded with the operator's key; with a shop's key it may only be its own.
    #[param(required = false)]
    pub(crate) shop: Option<String>,
    /// Where to go on: `next` of the page before.
    #[param(required = false, pattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$")]
    pub(crate) cursor: Option<String>,
    /// How many entries at most. Default 100.
    #[param(required = false, minimum = 1, maximum = 1000)]
    pub(crate) limit: Option<usize>,
}

/// Checks a page's size.
pub(crate) fn page_size(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(100) {
        limit @ 1..=1000 => Ok(limit),
        _ => Err(Problem::new(Kind::Malformed, "the query cannot be read")
            .with(Fault::new("limit", "is not from 1 to 1000"))),
    }
}

/// Refuses a cursor that no answer of ours can have held.
pub(crate) fn unknown_cursor() -> Problem {
    Problem::new(Kind::Malformed, "the query cannot be read").with(Fault::new("cursor", "is not one of ours"))
}

/// Cuts a page out of things sorted by id, and returns it with the cursor of the next.
pub(crate) fn page<T>(
    mut all: Vec<T>,
    id: impl Fn(&T) -> &str,
    params: &PageParams,
) -> Result<(Vec<T>, Option<String>), Problem> {
    let limit = page_size(params.limit)?;
    all.sort_by(|one, two| id(one).cmp(id(two)));
    let ours = |text: &str| Slug::try_from(text).ok();
    let start = match params.cursor.as_deref().map(ours) {
        None => 0,
        Some(Some(after)) => all.partition_point(|thing| id(thing) <= after.as_str()),
        Some(None) => return Err(unknown_cursor()),
    };
    let mut rest = all.split_off(start);
    let more = rest.len() > limit;
    rest.truncate(limit);
    let next = rest.last().filter(|_| more).map(|last| id(last).to_owned());
    Ok((rest, next))
}
