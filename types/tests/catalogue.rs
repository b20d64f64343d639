//! What the catalogue makes of changes that came at once, each of which was right when it was asked for.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use types::catalogue::{CampaignSpec, Catalogue};
use types::event::CatalogueChanged;
use types::text::Slug;
use types::time::Timestamp;

fn read<T: DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).expect("the document fits")
}

fn put(catalogue: &mut Catalogue, advertiser: &str, price: i64) {
    let spec: CampaignSpec = read(json!({
        "advertiser": advertiser, "price": { "amount": price, "currency": "EUR" },
        "landing_url": "https://www.example.com/", "creatives": { "it": { "title": "T", "text": "t", "button": "b" } },
    }));
    let change = CatalogueChanged::CampaignPut {
        id: read(json!("autumn")),
        spec,
    };
    catalogue.apply(&change, Timestamp::from_millis(1_800_000_000_000));
}

#[test]
fn of_two_shops_that_put_a_campaign_at_once_the_first_one_has_it() {
    let mut catalogue = Catalogue::default();
    put(&mut catalogue, "one", 100);
    put(&mut catalogue, "two", 200);
    put(&mut catalogue, "one", 150);
    let id: Slug = read(json!("autumn"));
    let campaign = catalogue.campaign(&id).expect("it was put");
    assert_eq!(campaign.spec.advertiser.as_str(), "one");
    assert_eq!((campaign.version, campaign.spec.price.amount), (2, 150));
    assert_eq!(
        catalogue.version(),
        3,
        "every record counts, also one that changes nothing"
    );
}
