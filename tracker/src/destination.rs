//! A campaign's landing URL with its macros filled in.
//!
//! The URL comes from the catalogue, where it was checked to be `https` with a host of its own; what is filled in is
//! percent-encoded down to RFC 3986's unreserved characters. So no value can change the host, add a parameter or break
//! out of the header. A URL without `{click_id}` gets it as the parameter [`PARAMETER`], since without it no landing could
//! be told.
//!
//! Links to a shop's own site bring their destination along, percent-encoded: it is decoded here, once, and believed only
//! as far as the catalogue says that it is the shop's own.

use types::catalogue::{Campaign, Shop};
use types::locale::Language;
use types::text::percent_encode;

/// The parameter that carries the click id where the URL has no place for it. The snippet looks for it.
pub(crate) const PARAMETER: &str = "stf_click";

/// What the macros stand for.
pub(crate) struct Macros<'a> {
    /// `{click_id}`: names the click to us again, and says nothing to others.
    pub(crate) click_id: &'a str,
    /// `{campaign}`: the campaign's id.
    pub(crate) campaign: &'a str,
    /// `{publisher}`: the id of the shop whose mail it was.
    pub(crate) publisher: &'a str,
    /// `{coupon}`: the code to redeem, or empty.
    pub(crate) coupon: &'a str,
}

impl<'a> Macros<'a> {
    pub(crate) fn of(click_id: &'a str, campaign: &'a Campaign, publisher: &'a Shop) -> Self {
        Self {
            click_id,
            campaign: campaign.id.as_str(),
            publisher: publisher.id.as_str(),
            coupon: coupon(campaign, publisher.spec.language),
        }
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        match name {
            "click_id" => Some(self.click_id),
            "campaign" => Some(self.campaign),
            "publisher" => Some(self.publisher),
            "coupon" => Some(self.coupon),
            _ => None,
        }
    }
}

/// Returns the URL with its macros filled in. Braces around anything else stay as they are.
pub(crate) fn fill(url: &str, macros: &Macros<'_>) -> String {
    let mut filled = String::with_capacity(url.len() + 96);
    if url.contains("{click_id}") {
        fill_in(url, macros, &mut filled);
        return filled;
    }
    let (page, fragment) = url.find('#').map_or((url, ""), |at| url.split_at(at));
    fill_in(page, macros, &mut filled);
    filled.push_str(match page.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    });
    filled.push_str(PARAMETER);
    filled.push('=');
    percent_encode(macros.click_id, &mut filled);
    fill_in(fragment, macros, &mut filled);
    filled
}

fn fill_in(url: &str, macros: &Macros<'_>, filled: &mut String) {
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let known = after
            .split_once('}')
            .and_then(|(name, after)| Some((macros.value(name)?, after)));
        rest = if let Some((value, after)) = known {
            percent_encode(value, filled);
            after
        } else {
            filled.push('{');
            after
        };
    }
    filled.push_str(rest);
}

/// Returns what `text` stands for with its percent-encoded bytes (RFC 3986 §2.1) decoded once. `None` if a `%` is not followed by two
/// hexadecimal digits, or what comes out is not ASCII: no URL is.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            u8::try_from(digit()? << 4 | digit()?).ok()?
        } else {
            byte
        };
        if !byte.is_ascii() {
            return None;
        }
        decoded.push(byte.into());
    }
    Some(decoded)
}

/// Returns the campaign's code: in the shop's language if there is one, else in any. The token does not name the language.
fn coupon(campaign: &Campaign, language: Language) -> &str {
    let creatives = &campaign.spec.creatives;
    let own = creatives.get(&language).into_iter();
    let coupon = own
        .chain(creatives.values())
        .find_map(|creative| creative.coupon.as_deref());
    coupon.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: &str) {
        let macros = Macros {
            click_id: "EQ_-9",
            campaign: "autunno.2026",
            publisher: "scarpe",
            coupon: "10 % più\r\nSet-Cookie: a=b&host=evil#x",
        };
        assert_eq!(fill(url, &macros), expected);
    }

    #[test]
    fn macros_are_filled_in() {
        check("https://a.example/{click_id}", "https://a.example/EQ_-9");
        check(
            "https://a.example/{campaign}?c={click_id}&p={publisher}",
            "https://a.example/autunno.2026?c=EQ_-9&p=scarpe",
        );
    }

    #[test]
    fn a_url_without_a_place_for_the_click_gets_a_parameter() {
        for (url, expected) in [
            ("https://a.example", "https://a.example?stf_click=EQ_-9"),
            ("https://a.example/", "https://a.example/?stf_click=EQ_-9"),
            ("https://a.example/x?", "https://a.example/x?stf_click=EQ_-9"),
            ("https://a.example/x?y=1", "https://a.example/x?y=1&stf_click=EQ_-9"),
            ("https://a.example/x?y=1&", "https://a.example/x?y=1&stf_click=EQ_-9"),
            (
                "https://a.example/#{campaign}?x",
                "https://a.example/?stf_click=EQ_-9#autunno.2026?x",
            ),
            (
                "https://a.example/?p={publisher}#top",
                "https://a.example/?p=scarpe&stf_click=EQ_-9#top",
            ),
        ] {
            check(url, expected);
        }
    }

    #[test]
    fn no_value_leaves_its_place() {
        check(
            "https://a.example/{click_id}?k={coupon}&z=1",
            "https://a.example/EQ_-9?k=10%20%25%20pi%C3%B9%0D%0ASet-Cookie%3A%20a%3Db%26host%3Devil%23x&z=1",
        );
    }

    #[test]
    fn a_destination_is_decoded_once() {
        for (text, expected) in [
            (
                "https%3A%2F%2Fa.example%2F%3Fx%3D1%26y%3D%252F",
                Some("https://a.example/?x=1&y=%2F"),
            ),
            ("https://a.example/a+b", Some("https://a.example/a+b")),
            ("", Some("")),
            ("%0d%0A", Some("\r\n")),
            ("%", None),
            ("%2", None),
            ("%2G", None),
            ("%+2", None),
            ("%80", None),
            ("%C3%A8", None),
            ("\u{e8}", None),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn other_braces_stay() {
        check("https://a.example/{x}{click_id}{", "https://a.example/{x}EQ_-9{");
        check(
            "https://a.example/{{campaign}}/{click_id}",
            "https://a.example/{autunno.2026}/EQ_-9",
        );
    }
}
