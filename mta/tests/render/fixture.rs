//! A shop with three advertisers, and the mails it causes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mta::submit::dkim::{DkimKeys, KeyStore, Selectors};
use mta::submit::{Composer, Settings, SignedMessage};
use serde_json::{Value, json};
use types::cart::{CartMail, Reminder};
use types::catalogue::{Catalogue, DkimSignatures};
use types::event::{CatalogueChanged, Offer, Origin, Plan, ReminderPurpose, Tracking};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, ShopNumber};
use types::locale::Language;
use types::order::{Body, Consent, MessageRequest, Stream};
use types::port::{Admission, Mail, Request};
use types::time::Timestamp;
use types::token::{TokenKeys, VerpKey};

/// When every mail here is dated: 2026-11-21T20:15:01Z.
pub const DATE: Timestamp = Timestamp::from_millis(1_795_292_101_000);

/// Keys in memory; made at the first use.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Keys>>);

/// Keys by domain and selector.
type Keys = HashMap<(String, String), Vec<u8>>;

impl KeyStore for Memory {
    fn load(&self, domain: &str, selector: &str) -> Result<Option<Vec<u8>>, String> {
        let keys = self.0.lock().unwrap();
        Ok(keys.get(&(domain.to_owned(), selector.to_owned())).cloned())
    }

    fn save(&self, domain: &str, selector: &str, pem: &[u8]) -> Result<(), String> {
        let mut keys = self.0.lock().unwrap();
        keys.insert((domain.to_owned(), selector.to_owned()), pem.to_vec());
        Ok(())
    }
}

/// A composer with fixed secrets and the DNS records of its keys.
pub struct Maker {
    pub composer: Composer,
    pub keys: Arc<DkimKeys>,
}

impl Maker {
    pub fn new() -> Self {
        Self::with(Memory::default())
    }

    pub fn with(store: Memory) -> Self {
        let keys = Arc::new(DkimKeys::new(store, Selectors::default()));
        let settings = Settings {
            tracking_host: "mail.example".to_owned(),
            // mail-auth looks at the real clock: signatures of the fixed date must not have ended.
            signature_life: Duration::from_hours(60 * 365 * 24),
            ..Settings::default()
        };
        let (tokens, verp) = (TokenKeys::new(&[(1, [7; 32])]), VerpKey::new(&[8; 32]));
        Self {
            composer: Composer::new(settings.into(), tokens.into(), verp.into(), Arc::clone(&keys)),
            keys,
        }
    }

    pub fn make(&mut self, mail: &Mail) -> SignedMessage {
        self.composer.render(mail).unwrap();
        self.composer.sign(mail).unwrap()
    }

    /// Returns the TXT records of a sender by name.
    pub fn records(&self, domain: &str) -> Value {
        let records = self.keys.records(domain, DkimSignatures::RsaAndEd25519).unwrap();
        records
            .into_iter()
            .map(|record| (record.name, Value::from(record.value)))
            .collect()
    }
}

/// The shop as it is put; tests change fields.
pub fn shop() -> Value {
    json!({
        "name": "Calzature Rossi", "url": "https://rossi.example/", "language": "it", "country": "IT",
        "postal_address": "Via Garibaldi 12, 50123 Firenze", "privacy_url": "https://rossi.example/privacy?a=1&b=2",
        "color": "#b3442e",
        "promotional": {"address": "offerte@news.rossi.example", "reply_to": "ciao@rossi.example"},
        "transactional": {"address": "ordini@rossi.example", "name": "Ordini Rossi"},
    })
}

/// The order as it is posted.
pub fn order() -> Value {
    json!({
        "order_id": "100045", "placed_at": "2026-11-21T20:15:00Z", "status": "confirmed",
        "customer": {"email": "mario@example.it", "name": "Mario Bianchi", "locale": "it-IT"},
        "total": {"amount": 5990, "currency": "EUR"},
    })
}

/// A catalogue of the shop (number 1), an advertiser (number 2) with three campaigns, and the shop's templates.
pub fn catalogue(shop: Value, templates: &[(&str, Value)]) -> Arc<Catalogue> {
    let mut catalogue = Catalogue::default();
    let mut put = |change| catalogue.apply(&change, DATE);
    put(CatalogueChanged::ShopPut {
        id: "rossi".try_into().unwrap(),
        spec: serde_json::from_value(shop).unwrap(),
    });
    let mut advertiser = self::shop();
    advertiser["name"] = json!("Profumeria Bella");
    put(CatalogueChanged::ShopPut {
        id: "bella".try_into().unwrap(),
        spec: serde_json::from_value(advertiser).unwrap(),
    });
    for (id, title, coupon) in [
        ("profumi", "Il 20 % sul tuo primo profumo", Some("BENVENUTO20")),
        ("caffe", "Caffè tostato ieri", None),
        ("libri", "Un libro in regalo ogni tre", Some("LIBRI3")),
    ] {
        let creative = json!({
            "title": title, "text": "Fragranze artigianali, campioncini gratuiti con ogni ordine.", "button": "Scopri",
            "image_url": format!("https://cdn.bella.example/{id}.jpg?w=1120&q=80"), "image_alt": "Flaconi", "coupon": coupon,
        });
        let creatives: serde_json::Map<String, Value> = Language::ALL
            .iter()
            .map(|language| (language.code().to_owned(), creative.clone()))
            .collect();
        let spec = json!({
            "advertiser": "bella", "price": {"amount": 150, "currency": "EUR"},
            "landing_url": "https://bella.example/?c={click_id}", "creatives": creatives,
        });
        put(CatalogueChanged::CampaignPut {
            id: id.try_into().unwrap(),
            spec: serde_json::from_value(spec).unwrap(),
        });
    }
    for (id, spec) in templates {
        put(CatalogueChanged::TemplatePut {
            shop: ShopNumber(1),
            id: (*id).try_into().unwrap(),
            spec: serde_json::from_value(spec.clone()).unwrap(),
        });
    }
    let carts = json!({"mode": "live", "languages": ["it"], "time_zone": "Europe/Rome"});
    catalogue.apply(
        &CatalogueChanged::CartsPut {
            shop: ShopNumber(1),
            spec: serde_json::from_value(carts).unwrap(),
        },
        DATE,
    );
    Arc::new(catalogue)
}

/// An offer mail with so many offers.
pub fn offer_mail(catalogue: &Arc<Catalogue>, order: Value, offers: u32) -> Mail {
    let offers = (1..=offers).map(|number| Offer {
        campaign: CampaignNumber(number),
        id: "profumi".try_into().unwrap(),
        price: serde_json::from_value(json!({"amount": 150, "currency": "EUR"})).unwrap(),
        expected_value: 1,
        propensity: 1,
        explored: false,
    });
    Mail {
        plan: plan(Stream::Promotional, offers.collect()),
        request: Request::Order(Arc::new(serde_json::from_value(order).unwrap())),
        ..mail(catalogue)
    }
}

/// A plain message, as it is posted.
pub fn message_mail(catalogue: &Arc<Catalogue>, request: Value) -> Mail {
    let request: MessageRequest = serde_json::from_value(request).unwrap();
    Mail {
        plan: plan(request.stream, Vec::new()),
        request: Request::Message(Arc::new(request)),
        ..mail(catalogue)
    }
}

/// A cart's reminder as it is decided: the second gives a code.
pub fn cart_mail(catalogue: &Arc<Catalogue>, reminder: Reminder, language: Language, purpose: ReminderPurpose) -> Mail {
    let items = [
        ("A1", "Sneaker «Firenze» in pelle, suola cucita", 1, 12_900),
        ("A2", "Calze di lino", 3, 950),
        ("A3", "Lacci cerati", 2, 350),
        ("A4", "Crema per pelle", 1, 1_290),
        ("A5", "Spazzola", 1, 1_690),
        ("A6", "Forme in cedro", 1, 3_490),
        ("A7", "Borsa", 1, 4_900),
        ("A8", "Guanti & sciarpa", 1, 5_900),
    ];
    let items = items.map(|(sku, title, quantity, unit_price)| {
        json!({"sku": sku, "title": title, "quantity": quantity, "unit_price": unit_price})
    });
    let mut cart = json!({
        "reminder": reminder, "items": items, "total": {"amount": 33_720, "currency": "EUR"},
        "restore_url": "https://www.rossi.example/carrello?id=77&k=a%2Fb#top", "touched_at": "2026-11-20T20:15:00Z",
    });
    if reminder == Reminder::Second {
        cart["coupon"] = json!({"code": "TORNA10", "worth": "10 %"});
        // In Rome it is the 28th already.
        cart["coupon_until"] = json!("2026-11-27T23:30:00Z");
    }
    let cart: CartMail = serde_json::from_value(cart).unwrap();
    let to = match purpose {
        ReminderPurpose::Buyer => json!({"email": "mario@example.it", "name": "Mario Bianchi"}),
        ReminderPurpose::Copy | ReminderPurpose::Test => {
            json!({"email": "negozio@rossi.example", "name": "Mario Bianchi"})
        }
    };
    let request = MessageRequest {
        to: serde_json::from_value(to).unwrap(),
        stream: Stream::Promotional,
        body: Body::Cart(Box::new(cart)),
        consent: Consent::default(),
        expires_at: None,
    };
    Mail {
        plan: Plan {
            language,
            ..plan(Stream::Promotional, Vec::new())
        },
        request: Request::Message(Arc::new(request)),
        origin: Some(Origin::Cart {
            cart: EventId::floor(DATE),
            reminder,
            purpose,
        }),
        ..mail(catalogue)
    }
}

fn mail(catalogue: &Arc<Catalogue>) -> Mail {
    Mail {
        partition: PartitionId::new(77).unwrap(),
        cause: EventId::floor(DATE),
        plan: plan(Stream::Promotional, Vec::new()),
        request: Request::Order(Arc::new(serde_json::from_value(order()).unwrap())),
        catalogue: Arc::clone(catalogue),
        shop: ShopNumber(1),
        accepted_at: DATE,
        origin: None,
        doubted: false,
        admission: Admission::default(),
    }
}

fn plan(stream: Stream, offers: Vec<Offer>) -> Plan {
    Plan {
        message: MessageId::new(EventId::from_raw(EventId::floor(DATE).raw() + 5)),
        stream,
        language: Language::It,
        catalogue: 1,
        date: DATE,
        expires: DATE,
        tracking: Tracking::Individual,
        offers,
        late: false,
        test: false,
        template: None,
    }
}
