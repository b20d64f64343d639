//! What is signed verifies, and no longer once it was touched.

use std::sync::Arc;

use data_encoding::BASE64;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator, Parameters, ResolverCache, Txt};
use mta::submit::dkim::{self, Algorithm, Scratch, Terms, generate_keys};
use serde_json::{Value, json};

use crate::fixture::{DATE, Maker, catalogue, message_mail, offer_mail, order, shop};
use crate::python;

const DOMAIN: &str = "news.rossi.example";

fn case(message: &[u8], records: &Value) -> Value {
    json!({"message": BASE64.encode(message), "records": records, "now": DATE.as_millis() / 1000 + 60})
}

/// Asks dkimpy; the names of `h=` per signature, or `null`.
fn verdicts(cases: Vec<Value>) -> Vec<Vec<Value>> {
    let answers = python::run("dkim_verify.py", &Value::from(cases));
    serde_json::from_value(answers).unwrap()
}

/// A message of a body, signed with both algorithms, and its records.
fn signed(body: &[u8]) -> (Vec<u8>, Value) {
    let keys = generate_keys(DOMAIN, [("s1", Algorithm::Rsa), ("s1e", Algorithm::Ed25519)]).unwrap();
    let records = keys
        .iter()
        .map(|key| (key.record.name.clone(), Value::from(key.record.value.clone())))
        .collect();
    (
        sign_with(&keys.iter().map(|key| &key.key).collect::<Vec<_>>(), body),
        records,
    )
}

fn sign_with(keys: &[&dkim::SigningKey], body: &[u8]) -> Vec<u8> {
    let header = b"From: a@news.rossi.example\r\nTo: b@example.it\r\nSubject: x\r\n  y \t z\r\n\
        Date: Sat, 21 Nov 2026 20:15:01 +0000\r\nMessage-ID: <1@news.rossi.example>\r\nMIME-Version: 1.0\r\n";
    let terms = Terms {
        domain: DOMAIN,
        signed_at: DATE.as_millis() / 1000,
        // mail-auth looks at the real clock: the signature must not have ended.
        expires_at: 4_000_000_000,
    };
    let mut message = Vec::new();
    dkim::sign(header, body, &terms, keys, &mut Scratch::default(), &mut message).unwrap();
    message.extend_from_slice(header);
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(body);
    message
}

/// Bodies in which canonicalisation can go wrong.
const BODIES: [&[u8]; 16] = [
    b"",
    b"\r\n",
    b"\r\n\r\n\r\n",
    b" \r\n",
    b"\t \r\n \r\n",
    b"hello\r\n",
    b"hello\r\n\r\n",
    b"hello\r\n  \r\n",
    b"hello\r\n\t\r\n \r\n\r\n",
    b"hello  world \t again \r\nnext\t\r\n",
    b" leading\r\n\tleading\r\n",
    b"\r\n\r\nlate start\r\n",
    b"a\r\n\r\n\r\nb\r\n",
    b"gr\xc3\xbc\xc3\x9fe \xe6\xb3\xa8\xe6\x96\x87\r\n",
    b"=2E\r\n.\r\n..\r\n",
    b"v=1; b=abc\r\nDKIM-Signature: x\r\n",
];

#[test]
fn dkimpy_verifies_every_body_with_both_algorithms() {
    let keys = generate_keys(DOMAIN, [("s1", Algorithm::Rsa), ("s1e", Algorithm::Ed25519)]).unwrap();
    let records: Value = keys
        .iter()
        .map(|key| (key.record.name.clone(), Value::from(key.record.value.clone())))
        .collect();
    let keys: Vec<_> = keys.iter().map(|key| &key.key).collect();
    let cases = BODIES
        .iter()
        .map(|body| case(&sign_with(&keys, body), &records))
        .collect();
    for (body, verdict) in BODIES.iter().zip(verdicts(cases)) {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(verdict.len(), 2);
        assert!(verdict.iter().all(Value::is_array), "{shown:?}: {verdict:?}");
    }
}

#[test]
fn real_mails_verify_and_cover_what_they_must() {
    let mut maker = Maker::new();
    let mut cases = Vec::new();
    for dkim in ["rsa", "rsa_and_ed25519", "ed25519"] {
        let mut shop = shop();
        shop["promotional"]["dkim"] = json!(dkim);
        let message = maker.make(&offer_mail(&catalogue(shop, &[]), order(), 3));
        cases.push(case(&message.bytes, &maker.records(DOMAIN)));
    }
    let verdicts = verdicts(cases);
    assert_eq!(verdicts.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1]);
    for names in verdicts.iter().flatten() {
        let names: Vec<&str> = names
            .as_array()
            .expect("verifies")
            .iter()
            .map(|name| name.as_str().unwrap())
            .collect();
        // Each present field once more than it occurs, so that a second one breaks the signature; RFC 8058 §4.
        for field in [
            "from",
            "to",
            "subject",
            "date",
            "message-id",
            "reply-to",
            "list-unsubscribe",
            "list-unsubscribe-post",
        ] {
            assert_eq!(
                names.iter().filter(|name| **name == field).count(),
                2,
                "{field} in {names:?}"
            );
        }
    }
}

#[test]
fn a_touched_mail_no_longer_verifies() {
    let (message, records) = signed(b"hello\r\n");
    let appended = [&message[..], b"x\r\n"].concat();
    let second = |field: &str| [field.as_bytes(), &message[..]].concat();
    let text = String::from_utf8(message.clone()).unwrap();
    let cases = vec![
        case(&message, &records),
        case(&appended, &records),
        case(&second("From: evil@evil.example\r\n"), &records),
        case(&second("Subject: other\r\n"), &records),
        case(&second("Reply-To: evil@evil.example\r\n"), &records),
        case(&second("List-Unsubscribe: <https://evil.example>\r\n"), &records),
        case(text.replace("Subject: x", "Subject: z").as_bytes(), &records),
        case(text.replace("hello", "hullo").as_bytes(), &records),
        case(text.replace("; x=", "; x=9").as_bytes(), &records),
    ];
    let mut verdicts = verdicts(cases).into_iter();
    assert!(verdicts.next().unwrap().iter().all(Value::is_array));
    for (index, verdict) in verdicts.enumerate() {
        assert!(verdict.iter().all(Value::is_null), "case {}: {verdict:?}", index + 1);
    }
}

#[test]
fn blank_space_that_relays_change_does_not_matter() {
    let (message, records) = signed(b"hello  world\r\n\r\n");
    let text = String::from_utf8(message).unwrap();
    let relaxed = text
        .replace("Subject: x\r\n  y \t z", "subject:  x y z")
        .replace("hello  world\r\n\r\n", "hello world  \r\n");
    assert_ne!(text, relaxed);
    let verdict = &verdicts(vec![case(relaxed.as_bytes(), &records)])[0];
    assert!(verdict.iter().all(Value::is_array), "{verdict:?}");
}

#[tokio::test]
async fn mail_auth_verifies_too() {
    let mut maker = Maker::new();
    let mut shop = shop();
    shop["promotional"]["dkim"] = json!("rsa_and_ed25519");
    shop["transactional"]["dkim"] = json!("rsa_and_ed25519");
    let catalogue = catalogue(shop, &[]);
    let request = json!({"to": {"email": "a@example.it"}, "body": {"content": {"subject": "Ciao", "text": "x\n\n"}}});
    let mut messages = vec![
        (
            "news.rossi.example",
            maker.make(&offer_mail(&catalogue, order(), 2)).bytes.to_vec(),
        ),
        (
            "rossi.example",
            maker.make(&message_mail(&catalogue, request)).bytes.to_vec(),
        ),
    ];
    // mail-auth 0.13.3 errs on bodies that end in lines of blanks alone; dkimpy decides there.
    let keys = generate_keys(DOMAIN, [("b1", Algorithm::Rsa), ("b1e", Algorithm::Ed25519)]).unwrap();
    let pairs: Vec<_> = keys.iter().map(|key| &key.key).collect();
    let blank_end = |body: &[u8]| {
        let text = String::from_utf8_lossy(body);
        text.lines()
            .rev()
            .take_while(|line| line.trim().is_empty())
            .any(|line| !line.is_empty())
    };
    for body in BODIES.iter().filter(|body| !blank_end(body)) {
        messages.push((DOMAIN, sign_with(&pairs, body)));
    }
    let mut records = maker.records(DOMAIN);
    let others = maker.records("rossi.example");
    records
        .as_object_mut()
        .unwrap()
        .extend(others.as_object().unwrap().clone());
    records.as_object_mut().unwrap().extend(
        keys.iter()
            .map(|key| (key.record.name.clone(), Value::from(key.record.value.clone()))),
    );
    let records = Records(&records);
    let resolver = MessageAuthenticator::new_cloudflare().unwrap();
    for (domain, message) in &messages {
        let parsed = AuthenticatedMessage::parse(message).unwrap();
        let results = resolver
            .verify_dkim(Parameters::new(&parsed).with_txt_cache(&records))
            .await;
        assert_eq!(results.len(), 2, "{domain}");
        for result in results {
            assert_eq!(
                result.result(),
                &DkimResult::Pass,
                "{}",
                String::from_utf8_lossy(message)
            );
        }
    }
}

/// DNS: the records by name, and nothing else. It answers as a cache, so no look-up goes out.
struct Records<'a>(&'a Value);

impl ResolverCache<Box<str>, Txt> for Records<'_> {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        // The name's type is hidden by the trait: it is found by comparing with each name there is.
        let (_, value) = self.0.as_object().unwrap().iter().find(|(own, _)| {
            let own: Box<str> = format!("{own}.").into();
            std::borrow::Borrow::<Q>::borrow(&own) == name
        })?;
        Some(Txt::DomainKey(Arc::new(
            DomainKey::parse(value.as_str()?.as_bytes()).unwrap(),
        )))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, name: Box<str>, _: Txt, _: std::time::Instant) {
        panic!("{name} was looked up in DNS");
    }
}
