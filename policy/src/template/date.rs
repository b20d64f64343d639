//! Dates as people of a language write them.

use types::calendar::CivilDate;
use types::locale::Language;

/// Returns a day as it is written in a language: `24 novembre 2026` in Italian, `24. November 2026` in German.
pub(super) fn format(date: CivilDate, language: Language) -> String {
    let (day, year) = (date.day(), date.year());
    let month = usize::from(date.month()).saturating_sub(1);
    let month = months(language).get(month).copied().unwrap_or_default();
    match language {
        Language::It if day == 1 => format!("1º {month} {year}"),
        Language::Fr if day == 1 => format!("1er {month} {year}"),
        Language::It | Language::En | Language::Fr => format!("{day} {month} {year}"),
        Language::De => format!("{day}. {month} {year}"),
        Language::Es => format!("{day} de {month} de {year}"),
    }
}

const fn months(language: Language) -> [&'static str; 12] {
    match language {
        Language::It => [
            "gennaio",
            "febbraio",
            "marzo",
            "aprile",
            "maggio",
            "giugno",
            "luglio",
            "agosto",
            "settembre",
            "ottobre",
            "novembre",
            "dicembre",
        ],
        Language::En => [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        Language::De => [
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
            "November",
            "Dezember",
        ],
        Language::Fr => [
            "janvier",
            "février",
            "mars",
            "avril",
            "mai",
            "juin",
            "juillet",
            "août",
            "septembre",
            "octobre",
            "novembre",
            "décembre",
        ],
        Language::Es => [
            "enero",
            "febrero",
            "marzo",
            "abril",
            "mayo",
            "junio",
            "julio",
            "agosto",
            "septiembre",
            "octubre",
            "noviembre",
            "diciembre",
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(date: &str, language: Language, expected: &str) {
        assert_eq!(format(date.parse().unwrap(), language), expected);
    }

    #[test]
    fn dates_are_written_as_people_write_them() {
        check("2026-11-24", Language::It, "24 novembre 2026");
        check("2026-12-01", Language::It, "1º dicembre 2026");
        check("2026-01-31", Language::En, "31 January 2026");
        check("2026-03-02", Language::De, "2. März 2026");
        check("2026-12-01", Language::Fr, "1er décembre 2026");
        check("2026-08-15", Language::Fr, "15 août 2026");
        check("2026-09-08", Language::Es, "8 de septiembre de 2026");
    }
}
