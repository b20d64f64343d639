//! Orders as shops report them: a buyer, what was agreed to, one to five lines.

use std::fmt::Write as _;
use std::sync::Arc;

use rand::RngExt;

use super::lane::{Made, Make, Maker};
use super::pacer::Tick;
use super::people::{self, People};
use super::{Origin, Target};
use crate::http;
use crate::ledger::{Kind, Tag};

/// What shops sell: category, title, price in cents.
const GOODS: [(&str, &str, u32); 16] = [
    ("food", "Miscela tostata a legna, 250 g", 890),
    ("food", "Olio extravergine \\\"Riserva\\\", 750 ml", 1650),
    ("food", "Panettone artigianale al cioccolato", 3200),
    ("food", "Pasta di Gragnano, 6 formati", 1480),
    ("garden", "Forbici per potatura, lama temprata", 2790),
    ("garden", "Vaso in terracotta impruneta Ø 32 cm", 4450),
    ("garden", "Terriccio universale biologico, 45 l", 1190),
    ("garden", "Tubo estensibile con lancia, 20 m", 3490),
    ("home", "Lampada da tavolo in ottone", 8900),
    ("home", "Lenzuola in percalle di cotone, matrimoniali", 6990),
    ("home", "Moka in alluminio da 6 tazze", 3450),
    ("home", "Tappeto tessuto a mano, 120 × 180", 15900),
    ("shoes", "Scarpe da corsa", 4990),
    ("shoes", "Stivaletti in pelle, suola cucita", 12900),
    ("shoes", "Calze tecniche, due paia", 1200),
    ("shoes", "Sandali in sughero", 5400),
];

/// Makes the requests of `POST /v1/orders`.
#[derive(Debug)]
pub(super) struct Orders {
    kind: Kind,
    first: u32,
    people: Arc<People>,
    origin: Origin,
    host: String,
    headers: String,
}

impl Orders {
    /// Orders of which mails of a kind come, numbered from `first` on.
    pub(super) fn new(target: &Target, kind: Kind, first: u32, people: Arc<People>, origin: Origin) -> Self {
        Self {
            kind,
            first,
            people,
            origin,
            host: target.addresses.api.to_string(),
            headers: http::json_headers(&target.key),
        }
    }

    /// Returns an order's JSON.
    fn body(&self, tag: Tag, due: std::time::Instant) -> String {
        let mut dice = people::dice(tag, 0);
        let (first, last) = people::name(&mut dice);
        let placed_at = self.origin.wall_of(due);
        // Whom prepared mails are for agree to be followed: their links are what clicks and landings name. Of others one in ten does not.
        let follows = self.kind == Kind::Prepared || dice.random_range(0..10) > 0;
        let mut items = String::with_capacity(600);
        let mut total = 0;
        for line in 0..dice.random_range(1..=5) {
            let Some((category, title, price)) = GOODS.get(dice.random_range(0..GOODS.len())) else {
                continue;
            };
            let quantity = if dice.random_range(0..5) == 0 { 2 } else { 1 };
            total += quantity * price;
            let comma = if line > 0 { "," } else { "" };
            let sku = dice.random_range(10_000..99_999);
            let _ = write!(
                items,
                r#"{comma}{{"sku":"{sku}","title":"{title}","quantity":{quantity},"unit_price":{price},"categories":["{category}"]}}"#
            );
        }
        format!(
            r#"{{"order_id":"load-{tag}","placed_at":"{placed_at}","status":"confirmed","customer":{{"email":"{email}","name":"{first} {last}","locale":"it-IT","country":"IT","time_zone":"Europe/Rome"}},"consent":{{"marketing":{{"granted":true,"at":"{placed_at}","text":"v3","source":"checkout"}},"tracking":{follows},"sharing":false}},"total":{{"amount":{total},"currency":"EUR"}},"items":[{items}]}}"#,
            email = self.people.address(tag),
        )
    }
}

impl Maker for Orders {
    fn make(&self, tick: &Tick) -> Make {
        let tag = Tag {
            kind: self.kind,
            number: self.first + tick.number,
        };
        let body = self.body(tag, tick.due);
        Make::Request(Made {
            bytes: http::request("POST", "/v1/orders", &self.host, &self.headers, body.as_bytes()),
            mail: Some((tag, tick.due)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use types::order::Order;

    use super::*;
    use crate::generate::tests::nowhere;
    use crate::scenario::Mails;

    #[test]
    fn bodies_are_orders_and_the_same_for_each_retry() {
        let people = Arc::new(People::of(&Mails::default()));
        let origin = Origin::of(Instant::now());
        let orders = Orders::new(&nowhere(), Kind::Order, 7, people, origin);
        let mut lines = 0;
        for number in 0..500 {
            let tag = Tag {
                kind: Kind::Order,
                number,
            };
            let body = orders.body(tag, origin.instant);
            assert_eq!(body, orders.body(tag, origin.instant));
            let order: Order = serde_json::from_str(&body).unwrap();
            assert_eq!(order.order_id.to_string(), format!("load-{tag}"));
            assert_eq!(Tag::of_recipient(&order.customer.email.to_string()), Some(tag));
            let sum: i64 = order
                .items
                .iter()
                .map(|item| i64::from(item.quantity) * item.unit_price)
                .sum();
            assert_eq!(order.total.amount, sum);
            lines += order.items.len();
        }
        assert!((1300..1700).contains(&lines), "{lines}");
    }
}
