//! The page behind a mail's way out: what its reader no longer wants, in their language, readable on a phone, loading nothing.
//!
//! One main button stops this shop's offers; two more stop those of the whole network, or the recording of opens and
//! clicks. What was stopped by mistake can be taken back on the page that says so. It works without script.

mod words;

use std::sync::LazyLock;

use types::event::{Preference, UnsubscribeScope};
use types::locale::Language;

use words::Words;

/// What the page is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// What is no longer wanted.
    Ask,
    /// That offers stop; `mistake` offers the way back.
    Unsubscribed { scope: UnsubscribeScope, mistake: Mistake },
    /// That a preference was changed.
    Changed(Preference),
}

/// Whether the reader may take an unsubscription back on the page that confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Offered,
    /// The link's key is known to others, who could then subscribe people.
    NotOffered,
}

const STYLE: &str = include_str!("page/style.css");

/// The `Content-Security-Policy`: this style sheet and forms to ourselves, nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    let hash = data_encoding::BASE64.encode(hash.as_ref());
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// Returns the policy that every page is sent with.
pub(crate) fn policy() -> &'static str {
    &POLICY
}

/// Returns the first language of `Accept-Language` that we speak, by weight (RFC 9110 §12.5.4).
pub(crate) fn language(accepted: &str) -> Option<Language> {
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
    let stop_shop = |class| button("shop", class, &named(words.shop_button));
    let stop_network = button("network", "other", words.network_button);
    let stop_tracking = button("tracking", "other", words.tracking_button);
    let (title, text, buttons) = match page {
        Page::Ask => (
            words.ask_title,
            words.ask_text,
            stop_shop("main") + &stop_network + &stop_tracking,
        ),
        Page::Unsubscribed { scope, mistake } => {
            let (text, further) = match scope {
                UnsubscribeScope::Shop => (words.done_shop, stop_network + &stop_tracking),
                UnsubscribeScope::Network => (words.done_network, stop_tracking),
            };
            let back = match mistake {
                Mistake::Offered => button("resume", "other", words.mistake_button),
                Mistake::NotOffered => String::new(),
            };
            (words.done_title, text, back + &further)
        }
        Page::Changed(Preference::StopTracking) => (
            words.done_title,
            words.done_tracking,
            stop_shop("other") + &stop_network,
        ),
        Page::Changed(Preference::ResumeOffers) => {
            (words.done_title, words.done_resumed, stop_shop("other") + &stop_network)
        }
    };
    let (text, note, code) = (named(text), words.note, language.code());
    format!(
        "<!doctype html>\n<html lang=\"{code}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"shop\">{shop}</p>\n<h1>{title}</h1>\n<p>{text}</p>\n<form method=\"post\">{buttons}</form>\n\
         <p class=\"note\">{note}</p>\n</main>\n</body>\n</html>\n"
    )
}

fn button(choice: &str, class: &str, words: &str) -> String {
    format!("<button class=\"{class}\" name=\"choice\" value=\"{choice}\">{words}</button>")
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
        assert_eq!(language(accepted), expected, "{accepted}");
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
    fn every_language_has_every_page_with_one_main_button_at_most() {
        let unsubscribed = |scope, mistake| Page::Unsubscribed { scope, mistake };
        for language in Language::ALL {
            for (page, main, other) in [
                (Page::Ask, 1, 2),
                (unsubscribed(UnsubscribeScope::Shop, Mistake::Offered), 0, 3),
                (unsubscribed(UnsubscribeScope::Network, Mistake::Offered), 0, 2),
                (unsubscribed(UnsubscribeScope::Network, Mistake::NotOffered), 0, 1),
                (Page::Changed(Preference::StopTracking), 0, 2),
                (Page::Changed(Preference::ResumeOffers), 0, 2),
            ] {
                let html = html(page, language, "Scarpe Roma");
                assert!(
                    !html.contains("{shop}") && html.contains("Scarpe Roma"),
                    "{language:?} {page:?}"
                );
                assert_eq!(html.matches("class=\"main\"").count(), main, "{language:?} {page:?}");
                assert_eq!(html.matches("class=\"other\"").count(), other, "{language:?} {page:?}");
            }
        }
    }
}
