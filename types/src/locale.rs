//! Languages that mails and pages are written in, and countries.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// A language that the built-in templates and pages speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum Language {
    /// Italian.
    #[n(0)]
    It,
    /// English.
    #[n(1)]
    En,
    /// German.
    #[n(2)]
    De,
    /// French.
    #[n(3)]
    Fr,
    /// Spanish.
    #[n(4)]
    Es,
}

impl Language {
    /// Every language, in a fixed order.
    pub const ALL: [Self; 5] = [Self::It, Self::En, Self::De, Self::Fr, Self::Es];

    /// Returns the ISO 639-1 code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::It => "it",
            Self::En => "en",
            Self::De => "de",
            Self::Fr => "fr",
            Self::Es => "es",
        }
    }

    /// Returns the language of a BCP 47 tag such as `it-IT` or `de_AT`, if it is one of ours.
    pub fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        Self::ALL.into_iter().find(|language| language.code() == primary)
    }
}

/// An ISO 3166-1 alpha-2 country code, in upper case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cbor(transparent)]
pub struct Country(#[cbor(n(0), with = "minicbor::bytes")] [u8; 2]);

/// Why a text is not a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an ISO 3166-1 country code of two upper-case letters")]
pub struct NotACountry;

impl Country {
    /// Returns the code.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("two ASCII letters: checked when made")
    }
}

impl TryFrom<String> for Country {
    type Error = NotACountry;

    fn try_from(code: String) -> Result<Self, NotACountry> {
        let code: [u8; 2] = code.as_bytes().try_into().map_err(|_| NotACountry)?;
        if code.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(code))
        } else {
            Err(NotACountry)
        }
    }
}

impl From<Country> for String {
    fn from(country: Country) -> Self {
        country.as_str().to_owned()
    }
}

impl std::fmt::Debug for Country {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_languages() {
        assert_eq!(Language::of_tag("it-IT"), Some(Language::It));
        assert_eq!(Language::of_tag("DE_at"), Some(Language::De));
        assert_eq!(Language::of_tag("pt"), None);
        assert_eq!(Language::of_tag(""), None);
    }
}
