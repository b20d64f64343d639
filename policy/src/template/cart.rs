//! What the template of a cart's reminder sees.

use minijinja::Value;
use types::calendar::CivilDate;
use types::cart::CartMail;
use types::event::ReminderPurpose;
use types::locale::Language;
use types::money::Money;
use types::order::{Customer, Item};

use super::context::{Context, ShopView, buyer, optional, record};
use super::track::Track;
use super::{date, money};

/// How many lines of a cart a reminder shows.
const ITEMS_MAX: usize = 6;

/// A reminder as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct CartView<'a> {
    /// Whose cart it is; in a copy or test, the shop under the buyer's name.
    pub to: &'a Customer,
    /// What it says.
    pub mail: &'a CartMail,
    /// The last day on which its code holds, in the shop's zone.
    pub until: Option<CivilDate>,
    /// Where the button leads.
    pub url: &'a str,
    /// To whom it goes.
    pub purpose: ReminderPurpose,
    /// Where the buyer unsubscribes; none for what goes to the shop.
    pub unsubscribe_url: Option<&'a str>,
}

impl Context {
    /// Makes the context of a cart's reminder.
    pub fn cart(language: Language, shop: &ShopView, view: &CartView<'_>, track: &Track) -> Self {
        let mail = view.mail;
        let coupon = mail.coupon.as_ref().map(|coupon| {
            record(vec![
                ("code", Value::from(&*coupon.code)),
                ("worth", Value::from(&*coupon.worth)),
                (
                    "until",
                    Value::from(view.until.map(|until| date::format(until, language))),
                ),
            ])
        });
        let for_shop = match view.purpose {
            ReminderPurpose::Buyer => None,
            ReminderPurpose::Copy => Some("copy"),
            ReminderPurpose::Test => Some("test"),
        };
        let line = |line: &Item| item(line, mail.total, language);
        let cart = record(vec![
            ("reminder", Value::from(mail.reminder.as_str())),
            ("items", mail.items.iter().take(ITEMS_MAX).map(line).collect()),
            ("more", Value::from(mail.items.len().saturating_sub(ITEMS_MAX))),
            ("total", Value::from(money::format(mail.total, language))),
            ("url", Value::from(view.url)),
        ]);
        Self::new(vec![
            ("shop", shop.value()),
            ("buyer", buyer(view.to)),
            ("cart", cart),
            ("coupon", Value::from(coupon)),
            ("for_shop", optional(for_shop)),
            ("unsubscribe_url", optional(view.unsubscribe_url)),
            ("language", Value::from(language.code())),
            ("track", track.function()),
        ])
    }
}

fn item(item: &Item, total: Money, language: Language) -> Value {
    let written = |amount| {
        let currency = total.currency;
        Value::from(money::format(Money { amount, currency }, language))
    };
    record(vec![
        ("sku", Value::from(&*item.sku)),
        ("title", Value::from(&*item.title)),
        ("quantity", Value::from(item.quantity)),
        ("price", written(item.unit_price)),
        ("amount", written(item.unit_price.saturating_mul(item.quantity.into()))),
    ])
}
