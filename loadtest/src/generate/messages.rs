//! Messages as shops post them: HTML and text of the sizes that were asked for, which compress as mails do.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::Target;
use super::lane::{Made, Make, Maker};
use super::pacer::Tick;
use super::people::{self, People};
use crate::http;
use crate::ledger::{Kind, Tag};
use crate::scenario::Mails;

/// Different contents of one size.
const VARIANTS: u64 = 4;
/// The share of the bytes that is HTML; the rest is text.
const HTML_SHARE: (usize, usize) = (4, 5);

const HEAD: &str = "<!DOCTYPE html><html lang=\"it\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
    content=\"width=device-width\"><style>body{margin:0;background:#f4f4f2;font-family:Helvetica,Arial,sans-serif}td{padding:16px 24px;\
    font-size:16px;line-height:1.5;color:#222}a{color:#1f5f8b}</style></head><body><table role=\"presentation\" width=\"100%\">\n";
const CELL: (&str, &str) = (
    "<tr><td style=\"padding:16px 24px;font-size:16px;line-height:1.5;color:#222222\">",
    "</td></tr>\n",
);
const FOOT: &str = "</table></body></html>\n";
/// The prose of one cell.
const CELL_BYTES: usize = 420;

const WORDS: &[&str] = &[
    "il",
    "tuo",
    "ordine",
    "è",
    "stato",
    "affidato",
    "al",
    "corriere",
    "e",
    "arriverà",
    "nei",
    "prossimi",
    "giorni",
    "presso",
    "indirizzo",
    "che",
    "ci",
    "hai",
    "indicato",
    "puoi",
    "seguire",
    "la",
    "spedizione",
    "con",
    "numero",
    "riportato",
    "qui",
    "sotto",
    "se",
    "qualcosa",
    "non",
    "va",
    "rispondi",
    "a",
    "questa",
    "mail",
    "ti",
    "aiutiamo",
    "volentieri",
    "grazie",
    "per",
    "aver",
    "scelto",
    "nostro",
    "negozio",
    "caffè",
    "tostato",
    "a",
    "legna",
    "olio",
    "extravergine",
    "scarpe",
    "in",
    "pelle",
    "lampada",
    "ottone",
    "tappeto",
    "mano",
    "terrazza",
    "più",
    "qualità",
    "città",
    "perché",
    "così",
    "disponibile",
    "consegna",
    "gratuita",
    "reso",
    "entro",
    "trenta",
    "giorni",
    "pagamento",
    "confermato",
    "fattura",
    "allegata",
    "assistenza",
    "orario",
    "lunedì",
    "venerdì",
    "telefono",
    "catalogo",
    "novità",
    "stagione",
    "sconto",
];

/// Makes the requests of `POST /v1/messages`.
#[derive(Debug)]
pub(super) struct Messages {
    first: u32,
    people: Arc<People>,
    host: String,
    headers: String,
    /// With the sum of all weights up to each.
    sizes: Vec<(Vec<Content>, u32)>,
}

/// What a mail says, as it stands in JSON: what comes before and behind its recipient's name.
#[derive(Debug)]
struct Content {
    html: (String, String),
    text: String,
}

impl Messages {
    pub(super) fn new(target: &Target, first: u32, people: Arc<People>, mails: &Mails) -> Self {
        let mut sum = 0;
        let sizes = mails.bytes.iter().map(|(bytes, weight)| {
            sum += weight;
            let variants =
                (0..VARIANTS).map(|variant| Content::of(usize::try_from(*bytes).unwrap_or_default(), variant));
            (variants.collect(), sum)
        });
        Self {
            first,
            people,
            host: target.addresses.api.to_string(),
            headers: http::json_headers(&target.key),
            sizes: sizes.collect(),
        }
    }

    fn body(&self, tag: Tag) -> Option<String> {
        let mut dice = people::dice(tag, 2);
        let (first, last) = people::name(&mut dice);
        let drawn = dice.random_range(0..self.sizes.last()?.1.max(1));
        let (variants, _) = self.sizes.iter().find(|(_, upto)| drawn < *upto)?;
        let Content { html, text } = variants.get(dice.random_range(0..variants.len()))?;
        Some(format!(
            r#"{{"to":{{"email":"{email}","name":"{first} {last}","locale":"it-IT"}},"stream":"transactional","body":{{"content":{{"subject":"{first}, il tuo ordine {tag} è in viaggio","html":"{before}Ciao {first}, {behind}","text":"Ciao {first}, {text}"}}}}}}"#,
            email = self.people.address(tag),
            before = html.0,
            behind = html.1,
        ))
    }
}

impl Maker for Messages {
    fn make(&self, tick: &Tick) -> Make {
        let tag = Tag {
            kind: Kind::Message,
            number: self.first + tick.number,
        };
        let Some(body) = self.body(tag) else {
            return Make::Nothing("no size to choose from");
        };
        let headers = format!("{}idempotency-key: load-{tag}\r\n", self.headers);
        Make::Request(Made {
            bytes: http::request("POST", "/v1/messages", &self.host, &headers, body.as_bytes()),
            mail: Some((tag, tick.due)),
        })
    }
}

impl Content {
    /// Makes HTML and text of so many bytes in all.
    fn of(bytes: usize, variant: u64) -> Self {
        let mut dice = SmallRng::seed_from_u64(variant);
        let html_bytes = bytes * HTML_SHARE.0 / HTML_SHARE.1;
        let frame = HEAD.len() + FOOT.len() + CELL.0.len() + CELL.1.len();
        let (mut before, mut behind) = (String::new(), String::new());
        if html_bytes > frame + 100 {
            before.push_str(HEAD);
            before.push_str(CELL.0);
            let cell = CELL.0.len() + CELL.1.len();
            let mut left = html_bytes - frame;
            while left > cell + 2 * CELL_BYTES {
                behind.push_str(&prose(&mut dice, CELL_BYTES));
                behind.push_str(CELL.1);
                behind.push_str(CELL.0);
                left -= cell + CELL_BYTES;
            }
            behind.push_str(&prose(&mut dice, left));
            behind.push_str(CELL.1);
            behind.push_str(FOOT);
        } else {
            behind.push_str(&prose(&mut dice, html_bytes));
        }
        let text = prose(&mut dice, bytes - html_bytes);
        Self {
            html: (in_json(&before), in_json(&behind)),
            text: in_json(&text),
        }
    }
}

/// Returns sentences of so many bytes.
fn prose(dice: &mut SmallRng, bytes: usize) -> String {
    let mut prose = String::with_capacity(bytes + 32);
    let mut words = 0;
    while prose.len() < bytes {
        let word = WORDS.get(dice.random_range(0..WORDS.len())).copied().unwrap_or("e");
        prose.push_str(word);
        words += 1;
        prose.push_str(match words % 13 {
            0 => ".\n",
            7 => ", ",
            _ => " ",
        });
    }
    prose.truncate(prose.floor_char_boundary(bytes));
    prose
}

/// Returns a text as it stands between quotes in JSON.
fn in_json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use types::order::{Body, MessageRequest};

    use super::*;
    use crate::generate::tests::nowhere;

    #[test]
    fn messages_have_the_sizes_that_were_asked_for() {
        let mails = Mails {
            bytes: vec![(200, 1), (4000, 3), (60_000, 1), (200_000, 1)],
            ..Mails::default()
        };
        let messages = Messages::new(&nowhere(), 0, Arc::new(People::of(&mails)), &mails);
        let mut counts = [0; 4];
        for number in 0..600 {
            let tag = Tag {
                kind: Kind::Message,
                number,
            };
            let body = messages.body(tag).unwrap();
            assert!(body.len() < 256 << 10, "{}", body.len());
            let request: MessageRequest = serde_json::from_str(&body).unwrap();
            let Body::Content(content) = request.body else {
                panic!("{:?}", request.body)
            };
            let (html, text) = (content.html.unwrap(), content.text.unwrap());
            assert!(html.len() < 256 << 10);
            let bytes = html.len() + text.len();
            let near = |size: usize| bytes.abs_diff(size) < 60;
            let size = mails.bytes.iter().position(|(size, _)| near(*size as usize));
            counts[size.unwrap_or_else(|| panic!("{bytes} bytes"))] += 1;
        }
        assert!((240..360).contains(&counts[1]), "{counts:?}");
        assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
    }

    #[test]
    fn their_words_compress_as_prose_does_and_not_as_one_repeated_line() {
        let prose = prose(&mut SmallRng::seed_from_u64(1), 20_000);
        let distinct: std::collections::BTreeSet<&str> = prose.lines().collect();
        assert!(distinct.len() * 10 > prose.lines().count() * 9);
        assert!(prose.lines().count() > 200);
    }
}
