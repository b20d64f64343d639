//! `/v1/carts/stats`: carts that were left, their reminders, and what came back.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use store::StateError;
use types::catalogue::Scope;
use types::id::ShopNumber;
use types::locale::Language;
use types::money::Currency;
use types::tally::{Counts, Dimensions, Hour, Measure};
use types::text::Slug;

use crate::app::{App, internal};
use crate::auth::Caller;
use crate::extract::Params;
use crate::problem::Problem;
use crate::stats::{DAY, hours, narrow};

/// How far back is looked when nothing is said.
const RANGE_DEFAULT: std::time::Duration = std::time::Duration::from_hours(30 * 24);
/// The most rows that one answer has: 400 days of every language in a dozen currencies.
const ROWS_MAX: usize = 10_000;

/// What is asked.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct CartStatsParams {
    /// The shop the request is about. Demanded with the operator's key; with a shop's key it may only be its own.
    #[param(required = false)]
    shop: Option<String>,
    /// From when on; the hour in which it lies is counted whole. Default: 30 days before `to`.
    #[param(required = false, format = DateTime)]
    from: Option<String>,
    /// Until when; the hour in which it lies is counted whole. Default: now.
    #[param(required = false, format = DateTime)]
    to: Option<String>,
    /// Whether rows are parted by `day` (UTC) as well, or by `hour`. Default: they are not.
    #[param(required = false, pattern = "^(hour|day)$")]
    by: Option<String>,
}

/// What became of carts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CartStats {
    /// The beginning of the first hour counted.
    #[schema(format = DateTime)]
    from: String,
    /// The end of the last hour counted.
    #[schema(format = DateTime)]
    to: String,
    /// One for each language and currency that has a count, by time first if parted by it.
    rows: Vec<CartRow>,
}

/// The carts of one language and currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CartRow {
    /// When the hour or day (UTC) begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    time: Option<String>,
    /// In which language.
    language: Language,
    /// In which currency amounts are.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$")]
    currency: Currency,
    /// By measure; each is there, zeros included. Amounts are in minor units.
    counts: BTreeMap<&'static str, u64>,
    /// Reminders that were due and not sent, by the reason's code. One with several reasons counts for each.
    suppressed: BTreeMap<String, u64>,
}

/// What carts are counted by.
const MEASURES: [Measure; 17] = [
    Measure::Abandoned,
    Measure::RemindedFirst,
    Measure::RemindedSecond,
    Measure::WouldRemind,
    Measure::Suppressed,
    Measure::Delivered,
    Measure::OpensRaw,
    Measure::OpensQualified,
    Measure::OpensUnique,
    Measure::ClicksRaw,
    Measure::ClicksQualified,
    Measure::ClicksUnique,
    Measure::Unsubscribes,
    Measure::Recovered,
    Measure::RecoveredAmount,
    Measure::Influenced,
    Measure::InfluencedAmount,
];

/// See what became of carts
///
/// Carts left, reminders sent, opened and clicked, and the orders and amounts that came back, by language and currency. *Recovered*
/// came by a reminder's link, *influenced* after a reminder without it.
#[utoipa::path(
    get, path = "/v1/carts/stats", tag = "carts", operation_id = "getCartStats", params(CartStatsParams),
    responses((status = 200, description = "The counts.", body = CartStats))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<CartStatsParams>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let (from, to) = hours(params.from.as_deref(), params.to.as_deref(), RANGE_DEFAULT, app.now())?;
    let part = match params.by.as_deref() {
        None => None,
        Some("hour") => Some(1),
        Some("day") => Some(DAY),
        Some(_) => return Err(narrow("by", "is neither `hour` nor `day`")),
    };
    let _turn = app.admission.statistics().await?;
    app.fold().await;
    let sums = app.apart(move |app| sums(app, shop, from, to, part)).await?;
    let sums = sums.map_err(|error| internal("reading state", &error))?;
    if sums.len() > ROWS_MAX {
        return Err(narrow(
            "by",
            format!("makes more than {ROWS_MAX} rows: ask for less time"),
        ));
    }
    let rows = sums.into_iter().map(|((time, language, currency), sum)| CartRow {
        time: time.map(|hour| hour.begins().to_string()),
        language,
        currency,
        counts: MEASURES
            .into_iter()
            .map(|measure| (measure.as_str(), sum.counts.get(measure)))
            .collect(),
        suppressed: sum
            .reasons
            .into_iter()
            .map(|(reason, count)| (reason.into(), count))
            .collect(),
    });
    let stats = CartStats {
        from: from.begins().to_string(),
        to: to.begins().to_string(),
        rows: rows.collect(),
    };
    Ok(axum::Json(stats).into_response())
}

/// What one row adds up.
#[derive(Default)]
struct Sum {
    counts: Counts,
    reasons: BTreeMap<Slug, u64>,
}

type Sums = BTreeMap<(Option<Hour>, Language, Currency), Sum>;

fn sums(app: &App, shop: ShopNumber, from: Hour, to: Hour, part: Option<u32>) -> Result<Sums, StateError> {
    let mut sums = Sums::new();
    for cell in app.store.state().cells().of_carts(shop, from..to) {
        let (key, counts) = cell?;
        let Dimensions::Carts {
            language,
            currency,
            reason,
            ..
        } = key.dimensions
        else {
            continue;
        };
        let time = part.map(|part| Hour(key.hour.0 - key.hour.0 % part));
        let sum = sums.entry((time, language, currency)).or_default();
        match reason {
            None => sum.counts.merge(&counts),
            Some(reason) => *sum.reasons.entry(reason).or_default() += counts.get(Measure::Suppressed),
        }
    }
    Ok(sums)
}
