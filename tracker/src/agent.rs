//! The first guess at who asks, from the `User-Agent` alone. Judging clicks is a later step; raw classes are kept.

use types::event::AgentClass;

/// Image proxies of the big providers, as they name themselves, in lower case.
const PROXIES: [&[u8]; 3] = [b"googleimageproxy", b"yahoomailproxy", b"yahoocachesystem"];

/// What programs call themselves, in lower case.
const MACHINES: [&[u8]; 22] = [
    b"bot",
    b"crawl",
    b"spider",
    b"scan",
    b"preview",
    b"monitor",
    b"headless",
    b"curl/",
    b"wget/",
    b"python",
    b"java/",
    b"go-http-client",
    b"okhttp",
    b"libwww",
    b"httpclient",
    b"http-client",
    b"axios",
    b"node-fetch",
    b"ruby",
    b"perl",
    b"facebookexternalhit",
    b"barracuda",
];

/// Apple's Mail Privacy Protection sends this and nothing more.
const APPLE_PROXY: &[u8] = b"mozilla/5.0";

/// Returns the class of a `User-Agent`; at most its first 512 bytes are read.
pub(crate) fn class(agent: &[u8]) -> AgentClass {
    let agent: Vec<u8> = agent.iter().take(512).map(u8::to_ascii_lowercase).collect();
    let agent = agent.trim_ascii();
    let says = |word: &&[u8]| agent.windows(word.len()).any(|part| part == *word);
    if agent.is_empty() {
        AgentClass::Unknown
    } else if agent == APPLE_PROXY || PROXIES.iter().any(says) {
        AgentClass::Proxy
    } else if MACHINES.iter().any(says) {
        AgentClass::Machine
    } else {
        AgentClass::Client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_classed_by_what_they_say() {
        for (agent, expected) in [
            ("", AgentClass::Unknown),
            ("   ", AgentClass::Unknown),
            ("Mozilla/5.0", AgentClass::Proxy),
            (
                "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
                AgentClass::Proxy,
            ),
            (
                "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
                AgentClass::Proxy,
            ),
            ("curl/8.5.0", AgentClass::Machine),
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
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Thunderbird/132.0",
                AgentClass::Client,
            ),
        ] {
            assert_eq!(class(agent.as_bytes()), expected, "{agent}");
        }
    }
}
