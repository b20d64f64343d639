//! A shop's settings of reminders, and carts of one person there.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a fixture of tests")]

use policy::cart::{CartState, prepare};
use policy::{PersonState, Settings};
use types::cart::{Cart, CartSpec};
use types::catalogue::Shop;
use types::event::CartChanged;
use types::id::{EventId, PersonKey};
use types::locale::Language;
use types::order::Item;
use types::time::Timestamp;

use crate::fixture::{OWN, now, shop_spec, slug};

pub const PERSON: PersonKey = PersonKey::from_bytes([7; 16]);
/// The cart's first event.
pub const CART: EventId = EventId::from_raw(1);

/// What stands around a cart.
pub struct World {
    pub shop: Shop,
    pub person: PersonState,
    pub settings: Settings,
}

impl Default for World {
    fn default() -> Self {
        let shop = Shop {
            id: slug("own"),
            number: OWN,
            version: 1,
            changed_at: now(),
            deleted: false,
            spec: shop_spec(),
        };
        Self {
            shop,
            person: PersonState::default(),
            settings: Settings::default(),
        }
    }
}

/// Live, in Italian, the first after two hours and the second after a day, with a code.
pub fn spec() -> CartSpec {
    toml::from_str(
        r#"
        mode = "live"
        languages = ["it"]
        first = { after = "2h" }
        second = { after = "24h" }
        coupon = { code = "TORNA10", worth = "10 %", valid_for = "2d" }
        time_zone = "Europe/Rome"
        "#,
    )
    .unwrap()
}

pub fn items(lines: &[(&str, u32)]) -> Vec<Item> {
    let item = |(sku, quantity): &(&str, u32)| Item {
        sku: (*sku).try_into().unwrap(),
        title: "Scarpe".try_into().unwrap(),
        quantity: *quantity,
        unit_price: 2000,
        categories: Vec::new(),
    };
    lines.iter().map(item).collect()
}

/// Two of "a" and one of "b", 50.00 EUR net, of an Italian who agreed to mail.
pub fn cart(touched_at: Timestamp) -> Cart {
    let mut cart: Cart = toml::from_str(
        r#"
        customer = { email = "anna@libero.it", name = "Anna", locale = "it-IT", country = "IT" }
        consent = { marketing = true }
        items = []
        total = { amount = 6000, currency = "EUR" }
        net = 5000
        restore_url = "https://www.scarpe.example/carrello?id=1"
        "#,
    )
    .unwrap();
    cart.items = items(&[("a", 2), ("b", 1)]);
    cart.touched_at = Some(touched_at);
    cart
}

/// The event that puts a cart, as the API makes it.
pub fn changed(cart: Cart) -> CartChanged {
    CartChanged {
        shop: OWN,
        person: PERSON,
        id: "c-1".try_into().unwrap(),
        cart: Some(Box::new(cart)),
        language: None,
        next: None,
        object: None,
    }
}

/// A cart that was just put.
pub fn touched(cart: Cart, wall: Timestamp) -> CartState {
    let mut changed = changed(cart);
    prepare(&mut changed, None, Some(&spec()), Language::De, wall);
    CartState::new(CART, wall, &changed).unwrap()
}
