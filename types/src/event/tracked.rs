//! What recipients, and the machines between us and them, did with a mail, and what was made of it.

use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::id::{CampaignNumber, EventId, MessageId, ShopNumber};
use crate::network::Network;

/// A mail's pixel was fetched by someone or something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Opened {
    /// Which mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail.
    #[n(1)]
    pub shop: ShopNumber,
    /// The client's `User-Agent`, reduced to a class.
    #[n(2)]
    pub agent: AgentClass,
    /// Where the request came from, truncated.
    #[n(3)]
    pub network: Option<Network>,
    /// Whether anything was shown.
    #[n(4)]
    #[cbor(default)]
    pub visit: Visit,
    /// Whether forged or damaged tokens came from the same network shortly before.
    #[n(5)]
    #[cbor(default)]
    pub suspect: bool,
}

/// A mail's link was followed by someone or something.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Clicked {
    /// Which mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail.
    #[n(1)]
    pub shop: ShopNumber,
    /// Which offer; [`CampaignNumber::NONE`] for a link to the shop's own site.
    #[n(2)]
    pub campaign: CampaignNumber,
    /// The offer's place in the mail, from 0.
    #[n(3)]
    pub slot: u8,
    /// The client's `User-Agent`, reduced to a class.
    #[n(4)]
    pub agent: AgentClass,
    /// The click's own id, minted at the redirect and handed to the landing page, encrypted. Missing in old records.
    #[n(5)]
    pub click: Option<EventId>,
    /// Where the request came from, truncated.
    #[n(6)]
    pub network: Option<Network>,
    /// Whether anything was followed.
    #[n(7)]
    #[cbor(default)]
    pub visit: Visit,
    /// Whether forged or damaged tokens came from the same network shortly before.
    #[n(8)]
    #[cbor(default)]
    pub suspect: bool,
    /// Whether the token was signed with a key that is known to others: it leads on, and counts for nothing.
    #[n(9)]
    #[cbor(default)]
    pub untrusted: bool,
}

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
}

/// Which look at a mail's hits a verdict comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Round {
    /// Two minutes after the hit; may still change.
    #[n(0)]
    Provisional,
    /// Thirty minutes after the hit.
    #[n(1)]
    Final,
}

/// A mail's opens and clicks were judged, by one version of the rules.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Judged {
    /// Which mail.
    #[n(0)]
    pub message: MessageId,
    /// Whose mail.
    #[n(1)]
    pub shop: ShopNumber,
    /// The version of the rules.
    #[n(2)]
    pub rules: u32,
    /// What each hit was taken for: only hits whose verdict is new or has changed.
    #[n(3)]
    pub hits: Vec<HitVerdict>,
}

/// What one hit was taken for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HitVerdict {
    /// The event of the open or click.
    #[n(0)]
    pub hit: EventId,
    /// Whether it may still change.
    #[n(1)]
    pub round: Round,
    /// Who or what it was.
    #[n(2)]
    pub class: HitClass,
    /// Why; empty for people.
    #[n(3)]
    pub reasons: Vec<HitReason>,
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
}

/// Hits that name nobody, added up over a moment, so that statistics hold them without anything about a person.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AggregateCounted {
    /// By shop, campaign, kind and class; each combination once.
    #[n(0)]
    pub hits: Vec<AggregateHit>,
}

/// How many hits of one kind there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AggregateHit {
    /// Whose mails.
    #[n(0)]
    pub shop: ShopNumber,
    /// Which offer; `None` for opens.
    #[n(1)]
    pub campaign: Option<CampaignNumber>,
    /// What kind.
    #[n(2)]
    pub kind: HitKind,
    /// What the agents said; there is no more to judge by.
    #[n(3)]
    pub class: HitClass,
    /// How many.
    #[n(4)]
    pub count: u32,
}

/// A person changed a preference on a mail's page. Unsubscribing is an event of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PreferenceChanged {
    /// The mail it came from; the runner finds the person by it.
    #[n(0)]
    pub message: MessageId,
    /// At which shop.
    #[n(1)]
    pub shop: ShopNumber,
    /// What changed.
    #[n(2)]
    pub preference: Preference,
}

/// What a person can choose on a mail's page, beside unsubscribing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, Serialize)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Preference {
    /// Opens and clicks of this shop's mails are not recorded any more, those of mails already sent included.
    #[n(0)]
    StopTracking,
    /// Unsubscribing, from shop or network, was a mistake: offers in mails of this shop are welcome again.
    #[n(1)]
    ResumeOffers,
}
