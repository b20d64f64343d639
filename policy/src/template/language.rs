//! The words of the built-in mail by language, and how they are put into its one layout.

use std::collections::BTreeMap;

use types::locale::Language;

/// Returns the words of a language by name.
///
/// The tables are template sources themselves: a word may insert variables.
pub(super) fn words(language: Language) -> BTreeMap<String, String> {
    let table = match language {
        Language::It => include_str!("../../templates/offer/it.toml"),
        Language::En => include_str!("../../templates/offer/en.toml"),
        Language::De => include_str!("../../templates/offer/de.toml"),
        Language::Fr => include_str!("../../templates/offer/fr.toml"),
        Language::Es => include_str!("../../templates/offer/es.toml"),
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
