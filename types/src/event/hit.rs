//! What an open or a click is: who asks, for what, and what that is taken for.

use minicbor::{Decode, Encode};
use serde::Serialize;

/// Whether a request shows that something was seen or followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Visit {
    /// A plain GET.
    #[default]
    #[n(0)]
    Real,
    /// A HEAD request.
    #[n(1)]
    Head,
    /// A GET that says it was made in advance (prefetch, prerender, preview).
    #[n(2)]
    Prefetch,
}

impl Visit {
    /// Returns what a request that shows nothing adds to its sentence.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Real => "",
            Self::Head => ", which asked for the head alone",
            Self::Prefetch => ", which says that it did so in advance",
        }
    }
}

/// What a `User-Agent` says about who asks; a first guess, judged later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum AgentClass {
    /// A browser or mail client.
    #[n(0)]
    Client,
    /// A provider's image proxy other than those with a class of their own.
    #[n(1)]
    Proxy,
    /// Something that calls itself a program.
    #[n(2)]
    Machine,
    /// None was sent.
    #[n(3)]
    Unknown,
    /// Apple's Mail Privacy Protection, which fetches whether or not anybody looks.
    #[n(4)]
    ApplePrivacy,
    /// Gmail's image proxy, which fetches when the mail is first shown.
    #[n(5)]
    GmailProxy,
}

impl AgentClass {
    /// Returns who asked, for people.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Client => "a browser or mail client",
            Self::Proxy => "a provider's image proxy",
            Self::ApplePrivacy => "Apple's Mail Privacy Protection",
            Self::GmailProxy => "Gmail's image proxy",
            Self::Machine => "a program",
            Self::Unknown => "something that does not say what it is",
        }
    }
}

/// What kind of thing a hit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum HitKind {
    /// A pixel was fetched.
    #[n(0)]
    Open,
    /// A link was followed.
    #[n(1)]
    Click,
    /// An advertiser's site was reached.
    #[n(2)]
    Landing,
}

/// Who or what made a hit, as judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum HitClass {
    /// A person. Qualified.
    #[n(0)]
    Human,
    /// Apple's Mail Privacy Protection: nobody need have looked. Machine.
    #[n(1)]
    AppleMpp,
    /// Gmail's image proxy: somebody looked. Qualified.
    #[n(2)]
    GmailProxy,
    /// Another provider's image proxy: somebody looked. Qualified.
    #[n(3)]
    OtherProxy,
    /// A security gateway, or another program. Machine.
    #[n(4)]
    Scanner,
    /// A HEAD request, or one made in advance. Counted nowhere.
    #[n(5)]
    Prefetch,
    /// Someone of the shop or an advertiser. Counted nowhere.
    #[n(6)]
    Test,
}

impl HitClass {
    /// Every class, in the order of its number.
    pub const ALL: [Self; 7] = [
        Self::Human,
        Self::AppleMpp,
        Self::GmailProxy,
        Self::OtherProxy,
        Self::Scanner,
        Self::Prefetch,
        Self::Test,
    ];

    /// Returns the stable name, as in API answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::AppleMpp => "apple_mpp",
            Self::GmailProxy => "gmail_proxy",
            Self::OtherProxy => "other_proxy",
            Self::Scanner => "scanner",
            Self::Prefetch => "prefetch",
            Self::Test => "test",
        }
    }

    /// Returns whether such hits stand for a person.
    pub const fn is_qualified(self) -> bool {
        matches!(self, Self::Human | Self::GmailProxy | Self::OtherProxy)
    }

    /// Returns whether such hits are counted as made by machines.
    pub const fn is_machine(self) -> bool {
        matches!(self, Self::AppleMpp | Self::Scanner)
    }

    /// Returns whose a hit is, for people.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::Human => "a person's",
            Self::AppleMpp => "Apple's Mail Privacy Protection's, which fetches whether or not anybody looks,",
            Self::GmailProxy => "a person's, through Gmail's image proxy,",
            Self::OtherProxy => "a person's, through a provider's image proxy,",
            Self::Scanner => "a scanner's",
            Self::Prefetch => "one made in advance",
            Self::Test => "a test",
        }
    }
}

/// What spoke for a machine. Stable codes, seen in API answers and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum HitReason {
    /// The recipient belongs to the shop or an advertiser.
    #[n(0)]
    OwnPeople,
    /// A HEAD request, or one made in advance.
    #[n(1)]
    InAdvance,
    /// The agent names a provider's proxy.
    #[n(2)]
    ProxyAgent,
    /// The agent names a program, or nothing.
    #[n(3)]
    MachineAgent,
    /// The network is known to belong to scanners.
    #[n(4)]
    ScannerNetwork,
    /// Forged or damaged tokens came from the same network.
    #[n(5)]
    BadTokens,
    /// Too soon after the mail was delivered.
    #[n(6)]
    TooSoon,
    /// All links of the mail, or several, within seconds.
    #[n(7)]
    Burst,
    /// The same link from another network within seconds, and this one led nowhere.
    #[n(8)]
    SecondNetwork,
    /// A HEAD request for the same link came just before, from the same network.
    #[n(9)]
    ProbedBefore,
    /// The token was signed with a key that is known to others.
    #[n(10)]
    UntrustedKey,
}

impl HitReason {
    /// Returns the stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnPeople => "own_people",
            Self::InAdvance => "in_advance",
            Self::ProxyAgent => "proxy_agent",
            Self::MachineAgent => "machine_agent",
            Self::ScannerNetwork => "scanner_network",
            Self::BadTokens => "bad_tokens",
            Self::TooSoon => "too_soon",
            Self::Burst => "burst",
            Self::SecondNetwork => "second_network",
            Self::ProbedBefore => "probed_before",
            Self::UntrustedKey => "untrusted_key",
        }
    }

    /// Returns what spoke for a machine, for people.
    pub(super) const fn sentence(self) -> &'static str {
        match self {
            Self::OwnPeople => "the recipient belongs to the shop or an advertiser",
            Self::InAdvance => "the request asked for the head alone, or was made in advance",
            Self::ProxyAgent => "the agent names a provider's proxy",
            Self::MachineAgent => "the agent names a program, or nothing",
            Self::ScannerNetwork => "the network is known to belong to scanners",
            Self::BadTokens => "forged or damaged tokens came from the same network",
            Self::TooSoon => "it came too soon after the mail was delivered",
            Self::Burst => "several links of the mail were followed within seconds",
            Self::SecondNetwork => "the same link was followed from another network within seconds",
            Self::ProbedBefore => "the same network had just asked for the head of the same link",
            Self::UntrustedKey => "the link was signed with a key that others know",
        }
    }
}
