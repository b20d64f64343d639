//! The rules of judging, as read from TOML. `policy/rules/verdicts.toml` explains each.

use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use types::network::Network;

/// One version of the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    version: u32,
    pub(super) too_soon: TooSoon,
    pub(super) burst: Burst,
    /// How far apart hits on one link from two networks belong together.
    pub(super) second_network: Duration,
    /// How shortly before a GET a HEAD request is its probe.
    pub(super) probe: Duration,
    scanner_networks: Vec<Range>,
}

/// How soon after delivery no person can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TooSoon {
    pub(super) click: Duration,
    pub(super) open: Duration,
    pub(super) proxy: Duration,
}

/// How many links within which time no person follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Burst {
    pub(super) links: usize,
    pub(super) within: Duration,
    /// The same for all links of a mail that has two or more.
    pub(super) all_within: Duration,
}

/// Why rules cannot be used: every fault, with its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Faults(pub Vec<String>);

/// The rules as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    too_soon: WrittenTooSoon,
    burst: WrittenBurst,
    second_network: WrittenSeconds,
    probe: WrittenSeconds,
    scanner_networks: Vec<WrittenNetwork>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the keys of the file carry their unit")]
struct WrittenTooSoon {
    click_seconds: u64,
    open_seconds: u64,
    proxy_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBurst {
    links: usize,
    seconds: u64,
    all_links_seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSeconds {
    seconds: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNetwork {
    owner: String,
    ranges: Vec<String>,
}

/// The longest time that a rule may look back or ahead; far below the time of the first verdict.
const SECONDS_MAX: u64 = 60;

impl Rules {
    /// Returns the rules that come with this version.
    pub fn builtin() -> Self {
        Self::parse(include_str!("../../rules/verdicts.toml")).expect("checked by the tests")
    }

    /// Reads rules from TOML.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        let file: File = toml::from_str(text).map_err(|error| Faults(vec![error.to_string()]))?;
        let mut faults = Vec::new();
        let mut seconds = |key: &str, written: u64| {
            if written > SECONDS_MAX {
                faults.push(format!("{key}: {written} is not in 0 to {SECONDS_MAX}"));
            }
            Duration::from_secs(written)
        };
        let too_soon = TooSoon {
            click: seconds("too_soon.click_seconds", file.too_soon.click_seconds),
            open: seconds("too_soon.open_seconds", file.too_soon.open_seconds),
            proxy: seconds("too_soon.proxy_seconds", file.too_soon.proxy_seconds),
        };
        let burst = Burst {
            links: file.burst.links,
            within: seconds("burst.seconds", file.burst.seconds),
            all_within: seconds("burst.all_links_seconds", file.burst.all_links_seconds),
        };
        let second_network = seconds("second_network.seconds", file.second_network.seconds);
        let probe = seconds("probe.seconds", file.probe.seconds);
        if file.burst.links < 2 {
            faults.push(format!("burst.links: {} is not at least 2", file.burst.links));
        }
        let mut scanner_networks = Vec::new();
        for WrittenNetwork { owner, ranges } in file.scanner_networks {
            for range in ranges {
                match Range::parse(&range) {
                    Ok(range) => scanner_networks.push(range),
                    Err(fault) => faults.push(format!("scanner_networks of {owner}: {fault}")),
                }
            }
        }
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        Ok(Self {
            version: file.version,
            too_soon,
            burst,
            second_network,
            probe,
            scanner_networks,
        })
    }

    /// Returns the version: each verdict names it.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Returns whether a network is known to belong to scanners.
    pub(super) fn is_scanner(&self, network: Network) -> bool {
        self.scanner_networks.iter().any(|range| range.contains(network))
    }
}

/// Neighbouring networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    first: Network,
    bits: u32,
}

impl Range {
    /// Reads a CIDR range no narrower than the networks that are kept: up to /24, or /48 for IPv6.
    fn parse(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is not a range such as \"192.0.2.0/24\" or \"2001:db8::/32\"");
        let (address, bits) = text.split_once('/').ok_or_else(fault)?;
        let address: IpAddr = address.parse().map_err(|_| fault())?;
        let bits: u32 = bits.parse().map_err(|_| fault())?;
        let range = Self {
            first: Network::of(address),
            bits,
        };
        let bits_max = if address.is_ipv4() { 24 } else { 48 };
        if !(8..=bits_max).contains(&bits) {
            return Err(format!("`{text}`: the length is not in 8 to {bits_max}"));
        }
        Ok(range)
    }

    fn contains(&self, network: Network) -> bool {
        let (first, other, width) = match (self.first, network) {
            (Network::V4(first), Network::V4(other)) => (number(&first), number(&other), 24),
            (Network::V6(first), Network::V6(other)) => (number(&first), number(&other), 48),
            (Network::V4(_), Network::V6(_)) | (Network::V6(_), Network::V4(_)) => return false,
        };
        let shift = width - self.bits;
        first >> shift == other >> shift
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}
