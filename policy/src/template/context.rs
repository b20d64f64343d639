//! What templates see.
//!
//! An offer template sees
//!
//! | variable | is |
//! |---|---|
//! | `shop` | `name`, `url`, `logo_url`*, `country`, `postal_address`, `privacy_url`*, and colours made from the shop's one so that text stays readable: `color`, `color_text` (on `color`), `color_on_light`, `color_on_dark` |
//! | `buyer` | `name`*, `email`, `country`* |
//! | `order` | `id`, `total` (as the language writes money), `items` (each `sku`, `title`, `quantity`, `price`) |
//! | `offers` | in the order to show: `title`, `text`, `button`, `url`, `image_url`*, `image_alt`, `coupon`*, `advertiser` |
//! | `advertisers` | the distinct advertisers' names |
//! | `unsubscribe_url` | the page on which the buyer unsubscribes; must be shown |
//! | `language` | `it`, `en`, `de`, `fr` or `es` |
//!
//! A message template sees `shop`, `buyer`, `language`, `unsubscribe_url`*, `track` and `vars`, what the caller sent.
//!
//! A template of a cart's reminders sees `shop`, `buyer`, `language`, `track` and
//!
//! | variable | is |
//! |---|---|
//! | `cart` | `reminder` (`first` or `second`), `items` (the first six, each `sku`, `title`, `quantity`, `price` of one, `amount` of all), `more` (how many lines follow), `total`, `url` (where the button leads; must be shown) |
//! | `coupon`* | the code that the second reminder gives: `code`, `worth`, `until`* (its last day, as the language writes it) |
//! | `for_shop`* | `copy` or `test`, in what goes to the shop instead of the buyer |
//! | `unsubscribe_url`* | the page on which the buyer unsubscribes; none in what goes to the shop |
//!
//! What is marked * may be none: `{% if shop.logo_url %}`.
//!
//! `track(url)` is the one function: it makes a page of the shop's own site a link by the tracker, so that a click on it is
//! told, if the recipient agreed to that. Anything else it leaves as it is: `<a href="{{ track(vars.link) }}">`.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use types::calendar::CivilDate;
use types::cart::CartMail;
use types::catalogue::{Creative, ShopSpec, TemplateKind};
use types::event::ReminderPurpose;
use types::locale::{Country, Language};
use types::order::{Customer, Order};
use types::text::HttpsUrl;

use super::cart::CartView;
use super::color::{self, Color};
use super::money;
use super::track::Track;

/// The unsubscribe link of sample data.
pub(super) const SAMPLE_UNSUBSCRIBE: &str = "https://mail.shop.example/u/sample";
/// Where the button of a reminder leads in sample data.
pub(super) const SAMPLE_RESTORE: &str = "https://mail.shop.example/c/sample?to=cart";

/// Everything that one mail's template sees.
#[derive(Clone, Debug)]
pub struct Context(Value);

/// A shop as templates see it; made once per version of the shop.
#[derive(Clone, Debug)]
pub struct ShopView(Value);

impl ShopView {
    /// Prepares a shop.
    pub fn new(shop: &ShopSpec) -> Self {
        let color = shop.color.as_deref().and_then(Color::parse).unwrap_or(color::DEFAULT);
        Self(record(vec![
            ("name", Value::from(&*shop.name)),
            ("url", Value::from(shop.url.as_str())),
            ("logo_url", optional(shop.logo_url.as_ref().map(HttpsUrl::as_str))),
            ("country", Value::from(shop.country.as_str())),
            ("postal_address", Value::from(&*shop.postal_address)),
            ("privacy_url", optional(shop.privacy_url.as_ref().map(HttpsUrl::as_str))),
            ("color", Value::from(color.to_string())),
            ("color_text", Value::from(color.text_on().to_string())),
            (
                "color_on_light",
                Value::from(color.readable_on(color::WHITE).to_string()),
            ),
            (
                "color_on_dark",
                Value::from(color.readable_on(color::NIGHT).to_string()),
            ),
        ]))
    }
}

impl ShopView {
    pub(super) fn value(&self) -> Value {
        self.0.clone()
    }
}

/// One offer as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct OfferView<'a> {
    /// What it says.
    pub creative: &'a Creative,
    /// Whose it is.
    pub advertiser: &'a str,
    /// Where its picture, headline and button lead: a link of the tracker.
    pub url: &'a str,
}

impl Context {
    /// Makes the context of an offer mail.
    pub fn offer(
        language: Language,
        shop: &ShopView,
        order: Arc<Order>,
        offers: &[OfferView<'_>],
        unsubscribe_url: &str,
    ) -> Self {
        let mut advertisers: Vec<&str> = Vec::with_capacity(offers.len());
        for offer in offers {
            if !advertisers.contains(&offer.advertiser) {
                advertisers.push(offer.advertiser);
            }
        }
        Self(record(vec![
            ("shop", shop.0.clone()),
            ("buyer", buyer(&order.customer)),
            ("offers", offers.iter().map(offer).collect()),
            ("advertisers", advertisers.into_iter().map(Value::from).collect()),
            ("unsubscribe_url", Value::from(unsubscribe_url)),
            ("language", Value::from(language.code())),
            (
                "order",
                Value::from_object(OrderView {
                    order,
                    language,
                    items: OnceLock::new(),
                }),
            ),
        ]))
    }

    /// Makes the context of a plain message. `unsubscribe_url` is given on the promotional stream.
    pub fn message(
        language: Language,
        shop: &ShopView,
        to: &Customer,
        vars: &BTreeMap<String, String>,
        unsubscribe_url: Option<&str>,
        track: &Track,
    ) -> Self {
        let vars = vars.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        Self::with_vars(
            language,
            shop,
            to,
            Value::from_object(Vars::given(vars)),
            unsubscribe_url,
            track,
        )
    }

    fn with_vars(
        language: Language,
        shop: &ShopView,
        to: &Customer,
        vars: Value,
        unsubscribe_url: Option<&str>,
        track: &Track,
    ) -> Self {
        Self(record(vec![
            ("shop", shop.0.clone()),
            ("buyer", buyer(to)),
            ("vars", vars),
            ("unsubscribe_url", optional(unsubscribe_url)),
            ("language", Value::from(language.code())),
            ("track", track.function()),
        ]))
    }

    pub(super) fn new(fields: Vec<(&'static str, Value)>) -> Self {
        Self(record(fields))
    }

    pub(super) const fn value(&self) -> &Value {
        &self.0
    }
}

pub(super) fn buyer(customer: &Customer) -> Value {
    record(vec![
        (
            "name",
            optional(customer.name.as_deref().filter(|name| !name.is_empty())),
        ),
        ("email", Value::from(customer.email.as_str())),
        ("country", optional(customer.country.as_ref().map(Country::as_str))),
    ])
}

fn offer(offer: &OfferView<'_>) -> Value {
    let creative = offer.creative;
    record(vec![
        ("title", Value::from(&*creative.title)),
        ("text", Value::from(&*creative.text)),
        ("button", Value::from(&*creative.button)),
        ("url", Value::from(offer.url)),
        ("image_url", optional(creative.image_url.as_ref().map(HttpsUrl::as_str))),
        (
            "image_alt",
            Value::from(creative.image_alt.as_deref().unwrap_or(&creative.title)),
        ),
        ("coupon", optional(creative.coupon.as_deref())),
        ("advertiser", Value::from(offer.advertiser)),
    ])
}

pub(super) fn optional(text: Option<&str>) -> Value {
    Value::from(text.map(Value::from))
}

pub(super) fn record(fields: Vec<(&'static str, Value)>) -> Value {
    Value::from_object(Record(fields))
}

/// A few named values, found by going through them: cheaper to make than a map, and as quick to read at this size.
#[derive(Debug)]
struct Record(Vec<(&'static str, Value)>);

impl Object for Record {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let key = key.as_str()?;
        let (_, value) = self.0.iter().find(|(name, _)| *name == key)?;
        Some(value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.iter().map(|(name, _)| Value::from(*name)).collect())
    }
}

/// An order, read only as far as a template asks.
#[derive(Debug)]
struct OrderView {
    order: Arc<Order>,
    language: Language,
    /// Made when a template first asks, and once: it may ask at each turn of a loop.
    items: OnceLock<Value>,
}

impl Object for OrderView {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "id" => Some(Value::from(&*self.order.order_id)),
            "total" => Some(Value::from(money::format(self.order.total, self.language))),
            "items" => Some(self.items.get_or_init(|| self.items()).clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&["id", "total", "items"])
    }
}

impl OrderView {
    fn items(&self) -> Value {
        let item = |item: &types::order::Item| {
            let price = types::money::Money {
                amount: item.unit_price,
                currency: self.order.total.currency,
            };
            record(vec![
                ("sku", Value::from(&*item.sku)),
                ("title", Value::from(&*item.title)),
                ("quantity", Value::from(item.quantity)),
                ("price", Value::from(money::format(price, self.language))),
            ])
        };
        self.order.items.iter().map(item).collect()
    }
}

/// The variables of a plain message; in sample data, every name has a text.
#[derive(Debug)]
struct Vars {
    given: BTreeMap<String, Value>,
    sample: Option<Value>,
}

impl Vars {
    fn given<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            given: vars
                .into_iter()
                .map(|(name, text)| (name.to_owned(), Value::from(text)))
                .collect(),
            sample: None,
        }
    }
}

impl Object for Vars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.given.get(key.as_str()?).or(self.sample.as_ref()).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.given.keys().map(Value::from).collect())
    }
}

/// Sample data, on which templates are tried before they are kept.
impl Context {
    /// Returns the sample contexts of a kind: with everything that may be there, and with nothing that may be missing.
    pub fn samples(kind: TemplateKind) -> Vec<Self> {
        let full: Sample = read(include_str!("../../templates/sample/full.toml"));
        let bare: Sample = read(include_str!("../../templates/sample/bare.toml"));
        [(full, 3), (bare, 1)]
            .into_iter()
            .map(|(sample, offers)| match kind {
                TemplateKind::Offer => sample.offer(offers),
                TemplateKind::Cart => sample.cart(offers),
                TemplateKind::Message => sample.message(Vars {
                    given: BTreeMap::new(),
                    sample: Some(Value::from("Sample text")),
                }),
            })
            .collect()
    }

    /// Returns a sample message with these variables and no others.
    pub(super) fn sample_message<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let full: Sample = read(include_str!("../../templates/sample/full.toml"));
        full.message(Vars::given(vars))
    }
}

/// A sample file: a shop, an order and an offer.
#[derive(serde::Deserialize)]
struct Sample {
    language: Language,
    shop: ShopSpec,
    order: Order,
    offer: Creative,
    cart: CartMail,
}

impl Sample {
    fn offer(self, offers: usize) -> Context {
        let view = OfferView {
            creative: &self.offer,
            advertiser: "Advertiser",
            url: "https://mail.shop.example/c/sample",
        };
        Context::offer(
            self.language,
            &ShopView::new(&self.shop),
            Arc::new(self.order),
            &vec![view; offers],
            SAMPLE_UNSUBSCRIBE,
        )
    }

    fn cart(self, lines: usize) -> Context {
        // One with everything goes to its buyer; the bare one is a test for the shop, and names no way to unsubscribe.
        let is_bare = lines == 1;
        let view = CartView {
            to: &self.order.customer,
            mail: &self.cart,
            until: CivilDate::new(2026, 11, 24).filter(|_| !is_bare),
            url: SAMPLE_RESTORE,
            purpose: if is_bare {
                ReminderPurpose::Test
            } else {
                ReminderPurpose::Buyer
            },
            unsubscribe_url: (!is_bare).then_some(SAMPLE_UNSUBSCRIBE),
        };
        Context::cart(self.language, &ShopView::new(&self.shop), &view, &Track::nothing())
    }

    fn message(self, vars: Vars) -> Context {
        Context::with_vars(
            self.language,
            &ShopView::new(&self.shop),
            &self.order.customer,
            Value::from_object(vars),
            Some(SAMPLE_UNSUBSCRIBE),
            &Track::nothing(),
        )
    }
}

fn read(sample: &str) -> Sample {
    toml::from_str(sample).expect("the samples are built in, and every check in the tests reads them")
}
