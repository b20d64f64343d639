//! Cells added up into the rows of an answer.

use std::collections::BTreeMap;

use serde::Serialize;
use store::{State, StateError};
use types::catalogue::Catalogue;
use types::id::{CampaignNumber, ShopNumber};
use types::order::Stream;
use types::provider::Provider;
use types::tally::{CellKey, Counts, Dimensions, Hour, Measure};
use types::text::Slug;

use super::{By, DAY, Question, Whose};

/// The most rows that one answer has.
pub(super) const ROWS_MAX: usize = 10_000;
/// The most cells that one answer adds up: some seconds of a thread.
const CELLS_MAX: usize = 5_000_000;

/// One row of an answer: what it is for, as far as that was asked, and its counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StatsRow {
    /// When the hour or day (UTC) begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    time: Option<String>,
    /// Whose mails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    shop: Option<String>,
    /// On which stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    stream: Option<Stream>,
    /// Made with which template; empty is the built-in one, or content of the request's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    template: Option<String>,
    /// To which provider: `other`, or one of those that the description of the parameter names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>)]
    provider: Option<&'static str>,
    /// Which offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    campaign: Option<String>,
    /// In whose mails they were shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    publisher: Option<String>,
    /// By measure. Each is there, zeros included.
    counts: BTreeMap<&'static str, u64>,
}

/// What one row is for. Its order is the order of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    hour: Option<Hour>,
    shop: Option<ShopNumber>,
    stream: Option<Stream>,
    /// Empty is the built-in one.
    template: Option<String>,
    provider: Option<Provider>,
    campaign: Option<CampaignNumber>,
    publisher: Option<ShopNumber>,
}

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum TooMuch {
    #[error("makes more than {ROWS_MAX} rows: ask for less time, or group by less")]
    Rows,
    #[error("needs more than {CELLS_MAX} cells: ask for less time, or for one shop or campaign")]
    Cells,
    #[error(transparent)]
    State(#[from] StateError),
}

/// The sums of an answer.
#[derive(Debug, Default)]
pub(super) struct Rows {
    groups: BTreeMap<Group, Counts>,
    totals: Counts,
    cells: usize,
}

impl Rows {
    /// Adds up all cells that a question asks for. Reads the disk.
    pub(super) fn count(state: &State, question: &Question) -> Result<Self, TooMuch> {
        let (mut rows, hours) = (Self::default(), question.from..question.to);
        match &question.whose {
            Whose::Mails { shops, .. } => {
                for shop in shops {
                    for cell in state.cells().of_mails(*shop, hours.clone()) {
                        let (key, counts) = cell?;
                        rows.add(question, &key, &counts)?;
                    }
                }
            }
            Whose::Offers(campaigns) => {
                for campaign in campaigns {
                    for cell in state.cells().of_offer(*campaign, hours.clone()) {
                        let (key, counts) = cell?;
                        rows.add(question, &key, &counts)?;
                    }
                }
            }
        }
        Ok(rows)
    }

    fn add(&mut self, question: &Question, key: &CellKey, counts: &Counts) -> Result<(), TooMuch> {
        self.cells += 1;
        if self.cells > CELLS_MAX {
            return Err(TooMuch::Cells);
        }
        if !question.whose.takes(&key.dimensions) {
            return Ok(());
        }
        self.totals.merge(counts);
        self.groups.entry(Group::of(question, key)).or_default().merge(counts);
        if self.groups.len() > ROWS_MAX {
            return Err(TooMuch::Rows);
        }
        Ok(())
    }

    /// Returns the rows, and the totals of all of them.
    pub(super) fn into_answer(self, catalogue: &Catalogue) -> (Vec<StatsRow>, BTreeMap<&'static str, u64>) {
        let rows = self.groups.into_iter();
        let rows = rows.filter(|(_, counts)| counts.iter().next().is_some());
        let rows = rows.map(|(group, counts)| group.into_row(&counts, catalogue));
        (rows.collect(), named(&self.totals))
    }
}

/// Returns what a template is called in questions and answers: the built-in one has an empty name.
fn name(template: Option<&Slug>) -> &str {
    template.map_or("", Slug::as_str)
}

/// Returns the counts of mails and offers by name; what only steps and carts count is left out.
fn named(counts: &Counts) -> BTreeMap<&'static str, u64> {
    let all = Measure::ALL.iter().filter(|measure| **measure <= Measure::InDoubt);
    all.map(|measure| (measure.as_str(), counts.get(*measure))).collect()
}

impl Whose {
    /// Returns whether the question's filters let a cell through.
    fn takes(&self, cell: &Dimensions) -> bool {
        match (self, cell) {
            (
                Self::Mails {
                    stream,
                    template,
                    provider,
                    ..
                },
                Dimensions::Mails {
                    stream: of_stream,
                    template: of_template,
                    provider: of_provider,
                    ..
                },
            ) => {
                stream.is_none_or(|stream| stream == *of_stream)
                    && template
                        .as_ref()
                        .is_none_or(|template| *template == name(of_template.as_ref()))
                    && provider.is_none_or(|provider| provider == *of_provider)
            }
            (Self::Offers(_), Dimensions::Offer { .. }) => true,
            // Steps and carts are counted in families of their own, and never among mails or offers.
            (Self::Mails { .. } | Self::Offers(_), _) => false,
        }
    }
}

impl Group {
    fn of(question: &Question, key: &CellKey) -> Self {
        let mut group = Self::default();
        for by in &question.by {
            match (by, &key.dimensions) {
                (By::Hour, _) => group.hour = Some(key.hour),
                (By::Day, _) => group.hour = Some(Hour(key.hour.0 - key.hour.0 % DAY)),
                (By::Shop, Dimensions::Mails { shop, .. }) => group.shop = Some(*shop),
                (By::Stream, Dimensions::Mails { stream, .. }) => group.stream = Some(*stream),
                (By::Template, Dimensions::Mails { template, .. }) => {
                    group.template = Some(name(template.as_ref()).to_owned());
                }
                (By::Provider, Dimensions::Mails { provider, .. }) => group.provider = Some(*provider),
                (By::Campaign, Dimensions::Offer { campaign, .. }) => group.campaign = Some(*campaign),
                (By::Publisher, Dimensions::Offer { publisher, .. }) => group.publisher = Some(*publisher),
                // A question asks for one family, and its cells are of that family.
                (By::Shop | By::Stream | By::Template | By::Provider | By::Campaign | By::Publisher, _) => {}
            }
        }
        group
    }

    fn into_row(self, counts: &Counts, catalogue: &Catalogue) -> StatsRow {
        let shop = |number| catalogue.shop_by_number(number).map(|shop| shop.id.to_string());
        let campaign = |number| {
            catalogue
                .campaign_by_number(number)
                .map(|campaign| campaign.id.to_string())
        };
        StatsRow {
            time: self.hour.map(|hour| hour.begins().to_string()),
            shop: self.shop.and_then(shop),
            stream: self.stream,
            template: self.template,
            provider: self.provider.map(Provider::as_str),
            campaign: self.campaign.and_then(campaign),
            publisher: self.publisher.and_then(shop),
            counts: named(counts),
        }
    }
}
