//! The footer of promotional messages that shops write themselves: who sends, and how it stops.
//!
//! Commercial mail must show a way out (Gmail and Yahoo ask for a visible link besides the header) and a postal address.
//! What a shop's own template or content does not show is put below it. What goes to the shop itself has neither, and a
//! line on top that says what it is.

use std::fmt::Write;

use policy::template::Rendered;
use types::catalogue::ShopSpec;
use types::event::ReminderPurpose;
use types::locale::Language;

/// Appends the unsubscribe link and the postal address to whichever part lacks the link.
pub(super) fn append(language: Language, shop: &ShopSpec, url: &str, rendered: &mut Rendered) {
    let words = words(language);
    let (name, address) = (&*shop.name, &*shop.postal_address);
    if !rendered.text.contains(url) {
        let end = if rendered.text.is_empty() || rendered.text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        write!(rendered.text, "{end}\n-- \n{words}: {url}\n{name}\n{address}\n")
            .expect("writing to a string cannot fail");
    }
    let html = &mut rendered.html;
    if !html.is_empty() && !html.contains(url) {
        let footer = format!(
            "<div style=\"margin:32px auto 16px;max-width:600px;font:13px/20px Arial,sans-serif;text-align:center;color:#6b7280\">\
             <a href=\"{url}\" style=\"color:#6b7280\">{words}</a><br>{}<br>{}</div>\n",
            escaped(name),
            escaped(address)
        );
        let at = html
            .rfind("</body>")
            .or_else(|| html.rfind("</BODY>"))
            .unwrap_or(html.len());
        html.insert_str(at, &footer);
    }
}

/// Puts a line on top of what goes to the shop that says what it is: the shop's own template may not.
pub(super) fn notice(language: Language, purpose: ReminderPurpose, rendered: &mut Rendered) {
    let Some(line) = about(language, purpose) else {
        return;
    };
    rendered.text.insert_str(0, &format!("{line}\n\n"));
    let html = &mut rendered.html;
    if !html.is_empty() {
        let line = format!(
            "<div style=\"margin:16px auto;max-width:600px;font:13px/20px Arial,sans-serif;text-align:center;color:#6b7280\">{}</div>\n",
            escaped(line)
        );
        let body = html.find("<body").or_else(|| html.find("<BODY"));
        let start = body.and_then(|at| Some(at + html.get(at..)?.find('>')? + 1));
        html.insert_str(start.unwrap_or(0), &line);
    }
}

const fn about(language: Language, purpose: ReminderPurpose) -> Option<&'static str> {
    Some(match (purpose, language) {
        (ReminderPurpose::Buyer, _) => return None,
        (ReminderPurpose::Copy, Language::It) => "Copia per il negozio",
        (ReminderPurpose::Copy, Language::En) => "Copy for the shop",
        (ReminderPurpose::Copy, Language::De) => "Kopie für den Shop",
        (ReminderPurpose::Copy, Language::Fr) => "Copie pour la boutique",
        (ReminderPurpose::Copy, Language::Es) => "Copia para la tienda",
        (ReminderPurpose::Test, Language::It) => "Invio di prova per il negozio",
        (ReminderPurpose::Test, Language::En) => "Test for the shop",
        (ReminderPurpose::Test, Language::De) => "Test für den Shop",
        (ReminderPurpose::Test, Language::Fr) => "Essai pour la boutique",
        (ReminderPurpose::Test, Language::Es) => "Prueba para la tienda",
    })
}

const fn words(language: Language) -> &'static str {
    match language {
        Language::It => "Non ricevere più queste mail",
        Language::En => "Unsubscribe from these mails",
        Language::De => "Diese E-Mails abbestellen",
        Language::Fr => "Ne plus recevoir ces mails",
        Language::Es => "No recibir más estos correos",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
