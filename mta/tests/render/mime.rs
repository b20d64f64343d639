//! Mails as Python's email package reads them equal what was meant.

use data_encoding::BASE64;
use mta::submit::mime::{Content, Fields, body, header};
use serde_json::{Value, json};
use types::address::EmailAddress;

use crate::fixture::{DATE, Maker, catalogue, message_mail, offer_mail, order, shop};
use crate::python;

/// Texts in many scripts, and texts that look like mail syntax.
const LINES: [&str; 30] = [
    "Mario Rossi",
    "Rossi, Mario",
    "O'Neill \"Bob\" \\ the 1st",
    "Zoë Müller-Lüdenscheidt",
    "Łukasz Żółć",
    "Ελένη Παπαδοπούλου",
    "Анна Каренина",
    "יעל כהן",
    "محمد عبد الله",
    "आरती शर्मा",
    "สมชาย ใจดี",
    "山田 太郎",
    "김민준",
    "👩‍👩‍👧‍👦 family 🎁",
    "e\u{301}a\u{308} combining",
    "a",
    "x> <evil@evil.example",
    "evil@evil.example, other@evil.example",
    "group: a@b.example;",
    "=?utf-8?q?encoded?=",
    "=?utf-8?b?broken",
    "two  blanks   inside",
    "(comment) not",
    "semi;colon:colon",
    "ends with a dot.",
    "100 % = 100 %",
    "_under_scores_ and ?marks?",
    "\u{200f}right to left\u{200e}",
    "\u{feff}byte order mark",
    "tab-free but \u{a0}non-breaking",
];

/// Bodies that encodings get wrong.
const BODIES: [&str; 16] = [
    "plain\n",
    "no line end",
    "\n\nlate start\n",
    "ends with many\n\n\n\n",
    "blank at the end \nand a tab\t\n \n",
    ".\n..\n.dot\n",
    "From me to you\n>From quoted\n",
    "=3D is not =\n=\n",
    "--=_boundary\n--=_boundary--\n",
    "Zoë, Ελένη, Анна, יעל, محمد, 山田, 김민준, 🎁\n",
    "\u{0}nul\u{1}\u{1b}[1m\n",
    "\t\tindented\n",
    "a\u{2028}b\u{2029}c\u{85}d\n",
    "<p>html & text</p>\n",
    "\u{feff}bom\n",
    "x",
];

struct Meant {
    raw: Vec<u8>,
    from: String,
    to: String,
    subject: String,
    text: String,
    html: Option<String>,
}

/// Writes a message and says what was meant.
fn written(from: &str, to: &str, subject: &str, text: &str, html: Option<&str>) -> Meant {
    let (sender, recipient) = (address("a.b@news.rossi.example"), address("mario+x@example.it"));
    let fields = Fields {
        from: (from, &sender),
        to: (to, &recipient),
        reply_to: None,
        subject,
        date: DATE,
        id: "aeaaaaabbbbbcccc",
        unsubscribe: Some("https://mail.example/u/token"),
        feedback: "1:promotional:it:staffetta",
    };
    let content = html.map_or(Content::Text(text), |html| Content::Alternative { text, html });
    let mut raw = Vec::new();
    header(&fields, &content, &mut raw);
    raw.extend_from_slice(b"\r\n");
    body(fields.id, &content, &mut raw);
    Meant {
        raw,
        from: from.to_owned(),
        to: to.to_owned(),
        subject: subject.to_owned(),
        text: ended(text),
        html: html.map(ended),
    }
}

/// Text with LF line ends, the last line ended: what a message can hold.
fn ended(text: &str) -> String {
    let mut text = text.replace("\r\n", "\n").replace('\r', "\n");
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn address(text: &str) -> EmailAddress {
    EmailAddress::try_from(text).unwrap()
}

fn check(all: &[Meant]) {
    let raw: Vec<Value> = all.iter().map(|meant| BASE64.encode(&meant.raw).into()).collect();
    let read = python::run("mime_parse.py", &raw.into());
    for (meant, read) in all.iter().zip(read.as_array().unwrap()) {
        let shown = String::from_utf8_lossy(&meant.raw);
        assert_eq!(read["from"], json!([meant.from, "a.b@news.rossi.example"]), "{shown}");
        assert_eq!(read["to"], json!([meant.to, "mario+x@example.it"]), "{shown}");
        assert_eq!(read["subject"], json!(meant.subject), "{shown}");
        assert_eq!(read["text"], json!(meant.text), "{shown}");
        assert_eq!(read["html"], json!(meant.html), "{shown}");
        assert_eq!(read["date"], json!(1_795_292_101.0));
        assert_eq!(read["defects"], json!([]), "{shown}");
        check_lines(&meant.raw);
    }
}

/// RFC 5321 §4.5.3.1.6, RFC 5322 §2.1.1: ASCII, CR LF alone ends a line, header lines of 78 and body lines of 76 at most,
/// and no line that SMTP would take for the end.
fn check_lines(raw: &[u8]) {
    let text = std::str::from_utf8(raw).unwrap();
    assert!(text.is_ascii() && text.ends_with("\r\n"));
    assert_eq!(text.matches(['\r', '\n']).count(), 2 * text.matches("\r\n").count());
    let (header, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(header.lines().all(|line| line.len() <= 78), "{header}");
    assert!(
        body.lines().all(|line| line.len() <= 78 && !line.starts_with('.')),
        "{body}"
    );
}

#[test]
fn names_and_subjects_arrive_as_they_were_meant() {
    let all: Vec<Meant> = LINES
        .iter()
        .map(|line| written(line, line, line, "x\n", None))
        .collect();
    check(&all);
}

#[test]
fn texts_arrive_as_they_were_meant() {
    let all: Vec<Meant> = BODIES
        .iter()
        .flat_map(|text| {
            let crlf = text.replace('\n', "\r\n");
            let cr = text.replace('\n', "\r");
            [
                written("A", "B", "C", text, None),
                written("A", "B", "C", &crlf, Some(text)),
                written("A", "B", "C", &cr, Some(&cr)),
            ]
        })
        .collect();
    check(&all);
}

#[test]
fn ten_thousand_characters_arrive() {
    let all: Vec<Meant> = ["a", "word ", "è", "山", "🎁", "a=. ", "\"\\"]
        .iter()
        .map(|unit| {
            let long: String = unit.chars().cycle().take(9_999).chain(['.']).collect();
            written(&long, &long, &long, &long, Some(&long))
        })
        .collect();
    check(&all);
}

#[test]
fn an_offer_mail_has_the_fields_it_must() {
    let mut maker = Maker::new();
    let catalogue = catalogue(shop(), &[]);
    let offer = maker.make(&offer_mail(&catalogue, order(), 2));
    let request = json!({"to": {"email": "a@example.it"}, "body": {"content": {"subject": "Ciao", "text": "x"}}});
    let message = maker.make(&message_mail(&catalogue, request));
    check_lines(&offer.bytes);
    check_lines(&message.bytes);
    let raw = [BASE64.encode(&offer.bytes), BASE64.encode(&message.bytes)];
    let read = python::run("mime_parse.py", &json!(raw));

    let common = [
        "DKIM-Signature",
        "From",
        "To",
        "Reply-To",
        "Subject",
        "Date",
        "Message-ID",
    ];
    let one_click = ["List-Unsubscribe", "List-Unsubscribe-Post"];
    let end = ["Feedback-ID", "MIME-Version", "Content-Type"];
    assert_eq!(read[0]["fields"], json!([&common[..], &one_click, &end].concat()));
    assert_eq!(
        read[0]["from"],
        json!(["Calzature Rossi", "offerte@news.rossi.example"])
    );
    assert_eq!(read[0]["to"], json!(["Mario Bianchi", "mario@example.it"]));
    assert_eq!(read[0]["subject"], "Calzature Rossi ti ringrazia: 2 offerte per te");
    assert_eq!(read[0]["message_id"], format!("<{}@news.rossi.example>", public_id()));
    let unsubscribe = read[0]["list_unsubscribe"].as_str().unwrap().trim_start();
    assert!(
        unsubscribe.starts_with("<https://mail.example/u/") && unsubscribe.ends_with('>'),
        "{unsubscribe}"
    );
    assert!(
        read[0]["html"]
            .as_str()
            .unwrap()
            .contains(unsubscribe.trim_matches(['<', '>']))
    );
    assert!(offer.reverse_path.as_str().ends_with("@bounce.news.rossi.example"));

    let expected = ["DKIM-Signature", "From", "To", "Subject", "Date", "Message-ID"];
    assert_eq!(
        read[1]["fields"],
        json!([&expected[..], &end, &["Content-Transfer-Encoding"]].concat())
    );
    assert_eq!(read[1]["from"], json!(["Ordini Rossi", "ordini@rossi.example"]));
    assert_eq!(read[1]["text"], "x\n");
}

fn public_id() -> String {
    let mail = offer_mail(&catalogue(shop(), &[]), order(), 1);
    types::id::PublicId {
        partition: mail.partition,
        event: mail.plan.message.event(),
    }
    .to_string()
}
