//! Reminders of carts: what they say in each language, where they lead, and what a copy or a test for the shop leaves out;
//! and links to the shop's own site in what the shop writes itself.

use mta::submit::SignedMessage;
use policy::template::Rendered;
use serde_json::{Value, json};
use types::cart::Reminder;
use types::event::{ReminderPurpose, Tracking};
use types::id::CampaignNumber;
use types::locale::Language;
use types::order::Body;
use types::port::{Mail, Request};
use types::token::TokenKeys;

use crate::fixture::{Maker, cart_mail, catalogue, message_mail, shop};

fn render(mail: &Mail) -> Rendered {
    let mut maker = Maker::new();
    maker.composer.render(mail).unwrap();
    maker.composer.rendered().clone()
}

fn reminder(reminder: Reminder, language: Language, purpose: ReminderPurpose) -> Mail {
    cart_mail(&catalogue(shop(), &[]), reminder, language, purpose)
}

/// Returns the value of a parameter, percent-decoded.
fn parameter(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    let value = query
        .split('&')
        .find_map(|part| part.strip_prefix(&format!("{name}=")))
        .unwrap();
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [byte, after @ ..] = rest {
        if *byte == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns the link that follows these words in the text.
fn link_after<'a>(text: &'a str, words: &str) -> &'a str {
    let (_, after) = text.split_once(words).unwrap();
    after.lines().find(|line| line.starts_with("https://")).unwrap()
}

#[test]
fn both_reminders_in_every_language() {
    for language in Language::ALL {
        for which in Reminder::ALL {
            let mut mail = reminder(which, language, ReminderPurpose::Buyer);
            // Without the links, whose tokens are tested below.
            mail.plan.tracking = Tracking::Aggregate;
            let rendered = render(&mail);
            let name = format!("{}_reminder_{}", which.as_str(), language.code());
            let text = format!("Subject: {}\n\n{}", rendered.subject, rendered.text);
            insta::assert_snapshot!(name.clone(), hide_token(&text));
            for must in [
                "Mario Bianchi",
                "Calze di lino",
                "337,20",
                "Via Garibaldi 12",
                "https://rossi.example/privacy?a=1&",
            ] {
                let must = if language == Language::En {
                    must.replace("337,20", "337.20")
                } else {
                    must.to_owned()
                };
                assert!(rendered.html.contains(&must), "{name} lacks {must}");
            }
            assert!(!rendered.html.contains("Borsa"), "{name}: six lines, and how many more");
            assert_eq!(rendered.html.contains("TORNA10"), which == Reminder::Second, "{name}");
            assert!(!rendered.html.contains("[[") && !rendered.html.contains("{{") && !rendered.html.contains("{%"));
        }
    }
}

#[test]
fn the_second_reminder_s_html() {
    let mut mail = reminder(Reminder::Second, Language::It, ReminderPurpose::Buyer);
    mail.plan.tracking = Tracking::Aggregate;
    insta::assert_snapshot!(hide_token(&render(&mail).html));
}

/// Puts a word where the unsubscribe link's token is.
fn hide_token(text: &str) -> String {
    let mut parts = text.split("https://mail.example/u/");
    let mut hidden = parts.next().unwrap().to_owned();
    for rest in parts {
        let end = rest.find(['"', '\n']).unwrap();
        hidden.push_str("https://mail.example/u/TOKEN");
        hidden.push_str(&rest[end..]);
    }
    hidden
}

#[test]
fn the_button_leads_by_the_tracker_and_the_page_learns_which_mail_it_was() {
    let mail = reminder(Reminder::First, Language::It, ReminderPurpose::Buyer);
    let rendered = render(&mail);
    let link = link_after(&rendered.text, "Torna al carrello");
    let token = link
        .strip_prefix("https://mail.example/c/")
        .unwrap()
        .split('?')
        .next()
        .unwrap();
    let click = TokenKeys::new(&[(1, [7; 32])])
        .verify_click("mail.example", token)
        .unwrap();
    assert_eq!(
        (click.message, click.partition, click.shop),
        (mail.plan.message, mail.partition, mail.shop)
    );
    assert_eq!(click.campaign, CampaignNumber::NONE);

    let page = parameter(link, "to");
    let id = types::id::PublicId {
        partition: mail.partition,
        event: mail.plan.message.event(),
    };
    assert_eq!(
        page,
        format!("https://www.rossi.example/carrello?id=77&k=a%2Fb&recovery={id}#top")
    );
    assert!(
        mail.catalogue
            .shop_by_number(mail.shop)
            .unwrap()
            .spec
            .own_page(&page)
            .is_some()
    );
    assert!(
        rendered.html.contains(&format!("<a href=\"{link}\"")),
        "the button is the same link"
    );
    assert!(rendered.html.contains("https://mail.example/o/"), "the pixel");
}

#[test]
fn without_consent_to_tracking_the_button_leads_straight_to_the_cart() {
    let mut mail = reminder(Reminder::First, Language::It, ReminderPurpose::Buyer);
    mail.plan.tracking = Tracking::Aggregate;
    let rendered = render(&mail);
    let link = link_after(&rendered.text, "Torna al carrello");
    assert!(
        link.starts_with("https://www.rossi.example/carrello?id=77&k=a%2Fb&recovery="),
        "{link}"
    );
    for part in [&rendered.html, &rendered.text] {
        assert!(!part.contains("https://mail.example/o/") && !part.contains("https://mail.example/c/"));
    }
}

#[test]
fn a_cart_page_elsewhere_is_not_followed() {
    let mut mail = reminder(Reminder::First, Language::It, ReminderPurpose::Buyer);
    if let Request::Message(request) = &mut mail.request {
        let request = std::sync::Arc::make_mut(request);
        if let Body::Cart(cart) = &mut request.body {
            cart.restore_url = "https://checkout.example/c/77".try_into().unwrap();
        }
    }
    let rendered = render(&mail);
    let link = link_after(&rendered.text, "Torna al carrello");
    assert!(link.starts_with("https://checkout.example/c/77?recovery="), "{link}");
}

fn header(message: &SignedMessage) -> String {
    let text = String::from_utf8(message.bytes.to_vec()).unwrap();
    text.split_once("\r\n\r\n").unwrap().0.replace("\r\n ", " ")
}

#[test]
fn what_goes_to_the_shop_names_nobody_and_says_what_it_is() {
    let own = json!({"kind": "cart", "sources": {"it": {
        "subject": "Carrello", "html": "<body class=\"a\"><a href=\"{{ cart.url }}\">{{ buyer.name }}</a> {{ unsubscribe_url }}</body>",
        "text": "{{ cart.url }} {{ buyer.name }} {{ unsubscribe_url }}",
    }}});
    let catalogue = catalogue(shop(), &[("own", own)]);
    for (purpose, words) in [
        (ReminderPurpose::Copy, "Copia per il negozio"),
        (ReminderPurpose::Test, "Invio di prova per il negozio"),
    ] {
        for template in [None, Some("own")] {
            let mut mail = cart_mail(&catalogue, Reminder::First, Language::It, purpose);
            if let Request::Message(request) = &mut mail.request
                && let Body::Cart(cart) = &mut std::sync::Arc::make_mut(request).body
            {
                cart.template = template.map(|id| id.try_into().unwrap());
            }
            let mut maker = Maker::new();
            let message = maker.make(&mail);
            let rendered = maker.composer.rendered();
            for part in [&rendered.html, &rendered.text] {
                assert_eq!(part.matches(words).count(), 1, "{part}");
                assert!(part.contains("Mario Bianchi"), "{part}");
                assert!(
                    !part.contains("https://mail.example/") && !part.contains("recovery="),
                    "{part}"
                );
                assert!(part.contains("https://www.rossi.example/carrello?id=77&"), "{part}");
            }
            let header = header(&message);
            assert!(!header.contains("List-Unsubscribe"), "{header}");
            assert!(header.contains("\r\nTo: <negozio@rossi.example>\r\n"), "{header}");
            assert_eq!(message.recipient.as_str(), "negozio@rossi.example");
        }
    }
    let mail = cart_mail(&catalogue, Reminder::First, Language::It, ReminderPurpose::Buyer);
    let message = Maker::new().make(&mail);
    assert!(header(&message).contains("List-Unsubscribe: <https://mail.example/u/"));
}

#[test]
fn a_shop_s_own_template_is_used_and_the_built_in_stands_in_for_a_missing_one() {
    let own = json!({"kind": "cart", "sources": {"it": {
        "subject": "{{ cart.reminder }}", "html": "<a href=\"{{ cart.url }}\">{{ coupon.code }} {{ coupon.until }}</a>",
        "text": "{% for item in cart.items %}{{ item.quantity }}x{{ item.price }}={{ item.amount }};{% endfor %}+{{ cart.more }}",
    }}});
    let catalogue = catalogue(shop(), &[("own", own)]);
    for (id, is_own) in [("own", true), ("other", false)] {
        let mut mail = cart_mail(&catalogue, Reminder::Second, Language::It, ReminderPurpose::Buyer);
        if let Request::Message(request) = &mut mail.request
            && let Body::Cart(cart) = &mut std::sync::Arc::make_mut(request).body
        {
            cart.template = Some(id.try_into().unwrap());
        }
        let rendered = render(&mail);
        assert_eq!(rendered.subject == "second", is_own, "{}", rendered.subject);
        assert!(
            rendered.html.contains("TORNA10") && rendered.html.contains("28 novembre 2026"),
            "{}",
            rendered.html
        );
        // The way out is there, whoever wrote the mail.
        assert_eq!(
            rendered.html.matches("https://mail.example/u/").count(),
            1,
            "{}",
            rendered.html
        );
        if is_own {
            assert!(
                rendered
                    .text
                    .starts_with("1x129,00\u{a0}€=129,00\u{a0}€;3x9,50\u{a0}€=28,50\u{a0}€;"),
                "{}",
                rendered.text
            );
            assert!(rendered.text.contains(";+2"));
        }
    }
}

fn tracked(page: &str, tracking: Tracking) -> Value {
    let template = json!({"kind": "message", "sources": {"it": {
        "subject": "Ciao", "html": "<a href=\"{{ track(vars.page) }}\">vai</a>", "text": "{{ track(vars.page) }}",
    }}});
    let mut mail = message_mail(
        &catalogue(shop(), &[("own", template)]),
        json!({"to": {"email": "a@example.it"}, "body": {"template": {"id": "own", "vars": {"page": page}}}}),
    );
    mail.plan.tracking = tracking;
    let rendered = render(&mail);
    json!([rendered.html.split('"').nth(1).unwrap(), rendered.text])
}

#[test]
fn templates_of_messages_follow_links_to_the_shop_s_own_site() {
    let page = "https://rossi.example/saldi?a=1";
    let links = tracked(page, Tracking::Individual);
    let link = links[1].as_str().unwrap();
    assert!(link.starts_with("https://mail.example/c/"), "{link}");
    assert_eq!(parameter(link, "to"), page);
    assert_eq!(links[0], links[1]);
    for (page, tracking) in [
        (page, Tracking::Aggregate),
        ("https://altro.example/", Tracking::Individual),
        ("https://rossi.example.altro.example/", Tracking::Individual),
        ("http://rossi.example/", Tracking::Individual),
        ("mailto:ciao@rossi.example", Tracking::Individual),
    ] {
        assert_eq!(tracked(page, tracking), json!([page, page]));
    }
}
