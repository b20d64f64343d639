//! Rules as read from TOML, and how they are matched.

use serde::Deserialize;
use types::event::FailureClass;

use super::{At, Finality, Hits, Refused, Verdict, stated_wait};

/// A list of rules, looked through in order.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

/// Why a file of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadRules {
    /// Not TOML of the right shape.
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    /// A rule that makes no sense.
    #[error("rule `{name}`: {fault}")]
    Rule {
        /// Its name.
        name: String,
        /// What is wrong.
        fault: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Written>,
}

/// A rule as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    codes: String,
    #[serde(default)]
    enhanced: Vec<String>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    at: Vec<At>,
    class: String,
    #[serde(default, rename = "final")]
    finality: Option<bool>,
    #[serde(default)]
    hits: Hits,
    samples: Vec<String>,
}

/// A rule as matched.
#[derive(Debug)]
struct Rule {
    name: String,
    codes: [Option<u8>; 3],
    enhanced: Vec<[Option<u16>; 3]>,
    text: Vec<String>,
    at: Vec<At>,
    class: FailureClass,
    finality: Option<Finality>,
    hits: Hits,
    samples: Vec<String>,
}

impl Rules {
    /// Reads rules from TOML.
    pub fn parse(text: &str) -> Result<Self, BadRules> {
        let file: File = toml::from_str(text)?;
        file.rule
            .into_iter()
            .map(|written| {
                let name = written.name.clone();
                Rule::try_from(written).map_err(|fault| BadRules::Rule { name, fault })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns what a refusal means, and the name of the rule that says so (`None`: the code alone).
    pub fn classify(&self, refused: &Refused<'_>) -> (Option<&str>, Verdict) {
        let text = refused.text.to_ascii_lowercase();
        let by_code = if refused.code >= 500 {
            Finality::Permanent
        } else {
            Finality::Temporary
        };
        let wait = match by_code {
            Finality::Temporary => stated_wait(&text),
            Finality::Permanent => None,
        };
        let rule = self.0.iter().find(|rule| rule.matches(refused, &text));
        let verdict = Verdict {
            class: rule.map_or(FailureClass::Policy, |rule| rule.class),
            finality: rule.and_then(|rule| rule.finality).unwrap_or(by_code),
            hits: rule.map_or(Hits::Message, |rule| rule.hits),
            wait,
        };
        (rule.map(|rule| rule.name.as_str()), verdict)
    }

    /// Returns each rule's name with each of its samples.
    pub fn samples(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|rule| rule.samples.iter().map(|sample| (rule.name.as_str(), sample.as_str())))
    }
}

impl Rule {
    fn matches(&self, refused: &Refused<'_>, text: &str) -> bool {
        let digits = [refused.code / 100, refused.code / 10 % 10, refused.code % 10];
        let code_fits = self
            .codes
            .iter()
            .zip(digits)
            .all(|(wanted, digit)| wanted.is_none_or(|wanted| u16::from(wanted) == digit));
        let enhanced_fits = self.enhanced.is_empty()
            || refused.enhanced.is_some_and(|(class, subject, detail)| {
                let numbers = [u16::from(class), subject, detail];
                self.enhanced.iter().any(|pattern| {
                    pattern
                        .iter()
                        .zip(numbers)
                        .all(|(wanted, number)| wanted.is_none_or(|wanted| wanted == number))
                })
            });
        code_fits
            && enhanced_fits
            && (self.at.is_empty() || self.at.contains(&refused.at))
            && (self.text.is_empty() || self.text.iter().any(|part| text.contains(part)))
    }
}

impl TryFrom<Written> for Rule {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let class = FailureClass::ALL
            .into_iter()
            .find(|class| class.as_str() == written.class)
            .ok_or_else(|| format!("no class is called `{}`", written.class))?;
        if written.samples.is_empty() {
            return Err("has no samples".into());
        }
        let enhanced = written.enhanced.iter().map(|pattern| enhanced_pattern(pattern));
        Ok(Self {
            codes: code_pattern(&written.codes)?,
            enhanced: enhanced.collect::<Result<_, _>>()?,
            text: written.text.iter().map(|part| part.to_ascii_lowercase()).collect(),
            name: written.name,
            at: written.at,
            class,
            finality: written.finality.map(|is_final| {
                if is_final {
                    Finality::Permanent
                } else {
                    Finality::Temporary
                }
            }),
            hits: written.hits,
            samples: written.samples,
        })
    }
}

fn code_pattern(pattern: &str) -> Result<[Option<u8>; 3], String> {
    let digits = pattern.bytes().map(|b| match b {
        b'x' => Ok(None),
        b'0'..=b'9' => Ok(Some(b - b'0')),
        _ => Err(format!("`{pattern}` is not a code such as \"550\" or \"4xx\"")),
    });
    let digits: Vec<_> = digits.collect::<Result<_, _>>()?;
    digits
        .try_into()
        .map_err(|_| format!("`{pattern}` is not three digits"))
}

fn enhanced_pattern(pattern: &str) -> Result<[Option<u16>; 3], String> {
    let fault = || format!("`{pattern}` is not an enhanced code such as \"5.1.1\" or \"*.2.2\"");
    let numbers = pattern.split('.').map(|number| match number {
        "*" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| fault()),
    });
    let numbers: Vec<_> = numbers.collect::<Result<_, _>>()?;
    numbers.try_into().map_err(|_| fault())
}
