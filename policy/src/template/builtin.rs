//! The built-in offer mail: one layout for HTML and one for text, and a table of words per language.

use types::catalogue::TemplateSource;
use types::locale::Language;

use super::language::{localise, words};

/// Returns the built-in offer mail's source in a language.
///
/// The words are put in before it is compiled, so that rendering does not look them up.
pub(super) fn offer(language: Language) -> TemplateSource {
    let words = words(language);
    TemplateSource {
        subject: localise("[[subject]]", &words),
        html: localise(include_str!("../../templates/offer/offer.html"), &words),
        text: localise(include_str!("../../templates/offer/offer.txt"), &words),
    }
}
