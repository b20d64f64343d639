//! What mails say: links and pixels by consent, footers, templates that stand in for each other, and the same bytes for
//! the same mail.

use mta::submit::ComposeError;
use serde_json::json;
use types::event::Tracking;
use types::order::Stream;
use types::token::{TokenKeys, VerpKey};

use crate::fixture::{Maker, catalogue, message_mail, offer_mail, order, shop};

const HOST: &str = "mail.example";

/// Returns the tokens of links of a kind (`c`, `o`, `u`) in the rendered HTML, in the order shown, each once.
fn tokens(html: &str, kind: &str) -> Vec<String> {
    let mut found: Vec<String> = html
        .split(&format!("https://{HOST}/{kind}/"))
        .skip(1)
        .map(|rest| rest.split(['"', '.']).next().unwrap().to_owned())
        .collect();
    found.dedup();
    found
}

#[test]
fn with_consent_links_name_the_message() {
    let mut maker = Maker::new();
    let keys = TokenKeys::new(&[(1, [7; 32])]);
    let mail = offer_mail(&catalogue(shop(), &[]), order(), 3);
    maker.composer.render(&mail).unwrap();
    let html = maker.composer.rendered().html.clone();
    let clicks = tokens(&html, "c");
    assert_eq!(clicks.len(), 3);
    for ((slot, click), offer) in (0..).zip(&clicks).zip(&mail.plan.offers) {
        let click = keys.verify_click(HOST, click).unwrap();
        assert_eq!((click.message, click.partition), (mail.plan.message, mail.partition));
        assert_eq!(
            (click.campaign, click.shop, click.slot),
            (offer.campaign, mail.shop, slot)
        );
    }
    let pixel = keys.verify_pixel(HOST, &tokens(&html, "o")[0]).unwrap();
    assert_eq!(pixel.message, mail.plan.message);
    let unsubscribe = keys.verify_unsubscribe(HOST, &tokens(&html, "u")[0]).unwrap();
    assert_eq!((unsubscribe.message, unsubscribe.shop), (mail.plan.message, mail.shop));
}

#[test]
fn without_consent_only_the_unsubscribe_link_names_the_message() {
    let mut maker = Maker::new();
    let keys = TokenKeys::new(&[(1, [7; 32])]);
    let mut mail = offer_mail(&catalogue(shop(), &[]), order(), 2);
    mail.plan.tracking = Tracking::Aggregate;
    maker.composer.render(&mail).unwrap();
    let html = maker.composer.rendered().html.clone();
    let clicks: Vec<_> = tokens(&html, "c")
        .iter()
        .map(|click| keys.verify_aggregate_click(HOST, click).unwrap())
        .collect();
    assert_eq!(clicks.iter().map(|click| click.slot).collect::<Vec<_>>(), [0, 1]);
    keys.verify_aggregate_pixel(HOST, &tokens(&html, "o")[0]).unwrap();
    keys.verify_unsubscribe(HOST, &tokens(&html, "u")[0]).unwrap();

    // The same for everyone: another person's mail of that day has the same links.
    let mut other = order();
    other["customer"]["email"] = json!("anna@example.it");
    let mut other = offer_mail(&mail.catalogue, other, 2);
    other.plan.tracking = Tracking::Aggregate;
    other.plan.message = types::id::MessageId::from_raw(99);
    maker.composer.render(&other).unwrap();
    assert_eq!(tokens(&maker.composer.rendered().html, "c"), tokens(&html, "c"));
    assert_ne!(tokens(&maker.composer.rendered().html, "u"), tokens(&html, "u"));
}

#[test]
fn a_plain_message_without_consent_has_no_pixel() {
    let mut maker = Maker::new();
    let request = json!({
        "to": {"email": "a@example.it"},
        "body": {"content": {"subject": "Ciao", "html": "<html><body><p>Spedito</p></body></html>"}},
    });
    let mut mail = message_mail(&catalogue(shop(), &[]), request);
    mail.plan.tracking = Tracking::Aggregate;
    maker.composer.render(&mail).unwrap();
    let rendered = maker.composer.rendered();
    assert_eq!(rendered.html, "<html><body><p>Spedito</p></body></html>");
    assert_eq!(rendered.text, "Spedito\n");
    mail.plan.tracking = Tracking::Individual;
    maker.composer.render(&mail).unwrap();
    assert!(maker.composer.rendered().html.contains("https://mail.example/o/"));
}

#[test]
fn promotional_messages_show_how_to_stop_them() {
    let mut maker = Maker::new();
    let content = json!({"content": {"subject": "Saldi", "text": "Saldi!", "html": "<body>Saldi!</body>"}});
    let own = json!({"template": {"id": "sale"}});
    let template = json!({"kind": "message", "sources": {"it": {
        "subject": "Saldi", "html": "<a href=\"{{ unsubscribe_url }}\">basta</a>", "text": "{{ unsubscribe_url }}",
    }}});
    let catalogue = catalogue(shop(), &[("sale", template)]);
    for (body, shows_address) in [(content, true), (own, false)] {
        let mail = message_mail(
            &catalogue,
            json!({"to": {"email": "a@example.it"}, "stream": "promotional", "body": body}),
        );
        assert_eq!(mail.plan.stream, Stream::Promotional);
        maker.composer.render(&mail).unwrap();
        let rendered = maker.composer.rendered();
        for part in [&rendered.html, &rendered.text] {
            assert_eq!(part.matches("https://mail.example/u/").count(), 1, "{part}");
            assert_eq!(part.contains("Via Garibaldi 12"), shows_address, "{part}");
        }
    }
}

#[test]
fn a_shop_s_own_offer_template_is_used_and_the_built_in_stands_in_for_a_failing_one() {
    let mut maker = Maker::new();
    let mut shop = shop();
    shop["offer_template"] = json!("mine");
    let template = |html: &str| json!({"kind": "offer", "sources": {"en": {"subject": "Mine", "html": html, "text": "{{ unsubscribe_url }}"}}});
    let good = catalogue(
        shop.clone(),
        &[("mine", template("<p>{{ order.id }} {{ unsubscribe_url }}</p>"))],
    );
    maker.composer.render(&offer_mail(&good, order(), 1)).unwrap();
    assert!(maker.composer.rendered().html.starts_with("<p>100045 https://"));
    assert_eq!(maker.composer.rendered().subject, "Mine");

    // Another version of the catalogue, where the template fails, and one where it is missing.
    for templates in [
        &[
            ("mine", template("{{ nothing }}")),
            ("mine", template("{{ nothing.here }}")),
        ][..],
        &[],
    ] {
        let bad = catalogue(shop.clone(), templates);
        maker.composer.render(&offer_mail(&bad, order(), 1)).unwrap();
        assert!(maker.composer.rendered().html.contains("Via Garibaldi 12"));
    }
}

#[test]
fn what_cannot_be_made_is_said() {
    let mut maker = Maker::new();
    let plain = json!({"to": {"email": "a@example.it"}, "body": {"template": {"id": "none"}}});
    let catalogue = catalogue(shop(), &[]);
    let error = maker.composer.render(&message_mail(&catalogue, plain)).unwrap_err();
    assert!(matches!(error, ComposeError::NoTemplate(_)), "{error}");

    let error = maker.composer.render(&offer_mail(&catalogue, order(), 4)).unwrap_err();
    assert_eq!(error.to_string(), "campaign number 4 has no creative in it");

    let mut mail = offer_mail(&catalogue, order(), 1);
    mail.shop = types::id::ShopNumber(9);
    assert!(matches!(maker.composer.render(&mail), Err(ComposeError::NoShop)));
}

#[test]
fn the_same_mail_is_the_same_bytes() {
    let mut maker = Maker::new();
    let mail = offer_mail(&catalogue(shop(), &[]), order(), 3);
    let first = maker.make(&mail);
    maker.make(&offer_mail(&catalogue(shop(), &[]), order(), 1));
    let again = maker.make(&mail);
    assert_eq!(first.bytes, again.bytes);
    let verp = VerpKey::new(&[8; 32]);
    assert_eq!(
        verp.verify(&first.reverse_path),
        Some((mail.plan.message, mail.partition))
    );
    assert_eq!(first.recipient.as_str(), "mario@example.it");
}
