//! `/v1/stats`: what was sent, opened, clicked and won, counted by the hour.
//!
//! Counts are kept in two families, and an answer comes from one of them. *Mails*: the mails of a shop, by stream,
//! template and provider. *Offers*: what campaigns won, over the mails of all shops that showed them. Whatever asks for
//! campaigns is answered from the second, all else from the first. A shop sees the mails that it sent and the offers that
//! it advertises; in whose mails those were shown, only the operator sees.
//!
//! Every number is the exact sum of cells that the runners keep, uniques included: none is estimated. What that costs is
//! bounded by the range, by the cells that are read and by the rows that are answered; beyond those, the caller is asked
//! to narrow the question.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use types::catalogue::Scope;
use types::id::{CampaignNumber, ShopNumber};
use types::order::Stream;
use types::provider::Provider;
use types::tally::Hour;
use types::text::Slug;
use types::time::Timestamp;

use crate::app::App;
use crate::auth::{Caller, Operator};
use crate::extract::{Params, existing};
use crate::problem::{Fault, Kind, Problem};
pub(crate) use rows::StatsRow;
use rows::{Rows, TooMuch};

/// The longest range: as long as links of mails work.
const RANGE_MAX: Duration = Duration::from_hours(400 * 24);
/// How much time is looked at when none is named.
const RANGE_DEFAULT: Duration = Duration::from_hours(24);
/// The hours of a day.
pub(crate) const DAY: u32 = 24;

/// What is asked.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsParams {
    /// From when on; the hour in which it lies is counted whole. Default: 24 hours before `to`.
    #[param(required = false, format = DateTime)]
    from: Option<String>,
    /// Until when; the hour in which it lies is counted whole. Default: now.
    #[param(required = false, format = DateTime)]
    to: Option<String>,
    /// What rows are made for, parted by commas: `hour` or `day` (UTC); of mails `shop`, `stream`, `template` and
    /// `provider`; of offers `campaign` and, for the operator, `publisher`. Default: one row for all.
    #[param(
        required = false,
        pattern = "^(hour|day|shop|stream|template|provider|campaign|publisher)(,(hour|day|shop|stream|template|provider|campaign|publisher))*$",
        example = "day,stream"
    )]
    by: Option<String>,
    /// The shop whose mails, or whose campaigns, are counted. Missing: the key's own; with the operator's key, all.
    #[param(required = false)]
    shop: Option<String>,
    /// The offers of this campaign alone.
    #[param(required = false)]
    campaign: Option<String>,
    /// Mails of this stream alone.
    #[param(required = false)]
    stream: Option<Stream>,
    /// Mails made with this template alone; empty means the built-in one and content of the request's own.
    #[param(required = false)]
    template: Option<String>,
    /// Mails to this provider alone.
    #[param(
        required = false,
        pattern = "^(google|microsoft|yahoo|apple|italiaonline|tim|aruba|other)$"
    )]
    provider: Option<String>,
}

/// What was counted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Stats {
    /// The beginning of the first hour counted.
    #[schema(format = DateTime)]
    from: String,
    /// The end of the last hour counted.
    #[schema(format = DateTime)]
    to: String,
    /// One for each combination that has a count, by time first. Without `by`, one for all.
    rows: Vec<StatsRow>,
    /// The sums of all rows. Each measure is there, zeros included.
    totals: BTreeMap<&'static str, u64>,
    /// How far the numbers can be trusted.
    window: Window,
}

/// How far the numbers can be trusted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Window {
    /// What a power cut can take away.
    #[schema(value_type = String)]
    loss: &'static str,
    /// Which numbers may still change.
    #[schema(value_type = String)]
    verdicts: &'static str,
}

impl Window {
    const PUBLISHED: Self = Self {
        loss: "Opens and clicks are answered before they are durable: a power cut loses at most those of one group commit, \
               some milliseconds. Opens and clicks that name nobody are added up for 250 ms before. Everything else is \
               durable before it is answered.",
        verdicts: "Machine, qualified and unique counts are provisional when a hit is first judged and final when it is \
                   judged again (2 and 30 minutes by default). They stand in the hour of the hit.",
    };
}

/// Something that rows are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum By {
    Hour,
    Day,
    Shop,
    Stream,
    Template,
    Provider,
    Campaign,
    Publisher,
}

impl By {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "hour" => Self::Hour,
            "day" => Self::Day,
            "shop" => Self::Shop,
            "stream" => Self::Stream,
            "template" => Self::Template,
            "provider" => Self::Provider,
            "campaign" => Self::Campaign,
            "publisher" => Self::Publisher,
            _ => return None,
        })
    }

    /// Whether mails are counted by it, offers, or both.
    const fn fits(self, offers: bool) -> bool {
        match self {
            Self::Hour | Self::Day => true,
            Self::Shop | Self::Stream | Self::Template | Self::Provider => !offers,
            Self::Campaign | Self::Publisher => offers,
        }
    }
}

/// What is asked, as meant.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    from: Hour,
    /// After the last one.
    to: Hour,
    by: BTreeSet<By>,
    whose: Whose,
}

/// Which cells are read.
#[derive(Clone, Debug)]
enum Whose {
    Mails {
        shops: Vec<ShopNumber>,
        stream: Option<Stream>,
        /// Empty is the built-in one.
        template: Option<String>,
        provider: Option<Provider>,
    },
    Offers(Vec<CampaignNumber>),
}

/// See what was sent, opened, clicked and won
///
/// Exact counts by the hour, grouped as asked. Opens and clicks are counted three times over: raw, judged to be machines',
/// and qualified, judged to be people's; uniques are the mails, and the links of mails, with a qualified one. A shop sees its own
/// mails, and the offers that it advertises in everyone's; which mails those were, only the operator sees. A range of more than
/// 400 days, or an answer of more than 10,000 rows, is refused with 400.
#[utoipa::path(
    get, path = "/v1/stats", tag = "stats", operation_id = "getStats", params(StatsParams),
    responses((status = 200, description = "The counts.", body = Stats))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<StatsParams>,
) -> Result<Response, Problem> {
    answer(&app, &caller, &params).await
}

/// The operator's twin on the admin listener.
pub(crate) async fn for_operator(
    State(app): State<App>,
    _operator: Operator,
    Params(params): Params<StatsParams>,
) -> Result<Response, Problem> {
    answer(&app, &Caller::Operator, &params).await
}

async fn answer(app: &App, caller: &Caller, params: &StatsParams) -> Result<Response, Problem> {
    let question = Question::of(app, caller, params)?;
    let _turn = app.admission.statistics().await?;
    app.fold().await;
    let (from, to) = (question.from.begins().to_string(), question.to.begins().to_string());
    let counted = app
        .apart(move |app| {
            let catalogue = app.catalogue();
            Rows::count(app.store.state(), &question).map(|rows| rows.into_answer(&catalogue))
        })
        .await?;
    let (rows, totals) = counted.map_err(|error| match error {
        TooMuch::Rows | TooMuch::Cells => narrow("by", error.to_string()),
        TooMuch::State(error) => crate::app::internal("reading state", &error),
    })?;
    let stats = Stats {
        from,
        to,
        rows,
        totals,
        window: Window::PUBLISHED,
    };
    Ok(axum::Json(stats).into_response())
}

impl Question {
    fn of(app: &App, caller: &Caller, params: &StatsParams) -> Result<Self, Problem> {
        caller.may(Scope::Read)?;
        let (from, to) = hours(params.from.as_deref(), params.to.as_deref(), RANGE_DEFAULT, app.now())?;
        let by = by(params.by.as_deref())?;
        let offers = params.campaign.is_some() || by.iter().any(|by| !by.fits(false));
        let whose = if offers {
            offers_of(app, caller, params)?
        } else {
            mails_of(app, caller, params)?
        };
        if let Some(misfit) = by.iter().find(|by| !by.fits(offers)) {
            return Err(narrow("by", mixed(&format!("{misfit:?}").to_lowercase())));
        }
        if by.contains(&By::Publisher) && !caller.is_operator() {
            return Err(Problem::new(
                Kind::Forbidden,
                "in whose mails an offer was shown is for the operator alone",
            )
            .with(Fault::new("by", "has `publisher`")));
        }
        Ok(Self { from, to, by, whose })
    }
}

fn mixed(name: &str) -> String {
    format!("`{name}` counts mails and `campaign` counts offers: ask for one of them at a time")
}

/// Returns the hours that are counted: the first, and the one after the last. `default` is how long before `to` counting begins if
/// nothing is said.
pub(crate) fn hours(
    from: Option<&str>,
    to: Option<&str>,
    default: Duration,
    now: Timestamp,
) -> Result<(Hour, Hour), Problem> {
    let time = |field: &'static str, text: Option<&str>| {
        let read = text.map(str::parse::<Timestamp>).transpose();
        read.map_err(|fault| narrow(field, fault.to_string()))
    };
    let to = time("to", to)?.unwrap_or(now);
    let from = time("from", from)?.unwrap_or(to - default);
    if from >= to {
        return Err(narrow("from", "is not before `to`"));
    }
    if to.since(from) > RANGE_MAX {
        return Err(narrow("from", "lies more than 400 days before `to`"));
    }
    let end = Hour::of(Timestamp::from_millis(to.as_millis().saturating_sub(1)));
    Ok((Hour::of(from), Hour(end.0.saturating_add(1))))
}

fn by(text: Option<&str>) -> Result<BTreeSet<By>, Problem> {
    let mut all = BTreeSet::new();
    for name in text.into_iter().flat_map(|text| text.split(',')) {
        let by = By::of(name).ok_or_else(|| narrow("by", "has a name that is not in the description"))?;
        if !all.insert(by) {
            return Err(narrow("by", format!("has `{name}` twice")));
        }
    }
    if all.contains(&By::Hour) && all.contains(&By::Day) {
        return Err(narrow("by", "has both `hour` and `day`"));
    }
    Ok(all)
}

fn mails_of(app: &App, caller: &Caller, params: &StatsParams) -> Result<Whose, Problem> {
    let shops = if caller.is_operator() && params.shop.is_none() {
        // Numbers are given in order; deleted shops keep theirs, and their past.
        let catalogue = app.catalogue();
        let numbers = (1..=u32::MAX).map(ShopNumber);
        numbers
            .take_while(|number| catalogue.shop_by_number(*number).is_some())
            .collect()
    } else {
        vec![caller.shop(app, params.shop.as_deref(), Scope::Read)?.number]
    };
    let template = match params.template.as_deref() {
        None => None,
        Some("") => Some(String::new()),
        Some(id) => Some(existing(id, "template")?.into()),
    };
    let provider = |name: &str| Provider::ALL.into_iter().find(|provider| provider.as_str() == name);
    let unknown = || narrow("provider", "is none of those in the description");
    let provider = params
        .provider
        .as_deref()
        .map(|name| provider(name).ok_or_else(unknown))
        .transpose()?;
    Ok(Whose::Mails {
        shops,
        stream: params.stream,
        template,
        provider,
    })
}

fn offers_of(app: &App, caller: &Caller, params: &StatsParams) -> Result<Whose, Problem> {
    for (name, given) in [
        ("stream", params.stream.is_some()),
        ("template", params.template.is_some()),
        ("provider", params.provider.is_some()),
    ] {
        if given {
            return Err(narrow(name, mixed(name)));
        }
    }
    let advertiser = if caller.is_operator() && params.shop.is_none() {
        None
    } else {
        Some(caller.shop(app, params.shop.as_deref(), Scope::Read)?)
    };
    let owned = |owner: &Slug| advertiser.as_ref().is_none_or(|shop| shop.id == *owner);
    let catalogue = app.catalogue();
    let campaigns = if let Some(id) = params.campaign.as_deref() {
        let campaign = catalogue.campaign_ever(&existing(id, "campaign")?);
        let campaign = campaign.filter(|campaign| owned(&campaign.spec.advertiser));
        vec![campaign.ok_or_else(|| Problem::not_found("campaign"))?.number]
    } else {
        let numbers = (1..=u32::MAX).map(CampaignNumber);
        let all = numbers.map_while(|number| catalogue.campaign_by_number(number));
        let owned = all.filter(|campaign| owned(&campaign.spec.advertiser));
        owned.map(|campaign| campaign.number).collect()
    };
    Ok(Whose::Offers(campaigns))
}

/// Refuses a question that cannot be answered as it was put.
pub(crate) fn narrow(field: &'static str, fault: impl Into<String>) -> Problem {
    let fault = fault.into();
    Problem::new(Kind::Malformed, format!("{field} {fault}")).with(Fault::new(field, fault))
}
