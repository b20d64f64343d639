//! One mail, byte by byte: a change of its form is seen in review.

use crate::fixture::{Maker, Memory, catalogue, message_mail, shop};
use mta::submit::dkim::KeyStore;
use serde_json::json;

/// A key for this test alone: a signature by Ed25519 is the same each time.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

#[test]
fn a_message_to_the_byte() {
    let keys = Memory::default();
    keys.save("news.rossi.example", "s1e", KEY.as_bytes()).unwrap();
    let mut maker = Maker::with(keys);
    let mut shop = shop();
    shop["promotional"]["dkim"] = json!("ed25519");
    let request = json!({
        "to": {"email": "zoe@example.it", "name": "Zoë Bianchi"},
        "stream": "promotional",
        "body": {"content": {
            "subject": "Saldi: è arrivato il momento che aspettavi, fino al 50 % su tutto",
            "text": "Ciao Zoë,\n.i saldi sono qui = adesso.\nFrom noi a te\n",
            "html": "<html><body><p>Ciao Zoë, <a href=\"https://rossi.example/?a=1&amp;b=2\">i saldi</a></p></body></html>",
        }},
    });
    let message = maker.make(&message_mail(&catalogue(shop, &[]), request));
    insta::assert_snapshot!(String::from_utf8(message.bytes.to_vec()).unwrap().replace("\r\n", "\n"));
}
