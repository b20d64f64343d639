//! The unsubscribe page: one button, in the reader's language, readable on a phone, loading nothing.

mod words;

use std::sync::LazyLock;

use hyper::header::{ACCEPT_LANGUAGE, HeaderMap, HeaderValue};
use types::event::UnsubscribeScope;
use types::locale::Language;

use words::Words;

/// What the page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Whether to unsubscribe.
    Ask,
    /// That it was done.
    Done(UnsubscribeScope),
}

const STYLE: &str = include_str!("page/style.css");

/// The `Content-Security-Policy`: this style sheet and forms to ourselves, nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    let hash = data_encoding::BASE64.encode(hash.as_ref());
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).expect("ASCII without controls")
});

/// Returns the policy that every page is sent with.
pub(crate) fn policy() -> &'static HeaderValue {
    &POLICY
}

/// Returns the first language of `Accept-Language` that we speak, by weight (RFC 9110 §12.5.4).
pub(crate) fn language(headers: &HeaderMap) -> Option<Language> {
    let accepted = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
    let weighted = accepted.split(',').take(20).filter_map(|range| {
        let (tag, parameter) = range.split_once(';').unwrap_or((range, "q=1"));
        let weight: f32 = parameter.trim().strip_prefix("q=").unwrap_or("1").parse().ok()?;
        let language = Language::of_tag(tag.trim())?;
        (weight > 0.0).then_some((language, weight))
    });
    // Of equal weights the first one stands.
    let best = weighted.reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map(|(language, _)| language)
}

/// Writes the page. `shop` is what buyers know the shop as.
pub(crate) fn html(page: Page, language: Language, shop: &str) -> String {
    let words = Words::of(language);
    let shop = escaped(shop);
    let named = |text: &str| text.replace("{shop}", &shop);
    let (title, body) = match page {
        Page::Ask => (
            words.ask_title,
            format!(
                "<p>{text}</p><form method=\"post\">{shop}{network}</form><p class=\"note\">{note}</p>",
                text = named(words.ask_text),
                shop = button("shop", "main", &named(words.shop_button)),
                network = button("network", "other", words.network_button),
                note = words.note,
            ),
        ),
        Page::Done(UnsubscribeScope::Shop) => (
            words.done_title,
            format!(
                "<p>{text}</p><form method=\"post\">{network}</form><p class=\"note\">{note}</p>",
                text = named(words.done_shop),
                network = button("network", "other", words.network_button),
                note = words.note,
            ),
        ),
        Page::Done(UnsubscribeScope::Network) => (
            words.done_title,
            format!("<p>{}</p><p class=\"note\">{}</p>", words.done_network, words.note),
        ),
    };
    let code = language.code();
    format!(
        "<!doctype html>\n<html lang=\"{code}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"shop\">{shop}</p>\n<h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
}

fn button(scope: &str, class: &str, words: &str) -> String {
    format!("<button class=\"{class}\" name=\"scope\" value=\"{scope}\">{words}</button>")
}

/// Returns a text as HTML.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accepted: &str, expected: Option<Language>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, accepted.parse().expect("a header value"));
        assert_eq!(language(&headers), expected, "{accepted}");
    }

    #[test]
    fn the_language_is_the_heaviest_we_speak() {
        check("it-IT,it;q=0.9,en;q=0.8", Some(Language::It));
        check("ja, de-AT;q=0.5, fr;q=0.7", Some(Language::Fr));
        check("en;q=0, es;q=0.1", Some(Language::Es));
        check("fr, de", Some(Language::Fr));
        check("ja, zh", None);
        check("*", None);
        check("", None);
        check(";;q=x,,", None);
    }

    #[test]
    fn a_shop_name_cannot_leave_its_place() {
        let page = html(Page::Ask, Language::En, "<script>alert('1')</script> & \"Söhne\"");
        assert!(!page.contains("<script"));
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;Söhne&quot;"));
    }

    #[test]
    fn every_language_has_every_page() {
        for language in Language::ALL {
            for page in [
                Page::Ask,
                Page::Done(UnsubscribeScope::Shop),
                Page::Done(UnsubscribeScope::Network),
            ] {
                let html = html(page, language, "Scarpe Roma");
                assert!(
                    !html.contains('{'.to_string().as_str()) || !html.contains("{shop}"),
                    "{language:?} {page:?}"
                );
                assert!(html.contains("Scarpe Roma"));
                let buttons = html.matches("<button").count();
                let expected = match page {
                    Page::Ask => 2,
                    Page::Done(UnsubscribeScope::Shop) => 1,
                    Page::Done(UnsubscribeScope::Network) => 0,
                };
                assert_eq!(buttons, expected);
            }
        }
    }
}
