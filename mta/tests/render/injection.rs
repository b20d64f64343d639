//! No value of any field makes a header field, whatever it is.

use proptest::prelude::*;
use serde_json::{Value, json};
use types::text::Line;

use crate::fixture::{Maker, Memory, catalogue, message_mail, offer_mail, order, shop};

/// Returns the names of the header fields.
fn fields(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let (header, _) = text.split_once("\r\n\r\n").unwrap();
    header
        .split("\r\n")
        .filter(|line| !line.starts_with([' ', '\t']))
        .map(|line| {
            line.split_once(':')
                .expect("every line is a field or its fold")
                .0
                .to_owned()
        })
        .collect()
}

/// Text as it may come from outside: anything a line may hold, and things that look like mail syntax.
fn line(max: usize) -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{1,40}",
        "[\\x20-\\x7e]{1,120}",
        "(=\\?utf-8\\?[qb]\\?[=a-z0-9?]{0,20}\\?= ?){1,4}",
        "[<>@,;:\"\\\\() a]{1,30}",
        "\\PC{1,4}".prop_map(|unit| unit.repeat(40)),
    ]
    .prop_map(move |text| text.chars().take(max).collect::<String>())
    .prop_filter("the API takes lines alone", |text| {
        Line::<998>::try_from(text.as_str()).is_ok()
    })
}

const OFFER: [&str; 12] = [
    "DKIM-Signature",
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "MIME-Version",
    "Content-Type",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_line_gives_the_same_fields(name in line(128), buyer in line(256), number in line(128), title in line(120)) {
        thread_local! { static KEYS: Memory = Memory::default(); }
        let mut maker = Maker::with(KEYS.with(Clone::clone));
        let mut shop = shop();
        shop["name"] = json!(name);
        shop["promotional"]["name"] = json!(name);
        shop["promotional"]["dkim"] = json!("ed25519");
        shop["transactional"]["dkim"] = json!("ed25519");
        let mut order = order();
        order["customer"]["name"] = json!(buyer);
        order["order_id"] = json!(number);
        let template = json!({"kind": "message", "sources": {"it": {
            "subject": "{{ vars.title }}", "html": "<p>{{ vars.title }}</p>", "text": "{{ vars.title }}",
        }}});
        let catalogue = catalogue(shop, &[("hello", template)]);
        let offer = maker.make(&offer_mail(&catalogue, order, 1));
        prop_assert_eq!(fields(&offer.bytes), OFFER);

        // Variables are free text: line ends in them reach the subject's template.
        let hostile = format!("{title}\r\nBcc: evil@evil.example\r\n\r\n{buyer}\n\0\u{2028}.");
        let request = |body: Value| json!({"to": {"email": "a@example.it", "name": buyer}, "body": body});
        let template = request(json!({"template": {"id": "hello", "vars": {"title": hostile}}}));
        let content = request(json!({"content": {"subject": title, "text": hostile, "html": hostile}}));
        for request in [template, content] {
            let message = maker.make(&message_mail(&catalogue, request));
            let expected: Vec<&str> =
                OFFER.into_iter().filter(|name| *name != "Reply-To" && !name.starts_with("List-")).collect();
            prop_assert_eq!(fields(&message.bytes), expected);
        }
    }
}
