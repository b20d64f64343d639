//! What the demo's network consists of: two shops that publish offers, three that advertise, and one order.

use serde_json::{Value, json};
use types::time::Timestamp;

/// The buyer whose mail the demo follows.
pub const BUYER: &str = "mario@example.it";
/// The domain that the demo's DNS sends to the demo's sink.
pub const BUYER_DOMAIN: &str = "example.it";
/// The shop that the order was placed with.
pub const SHOP: &str = "scarpe-roma";
/// The shop's own number of the order.
pub const ORDER: &str = "100045";
/// The host of tracking links. The demo's mails point there; its tracker answers on loopback.
pub const TRACKING_HOST: &str = "t.offerte.example";

/// Returns each shop's id and document.
pub fn shops() -> Vec<(&'static str, Value)> {
    vec![
        (
            SHOP,
            shop(
                "Scarpe Roma",
                "scarpe-roma.example",
                "#b3261e",
                "Via del Corso 12, 00186 Roma, Italia",
                &["shoes"],
            ),
        ),
        (
            "libreria-po",
            shop(
                "Libreria Po",
                "libreria-po.example",
                "#1f5f8b",
                "Via Po 7, 10124 Torino, Italia",
                &["books"],
            ),
        ),
        (
            "caffe-etna",
            shop(
                "Caffè Etna",
                "caffe-etna.example",
                "#5a3825",
                "Via Etnea 201, 95131 Catania, Italia",
                &["food"],
            ),
        ),
        (
            "orto-vivo",
            shop(
                "Orto Vivo",
                "orto-vivo.example",
                "#2e7d32",
                "Strada Maggiore 3, 43121 Parma, Italia",
                &["garden"],
            ),
        ),
        (
            "luce-casa",
            shop(
                "Luce & Casa",
                "luce-casa.example",
                "#6a4c93",
                "Corso Buenos Aires 33, 20124 Milano, Italia",
                &["home"],
            ),
        ),
    ]
}

fn shop(name: &str, domain: &str, color: &str, address: &str, categories: &[&str]) -> Value {
    json!({
        "name": name,
        "url": format!("https://www.{domain}/"),
        "promotional": {
            "name": name,
            "address": format!("offerte@news.{domain}"),
            "reply_to": format!("clienti@{domain}"),
            "dkim": "rsa_and_ed25519",
        },
        "transactional": { "address": format!("ordini@mail.{domain}") },
        "language": "it",
        "country": "IT",
        "categories": categories,
        "offers_max": 3,
        "postal_address": address,
        "privacy_url": format!("https://www.{domain}/privacy"),
        "color": color,
    })
}

/// Returns each campaign's id and document.
pub fn campaigns() -> Vec<(&'static str, Value)> {
    vec![
        (
            "caffe-etna-benvenuto",
            campaign(
                "caffe-etna",
                "food",
                90,
                120,
                "https://www.caffe-etna.example/benvenuto?c={click_id}&codice={coupon}",
                &json!({
                    "it": { "title": "Il caffè dell'Etna a casa tua", "text": "Tre miscele tostate a legna, macinate il giorno della spedizione. Il primo pacco costa 5 € in meno.", "button": "Scegli la miscela", "coupon": "ETNA5" },
                    "en": { "title": "Etna coffee at your door", "text": "Three wood-roasted blends, ground the day they ship. € 5 off your first box.", "button": "Choose a blend", "coupon": "ETNA5" },
                }),
            ),
        ),
        (
            "orto-vivo-balcone",
            campaign(
                "orto-vivo",
                "garden",
                70,
                150,
                "https://www.orto-vivo.example/balcone?c={click_id}",
                &json!({
                    "it": { "title": "Un orto sul balcone in dieci minuti", "text": "Cassetta, terra e dodici piantine di stagione, pronte da annaffiare. Spedizione compresa.", "button": "Guarda il kit" },
                    "de": { "title": "Ein Balkongarten in zehn Minuten", "text": "Kiste, Erde und zwölf Setzlinge der Saison, bereit zum Gießen. Versand inklusive.", "button": "Set ansehen" },
                }),
            ),
        ),
        (
            "luce-casa-lampade",
            campaign(
                "luce-casa",
                "home",
                110,
                80,
                "https://www.luce-casa.example/lampade?c={click_id}",
                &json!({
                    "it": { "title": "Lampade disegnate a Milano", "text": "Vetro soffiato e ottone, montate a mano. Fino a domenica la consegna è gratuita.", "button": "Vedi la collezione" },
                    "fr": { "title": "Des lampes dessinées à Milan", "text": "Verre soufflé et laiton, montées à la main. Livraison offerte jusqu'à dimanche.", "button": "Voir la collection" },
                }),
            ),
        ),
    ]
}

fn campaign(
    advertiser: &str,
    category: &str,
    price: i64,
    lead_rate: u32,
    landing_url: &str,
    creatives: &Value,
) -> Value {
    json!({
        "advertiser": advertiser,
        "countries": ["IT"],
        "categories": [category],
        "price": { "amount": price, "currency": "EUR" },
        "budget": 500_000,
        "lead_rate_per_10000": lead_rate,
        "landing_url": landing_url,
        "creatives": creatives,
    })
}

/// Returns the order, placed at `now`.
pub fn order(order_id: &str, email: &str, now: Timestamp) -> Value {
    json!({
        "order_id": order_id,
        "placed_at": now.to_string(),
        "status": "confirmed",
        "customer": { "email": email, "name": "Mario Rossi", "locale": "it-IT", "country": "IT", "time_zone": "Europe/Rome" },
        "consent": {
            "marketing": { "granted": true, "at": now.to_string(), "text": "v3", "source": "checkout" },
            "tracking": true,
            "sharing": false,
        },
        "total": { "amount": 5990, "currency": "EUR" },
        "items": [{ "sku": "A1", "title": "Scarpe da corsa", "quantity": 1, "unit_price": 5990, "categories": ["shoes"] }],
    })
}
