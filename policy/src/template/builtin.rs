//! The built-in mails: for each kind one layout for HTML and one for text, and a table of words per language.

use types::catalogue::TemplateSource;
use types::locale::Language;

use super::language::{Mail, localise, words};

/// Returns the built-in offer mail's source in a language.
///
/// The words are put in before it is compiled, so that rendering does not look them up.
pub(super) fn offer(language: Language) -> TemplateSource {
    let words = words(Mail::Offer, language);
    TemplateSource {
        subject: localise("[[subject]]", &words),
        html: localise(include_str!("../../templates/offer/offer.html"), &words),
        text: localise(include_str!("../../templates/offer/offer.txt"), &words),
    }
}

/// Returns the source of the built-in reminder of a cart in a language; which of the two it is, its words tell.
pub(super) fn cart(language: Language) -> TemplateSource {
    let words = words(Mail::Cart, language);
    TemplateSource {
        subject: localise("[[subject]]", &words),
        html: localise(include_str!("../../templates/cart/cart.html"), &words),
        text: localise(include_str!("../../templates/cart/cart.txt"), &words),
    }
}
