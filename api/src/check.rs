//! What the types cannot know: limits that hold between fields, and what must not be empty.
//!
//! Each check is a plain function of the request and the time, and collects every fault it finds, so that a caller
//! mends all of them at once.

use std::time::Duration;

use types::address::ascii_domain;
use types::cart::Cart;
use types::catalogue::{CampaignSpec, Creative, ShopSpec, TemplateSpec};
use types::money::Money;
use types::order::{Body, Consent, Content, Grant, Item, MessageRequest, Order, TemplateUse};
use types::time::Timestamp;

use crate::problem::{Fault, Problem};

/// How far ahead of ours a caller's clock may be. Later times would outrank withdrawals yet to come.
const CLOCK_SKEW: Duration = Duration::from_mins(10);
/// No amount is larger than this many minor units, so that no sum of an order overflows.
const AMOUNT_MAX: u64 = 1_000_000_000_000;
/// The most a text or HTML part holds, in bytes.
const PART_BYTES_MAX: usize = 256 << 10;
/// The most each part of a template holds, in bytes.
const TEMPLATE_BYTES_MAX: usize = 128 << 10;

/// Returns whether a caller's time lies further ahead of ours than clocks differ.
pub(crate) fn is_ahead(time: Timestamp, now: Timestamp) -> bool {
    time > now + CLOCK_SKEW
}

/// Faults found so far.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Blames `field` unless `holds`.
    pub(crate) fn demand(&mut self, holds: bool, field: &str, fault: &str) {
        if !holds {
            self.0.push(Fault::new(field, fault));
        }
    }

    /// Adds a fault.
    pub(crate) fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Returns the 422 if there are any.
    pub(crate) fn into_result(self) -> Result<(), Problem> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.0))
        }
    }

    fn at_most(&mut self, count: usize, max: usize, field: &str) {
        if count > max {
            self.0.push(Fault::new(
                field,
                format!("has {count} entries; at most {max} are allowed"),
            ));
        }
    }

    fn not_empty(&mut self, text: &str, field: &str) {
        self.demand(!text.is_empty(), field, "is empty");
    }

    fn amount(&mut self, amount: i64, field: &str) {
        if amount.unsigned_abs() > AMOUNT_MAX {
            self.0
                .push(Fault::new(field, format!("is beyond {AMOUNT_MAX} minor units")));
        }
    }

    fn not_ahead(&mut self, time: Timestamp, now: Timestamp, field: &str) {
        self.demand(
            !is_ahead(time, now),
            field,
            "lies more than ten minutes ahead of our clock",
        );
    }

    fn items(&mut self, items: &[Item]) {
        self.at_most(items.len(), 200, "/items");
        for (index, item) in items.iter().take(200).enumerate() {
            if !(1..=1_000_000).contains(&item.quantity) {
                self.push(Fault::new(
                    format!("/items/{index}/quantity"),
                    "is not from 1 to 1000000",
                ));
            }
            if item.unit_price.unsigned_abs() > AMOUNT_MAX {
                self.amount(item.unit_price, &format!("/items/{index}/unit_price"));
            }
            if item.categories.len() > 16 {
                self.at_most(item.categories.len(), 16, &format!("/items/{index}/categories"));
            }
        }
    }

    fn consent(&mut self, consent: &Consent, now: Timestamp) {
        for (name, grant) in [
            ("marketing", &consent.marketing),
            ("tracking", &consent.tracking),
            ("sharing", &consent.sharing),
        ] {
            if let Some(Grant::Stated(statement)) = grant {
                self.not_ahead(statement.at, now, &format!("/consent/{name}/at"));
            }
        }
    }
}

/// Checks an order that arrived at `now`.
pub(crate) fn order(order: &Order, now: Timestamp) -> Result<(), Problem> {
    let mut faults = Faults::default();
    faults.not_empty(&order.order_id, "/order_id");
    faults.not_ahead(order.placed_at, now, "/placed_at");
    faults.demand(order.total.amount >= 0, "/total/amount", "is negative");
    faults.amount(order.total.amount, "/total/amount");
    faults.items(&order.items);
    faults.consent(&order.consent, now);
    faults.into_result()
}

/// Checks a cart of a shop that arrived at `now`.
pub(crate) fn cart(cart: &Cart, shop: &ShopSpec, now: Timestamp) -> Result<(), Problem> {
    let mut faults = Faults::default();
    faults.demand(!cart.items.is_empty(), "/items", "is empty");
    faults.items(&cart.items);
    faults.demand(cart.total.amount >= 0, "/total/amount", "is negative");
    faults.amount(cart.total.amount, "/total/amount");
    faults.demand(cart.net >= 0, "/net", "is negative");
    faults.amount(cart.net, "/net");
    let host = cart.restore_url.host();
    faults.demand(
        shop.owns_host(host),
        "/restore_url",
        "leads to a host that is neither the shop's own (`www.` left out) nor under it",
    );
    if let Some(touched_at) = cart.touched_at {
        faults.not_ahead(touched_at, now, "/touched_at");
    }
    faults.consent(&cart.consent, now);
    faults.into_result()
}

/// Checks a plain send that arrived at `now`. Whether its template exists is for the caller to see.
pub(crate) fn message(request: &MessageRequest, now: Timestamp) -> Result<(), Problem> {
    let mut faults = Faults::default();
    match &request.body {
        Body::Content(content) => content_parts(content, &mut faults),
        Body::Template(template) => template_vars(template, &mut faults),
        // It cannot be read from JSON.
        Body::Cart(_) => faults.demand(false, "/body/cart", "is not a body that can be sent"),
    }
    faults.consent(&request.consent, now);
    if let Some(expires_at) = request.expires_at {
        faults.demand(expires_at > now, "/expires_at", "is over already");
    }
    faults.into_result()
}

fn content_parts(content: &Content, faults: &mut Faults) {
    faults.not_empty(&content.subject, "/body/content/subject");
    let empty = |part: &Option<String>| part.as_ref().is_none_or(String::is_empty);
    faults.demand(
        !(empty(&content.text) && empty(&content.html)),
        "/body/content",
        "has neither text nor html",
    );
    for (name, part) in [("text", &content.text), ("html", &content.html)] {
        let Some(part) = part else { continue };
        let field = format!("/body/content/{name}");
        faults.demand(part.len() <= PART_BYTES_MAX, &field, "is larger than 256 KiB");
        faults.demand(!part.contains('\0'), &field, "contains the character U+0000");
    }
}

fn template_vars(template: &TemplateUse, faults: &mut Faults) {
    let field = "/body/template/vars";
    faults.at_most(template.vars.len(), 64, field);
    for (name, value) in template.vars.iter().take(64) {
        let named =
            !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !named {
            faults.push(Fault::new(
                field,
                "has a name that is not 1 to 64 letters, digits and underscores",
            ));
        }
        if value.chars().count() > 10_000 {
            faults.push(Fault::new(format!("{field}/{name}"), "is longer than 10000 characters"));
        }
        if value.contains('\0') {
            faults.push(Fault::new(format!("{field}/{name}"), "contains the character U+0000"));
        }
    }
}

/// Checks a shop. Whether its offer template exists is for the caller to see.
pub(crate) fn shop(spec: &ShopSpec) -> Result<(), Problem> {
    let mut faults = Faults::default();
    faults.not_empty(&spec.name, "/name");
    faults.not_empty(&spec.postal_address, "/postal_address");
    faults.at_most(spec.categories.len(), 16, "/categories");
    faults.at_most(spec.exclude_shops.len(), 1000, "/exclude_shops");
    faults.at_most(spec.exclude_categories.len(), 64, "/exclude_categories");
    faults.demand((1..=6).contains(&spec.offers_max), "/offers_max", "is not from 1 to 6");
    faults.demand(
        (1..=10_080).contains(&spec.late_after_minutes),
        "/late_after_minutes",
        "is not from 1 to 10080",
    );
    if let Some(color) = &spec.color {
        let hex = |digits: &str| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        faults.demand(
            color.strip_prefix('#').is_some_and(hex),
            "/color",
            "is not of the form #rrggbb",
        );
    }
    if let Some(host) = &spec.tracking_host {
        let named = ascii_domain(host).is_some_and(|name| *name == **host);
        faults.demand(named, "/tracking_host", "is not a host name in lower case");
    }
    faults.into_result()
}

/// Checks a campaign. Whether its advertiser exists is for the caller to see.
pub(crate) fn campaign(spec: &CampaignSpec) -> Result<(), Problem> {
    let mut faults = Faults::default();
    faults.at_most(spec.countries.len(), 250, "/countries");
    faults.at_most(spec.categories.len(), 16, "/categories");
    price(&spec.price, spec.budget, &mut faults);
    faults.demand(
        (1..=10_000).contains(&spec.lead_rate_per_10000),
        "/lead_rate_per_10000",
        "is not from 1 to 10000",
    );
    if let (Some(starts_at), Some(ends_at)) = (spec.starts_at, spec.ends_at) {
        faults.demand(starts_at < ends_at, "/ends_at", "is not after starts_at");
    }
    landing_url(spec.landing_url.as_str(), &mut faults);
    faults.demand(!spec.creatives.is_empty(), "/creatives", "is empty");
    for (language, creative) in &spec.creatives {
        creative_texts(creative, language.code(), &mut faults);
    }
    faults.into_result()
}

fn price(price: &Money, budget: Option<i64>, faults: &mut Faults) {
    faults.demand(price.amount > 0, "/price/amount", "is not above 0");
    faults.amount(price.amount, "/price/amount");
    if let Some(budget) = budget {
        faults.demand(budget >= 0, "/budget", "is negative");
        faults.amount(budget, "/budget");
    }
}

/// Checks that a campaign leads to its advertiser's own site.
pub(crate) fn landing_host(spec: &CampaignSpec, advertiser: &ShopSpec) -> Result<(), Problem> {
    let (landing, own) = (spec.landing_url.host(), advertiser.url.host());
    let mut faults = Faults::default();
    if !advertiser.owns_host(landing) {
        faults.push(Fault::new(
            "/landing_url",
            format!("leads to {landing}, which is neither the advertiser's {own} (`www.` left out) nor under it"),
        ));
    }
    faults.into_result()
}

/// Macros that nobody replaces would reach the advertiser as they stand.
fn landing_url(url: &str, faults: &mut Faults) {
    let known = ["{click_id}", "{campaign}", "{publisher}", "{coupon}"];
    let rest = known.iter().fold(url.to_owned(), |rest, name| rest.replace(name, ""));
    faults.demand(
        !rest.contains(['{', '}']),
        "/landing_url",
        "has a macro other than {click_id}, {campaign}, {publisher} and {coupon}",
    );
}

fn creative_texts(creative: &Creative, language: &str, faults: &mut Faults) {
    faults.not_empty(&creative.title, &format!("/creatives/{language}/title"));
    faults.not_empty(&creative.button, &format!("/creatives/{language}/button"));
}

/// Checks a template: its sizes, and that every part can be rendered.
pub(crate) fn template(spec: &TemplateSpec) -> Result<(), Problem> {
    let mut faults = Faults::default();
    faults.demand(!spec.sources.is_empty(), "/sources", "is empty");
    for (language, source) in &spec.sources {
        for (part, text) in [
            ("subject", &source.subject),
            ("html", &source.html),
            ("text", &source.text),
        ] {
            let field = format!("/sources/{}/{part}", language.code());
            faults.demand(!text.trim().is_empty(), &field, "is empty");
            faults.demand(text.len() <= TEMPLATE_BYTES_MAX, &field, "is larger than 128 KiB");
            faults.demand(!text.contains('\0'), &field, "contains the character U+0000");
        }
        faults.demand(
            !source.subject.contains(['\r', '\n']),
            &format!("/sources/{}/subject", language.code()),
            "has more than one line",
        );
    }
    faults.into_result()
}
