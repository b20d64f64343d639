//! The first guess at who asks, from the `User-Agent` alone. Judging hits is a later step; what is told here is what is kept.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use serde::Deserialize;
use types::event::AgentClass;

/// How much of an agent is read.
const READ_MAX: usize = 512;
/// Apple's Mail Privacy Protection sends this and nothing more.
const APPLE_PRIVACY: &[u8] = b"mozilla/5.0";

static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("../rules/agents.toml")).expect("checked by the tests"));

/// Returns the class of a `User-Agent`; at most its first 512 bytes are read. Neither allocates nor blocks.
pub fn class(agent: &[u8]) -> AgentClass {
    let (agent, _) = agent.split_at(agent.len().min(READ_MAX));
    let agent = agent.trim_ascii();
    if agent.is_empty() {
        AgentClass::Unknown
    } else if agent.eq_ignore_ascii_case(APPLE_PRIVACY) {
        AgentClass::ApplePrivacy
    } else {
        TABLE.class(agent)
    }
}

/// One automaton for all parts of all classes.
struct Table {
    automaton: AhoCorasick,
    /// What each part says, with the class's place in the file: the first of those found decides.
    says: Vec<(usize, AgentClass)>,
}

/// The table as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    class: Vec<Written>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Name,
    says: Vec<String>,
}

/// The classes that are told by parts.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    GmailProxy,
    Proxy,
    Machine,
}

impl Table {
    fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let file: File = toml::from_str(text)?;
        let rows = file.class.iter().enumerate();
        let parts = rows.flat_map(|(place, row)| row.says.iter().map(move |part| (part, (place, row.name.into()))));
        let (parts, says): (Vec<&String>, _) = parts.unzip();
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::DFA))
            .build(parts)?;
        Ok(Self { automaton, says })
    }

    fn class(&self, agent: &[u8]) -> AgentClass {
        let found = self.automaton.find_overlapping_iter(agent);
        let says = found.filter_map(|part| self.says.get(part.pattern().as_usize()));
        says.min_by_key(|(place, _)| *place)
            .map_or(AgentClass::Client, |(_, class)| *class)
    }
}

impl From<Name> for AgentClass {
    fn from(name: Name) -> Self {
        match name {
            Name::GmailProxy => Self::GmailProxy,
            Name::Proxy => Self::Proxy,
            Name::Machine => Self::Machine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_classed_by_what_they_say() {
        let beyond = format!("{}curl/8", "x".repeat(READ_MAX));
        for (agent, expected) in [
            ("", AgentClass::Unknown),
            ("   ", AgentClass::Unknown),
            ("Mozilla/5.0", AgentClass::ApplePrivacy),
            (" Mozilla/5.0 ", AgentClass::ApplePrivacy),
            (
                "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
                AgentClass::GmailProxy,
            ),
            (
                "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
                AgentClass::Proxy,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 \
                 Safari/537.36 Edge/12.246 Mozilla/5.0",
                AgentClass::Machine,
            ),
            ("curl/8.5.0", AgentClass::Machine),
            ("CURL/8.5.0", AgentClass::Machine),
            ("TelegramBot (like TwitterBot)", AgentClass::Machine),
            (
                "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
                AgentClass::Machine,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/120.0.0.0 Safari/537.36",
                AgentClass::Machine,
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
                AgentClass::Client,
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT X19) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile Safari/537.36",
                AgentClass::Client,
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Thunderbird/132.0",
                AgentClass::Client,
            ),
            (&beyond, AgentClass::Client),
        ] {
            assert_eq!(class(agent.as_bytes()), expected, "{agent}");
        }
        assert_eq!(class(&[0xff, 0xfe]), AgentClass::Client);
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        assert_eq!(class(b"curl/8 GoogleImageProxy python"), AgentClass::GmailProxy);
    }

    /// `cargo test --release -p policy agent -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_a_class() {
        let agent = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
        let rounds = 1_000_000;
        let start = std::time::Instant::now();
        let clients = (0..rounds)
            .filter(|_| class(std::hint::black_box(agent)) == AgentClass::Client)
            .count();
        println!("{:?} each ({clients} clients)", start.elapsed() / rounds);
    }
}
