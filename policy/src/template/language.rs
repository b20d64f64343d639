//! The words of the built-in mails by language, and how they are put into their one layout.

use std::collections::BTreeMap;

use types::locale::Language;

/// Which built-in mail.
#[derive(Clone, Copy)]
pub(super) enum Mail {
    Offer,
    Cart,
}

/// Returns the words of a mail in a language by name.
///
/// The tables are template sources themselves: a word may insert variables.
pub(super) fn words(mail: Mail, language: Language) -> BTreeMap<String, String> {
    let table = match (mail, language) {
        (Mail::Offer, Language::It) => include_str!("../../templates/offer/it.toml"),
        (Mail::Offer, Language::En) => include_str!("../../templates/offer/en.toml"),
        (Mail::Offer, Language::De) => include_str!("../../templates/offer/de.toml"),
        (Mail::Offer, Language::Fr) => include_str!("../../templates/offer/fr.toml"),
        (Mail::Offer, Language::Es) => include_str!("../../templates/offer/es.toml"),
        (Mail::Cart, Language::It) => include_str!("../../templates/cart/it.toml"),
        (Mail::Cart, Language::En) => include_str!("../../templates/cart/en.toml"),
        (Mail::Cart, Language::De) => include_str!("../../templates/cart/de.toml"),
        (Mail::Cart, Language::Fr) => include_str!("../../templates/cart/fr.toml"),
        (Mail::Cart, Language::Es) => include_str!("../../templates/cart/es.toml"),
    };
    toml::from_str(table).expect("the built-in tables are TOML of texts: a test reads all of them")
}

/// Puts the words of a language where `[[name]]` stands, and takes the indentation away that the layout's source has.
pub(super) fn localise(layout: &str, words: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(layout.len());
    for line in layout.lines() {
        let line = line.trim_start();
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("[[") {
            let (name, after) = after.split_once("]]").expect("[[ is closed: a test reads all layouts");
            out.push_str(before);
            out.push_str(
                words
                    .get(name)
                    .map_or_else(|| panic!("no word {name}: a test uses all"), String::as_str),
            );
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
    }
    out
}
