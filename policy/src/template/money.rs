//! Money as people of a language write it.

use types::locale::Language;
use types::money::Money;

/// Returns an amount as it is written in a language: `59,90 €` in Italian, `€59.90` in English.
pub(super) fn format(money: Money, language: Language) -> String {
    let plain = money.to_string();
    let (number, code) = plain.split_once(' ').unwrap_or((&plain, ""));
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |number| ("-", number));
    let (whole, cents) = number.split_once('.').unwrap_or((number, ""));
    let (thousands, decimals) = match language {
        Language::En => (",", "."),
        Language::It | Language::De | Language::Es => (".", ","),
        Language::Fr => ("\u{202f}", ","),
    };
    let mut grouped = String::with_capacity(plain.len() + 8);
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            grouped.push_str(thousands);
        }
        grouped.push(digit);
    }
    if !cents.is_empty() {
        grouped.push_str(decimals);
        grouped.push_str(cents);
    }
    let symbol = match code {
        "EUR" => "€",
        "GBP" => "£",
        "USD" => "$",
        other => other,
    };
    match language {
        Language::En if symbol.len() < 4 && symbol != code => format!("{sign}{symbol}{grouped}"),
        _ => format!("{sign}{grouped}\u{a0}{symbol}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(amount: i64, code: &str, language: Language, expected: &str) {
        let currency = code.to_owned().try_into().unwrap();
        assert_eq!(format(Money { amount, currency }, language), expected);
    }

    #[test]
    fn money_is_written_as_people_write_it() {
        check(5990, "EUR", Language::It, "59,90\u{a0}€");
        check(5990, "EUR", Language::En, "€59.90");
        check(123_456_789, "EUR", Language::De, "1.234.567,89\u{a0}€");
        check(123_456, "EUR", Language::Fr, "1\u{202f}234,56\u{a0}€");
        check(1200, "JPY", Language::En, "1,200\u{a0}JPY");
        check(-250, "GBP", Language::En, "-£2.50");
        check(5990, "CHF", Language::De, "59,90\u{a0}CHF");
    }
}
