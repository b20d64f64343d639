//! May something be sent, and what: the decision on an accepted order or plain message.
//!
//! Offers of other shops are marketing; the order only triggers them (ePrivacy directive art. 13, Italian Code art. 130).
//! So an offer mail needs the buyer's marketing consent, given with the order that causes it and not refused since; a
//! promotional plain message needs the same; a transactional one needs none. Suppression holds for all of them on
//! their streams, the cap for whatever is promotional. Without consent to tracking, pixel and links name nobody.
//!
//! Every rule is asked, so that a refusal tells all its reasons at once, the weightiest first: what the law or the person
//! forbids, then what the network forbids, then what is merely not there.

use rand::Rng;
use types::catalogue::{Sender, Shop, ShopSpec};
use types::event::{Offer, Origin, Plan, Refusal, Tracking, Verdict};
use types::id::{CampaignNumber, MessageId};
use types::locale::Language;
use types::order::{Body, Consent, Customer, MessageRequest, Order, OrderStatus, Stream};
use types::provider::Provider;
use types::text::Slug;
use types::time::Timestamp;

use crate::offers::{Candidates, Selection, Wanted, select};
use crate::person::{PersonState, Purpose, Said};
use crate::settings::Settings;

/// What is known when an order is decided.
#[derive(Clone, Copy)]
pub struct OrderFacts<'a> {
    /// The order.
    pub order: &'a Order,
    /// When it was accepted: the wall time of its record.
    pub accepted_at: Timestamp,
    /// The shop that reported it.
    pub shop: &'a Shop,
    /// What the shop may show; its catalogue is the one that the plan names.
    pub candidates: &'a Candidates,
    /// The buyer, this order's consent already folded in.
    pub person: &'a PersonState,
    /// How many mails showed a campaign so far.
    pub selections: &'a dyn Fn(CampaignNumber) -> u64,
    /// The settings in force.
    pub settings: &'a Settings,
}

/// What is known when a plain message is decided.
#[derive(Clone, Copy)]
pub struct MessageFacts<'a> {
    /// What was asked for.
    pub request: &'a MessageRequest,
    /// What of our own asked for it; `None` if the shop did.
    pub origin: Option<&'a Origin>,
    /// When it was accepted: the wall time of its record.
    pub accepted_at: Timestamp,
    /// The shop that asked.
    pub shop: &'a Shop,
    /// The version of the catalogue that the shop was read from.
    pub catalogue: u64,
    /// The recipient, this request's consent already folded in.
    pub person: &'a PersonState,
    /// The settings in force.
    pub settings: &'a Settings,
}

/// What is to happen. It becomes a [`Verdict`] once the mail has an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A mail goes out.
    Send(Draft),
    /// Nothing does; every reason that applied, the weightiest first. Never empty.
    Refuse(Vec<Refusal>),
}

/// A plan without its message id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// On which stream it travels.
    pub stream: Stream,
    /// In which language.
    pub language: Language,
    /// The catalogue's version.
    pub catalogue: u64,
    /// When it was decided: the `Date:` header.
    pub date: Timestamp,
    /// When it is no longer worth sending.
    pub expires: Timestamp,
    /// How pixel and links are made.
    pub tracking: Tracking,
    /// What is offered, in the order shown.
    pub offers: Vec<Offer>,
    /// Whether the order was late, and is mailed because the shop says so.
    pub late: bool,
    /// Whether the recipient belongs to the shop or an advertiser shown.
    pub test: bool,
    /// The template; `None` is the built-in one, or content that came with the request.
    pub template: Option<Slug>,
}

impl Decision {
    /// Returns the verdict to record; `mint` makes the mail's id and is asked only if there is one.
    pub fn verdict(self, mint: impl FnOnce() -> MessageId) -> Verdict {
        match self {
            Self::Refuse(reasons) => Verdict::Refuse(reasons),
            Self::Send(draft) => Verdict::Send(Plan {
                message: mint(),
                stream: draft.stream,
                language: draft.language,
                catalogue: draft.catalogue,
                date: draft.date,
                expires: draft.expires,
                tracking: draft.tracking,
                offers: draft.offers,
                late: draft.late,
                test: draft.test,
                template: draft.template,
            }),
        }
    }
}

/// Decides what an order causes. The same facts, time and random numbers give the same decision.
pub fn decide_order(facts: &OrderFacts<'_>, now: Timestamp, random: &mut impl Rng) -> Decision {
    let OrderFacts {
        order,
        shop,
        person,
        settings,
        ..
    } = facts;
    let mut refusals = Refusals::default();
    refusals.when(shop.deleted, Refusal::ShopDeleted);
    match order.status {
        OrderStatus::Confirmed => {}
        OrderStatus::Pending | OrderStatus::Cancelled => refusals.add(Refusal::NotConfirmed),
        OrderStatus::Test => refusals.add(Refusal::TestOrder),
    }
    let consent = Evidence::of(&order.consent, order.placed_at, facts.accepted_at);
    refusals.promotional(shop, person, consent.marketing.as_ref(), settings, now);

    let late = now.since(order.placed_at).as_secs() > u64::from(shop.spec.late_after_minutes) * 60;
    refusals.when(late && !shop.spec.mail_late, Refusal::Late);

    let language = language(&order.customer, shop);
    let wanted = Wanted {
        now,
        language,
        country: order.customer.country.unwrap_or(shop.spec.country),
        currency: order.total.currency,
        offers_max: shop.spec.offers_max,
        exploration: settings.exploration,
    };
    let Selection {
        offers,
        ends_at,
        advertisers,
    } = select(facts.candidates, &wanted, facts.selections, random);
    refusals.when(offers.is_empty(), Refusal::NoOffers);

    let life = now + settings.offer_life;
    refusals.or_send(Draft {
        stream: Stream::Promotional,
        language,
        catalogue: facts.candidates.catalogue(),
        date: now,
        expires: ends_at.map_or(life, |ends_at| ends_at.min(life)),
        tracking: tracking(shop, person, consent.tracking.as_ref()),
        offers,
        late,
        test: is_own(&order.customer, &shop.spec)
            || advertisers
                .iter()
                .any(|advertiser| is_own(&order.customer, &advertiser.spec)),
        template: shop.spec.offer_template.clone(),
    })
}

/// Decides whether a plain message is sent. One to the shop itself (a copy or a test of a reminder) asks for no consent.
pub fn decide_message(facts: &MessageFacts<'_>, now: Timestamp) -> Decision {
    let MessageFacts {
        request,
        shop,
        person,
        settings,
        ..
    } = facts;
    let mut refusals = Refusals::default();
    refusals.when(shop.deleted, Refusal::ShopDeleted);
    let consent_at = request.consent_at(facts.accepted_at);
    let consent = Evidence::of(&request.consent, consent_at, facts.accepted_at);
    // What goes to the shop itself is not about the person whose cart it shows.
    let is_for_shop = facts.origin.is_some_and(Origin::is_for_shop);
    match request.stream {
        _ if is_for_shop => {}
        Stream::Promotional => refusals.promotional(shop, person, consent.marketing.as_ref(), settings, now),
        Stream::Transactional => refusals.suppressed(shop, person, Stream::Transactional, None),
    }
    refusals.when(shop.spec.sender(request.stream).is_none(), Refusal::NoSender);

    let asked = request.expires_at.unwrap_or(facts.accepted_at + settings.message_life);
    let expires = asked.min(facts.accepted_at + settings.message_life_max);
    refusals.when(expires <= now, Refusal::Expired);

    refusals.or_send(Draft {
        stream: request.stream,
        language: language(&request.to, shop),
        catalogue: facts.catalogue,
        date: now,
        expires,
        tracking: if is_for_shop {
            Tracking::Aggregate
        } else {
            tracking(shop, person, consent.tracking.as_ref())
        },
        offers: Vec::new(),
        late: false,
        test: is_for_shop || is_own(&request.to, &shop.spec),
        template: match &request.body {
            Body::Template(used) => Some(used.id.clone()),
            Body::Cart(cart) => cart.template.clone(),
            Body::Content(_) => None,
        },
    })
}

/// What came with the request about the two purposes that decide.
struct Evidence {
    marketing: Option<Said>,
    tracking: Option<Said>,
}

impl Evidence {
    fn of(consent: &Consent, placed_at: Timestamp, accepted_at: Timestamp) -> Self {
        let said = |grant| Said::of(grant, placed_at, accepted_at);
        Self {
            marketing: consent.marketing.as_ref().map(said),
            tracking: consent.tracking.as_ref().map(said),
        }
    }
}

/// The reasons against sending, as they are found.
#[derive(Default)]
struct Refusals(Vec<Refusal>);

impl Refusals {
    fn add(&mut self, reason: Refusal) {
        if !self.0.contains(&reason) {
            self.0.push(reason);
        }
    }

    fn when(&mut self, applies: bool, reason: Refusal) {
        if applies {
            self.add(reason);
        }
    }

    /// Asks what every promotional mail must pass: consent, suppression, cap.
    fn promotional(
        &mut self,
        shop: &Shop,
        person: &PersonState,
        marketing: Option<&Said>,
        settings: &Settings,
        now: Timestamp,
    ) {
        match marketing.filter(|said| said.granted) {
            None => self.add(Refusal::NoMarketingConsent),
            Some(said) => {
                let stands = stands(said, person.refused_at(shop.number, Purpose::Marketing));
                self.when(!stands, Refusal::ConsentWithdrawn);
            }
        }
        self.suppressed(shop, person, Stream::Promotional, marketing);
        self.when(person.is_capped(&settings.frequency, now), Refusal::FrequencyCap);
    }

    fn suppressed(&mut self, shop: &Shop, person: &PersonState, stream: Stream, evidence: Option<&Said>) {
        for entry in person.suppressed(shop.number, stream, evidence) {
            self.add(match entry.shop {
                Some(_) => Refusal::SuppressedByShop,
                None => Refusal::SuppressedByNetwork,
            });
        }
    }

    fn or_send(mut self, draft: Draft) -> Decision {
        if self.0.is_empty() {
            return Decision::Send(draft);
        }
        self.0.sort_by_key(|reason| weight(*reason));
        Decision::Refuse(self.0)
    }
}

/// Returns a reason's place among those of one refusal.
const fn weight(reason: Refusal) -> u8 {
    match reason {
        Refusal::ShopDeleted => 0,
        Refusal::TestOrder => 1,
        Refusal::NotConfirmed => 2,
        Refusal::NoMarketingConsent => 3,
        Refusal::ConsentWithdrawn => 4,
        Refusal::SuppressedByNetwork => 5,
        Refusal::SuppressedByShop => 6,
        Refusal::Late => 7,
        Refusal::FrequencyCap => 8,
        Refusal::NoSender => 9,
        Refusal::Expired => 10,
        Refusal::NoOffers => 11,
    }
}

/// Returns whether evidence outweighs the last refusal: only if it is later.
fn stands(said: &Said, refused_at: Option<Timestamp>) -> bool {
    refused_at.is_none_or(|refused_at| said.at > refused_at)
}

/// Returns how pixel and links are made: naming the message only if this request's evidence allows it and stands.
fn tracking(shop: &Shop, person: &PersonState, evidence: Option<&Said>) -> Tracking {
    if evidence.is_some_and(|said| person.may_track(shop.number, said)) {
        Tracking::Individual
    } else {
        Tracking::Aggregate
    }
}

/// Returns whether the recipient is one of the shop's own people: opens and clicks are tests then.
///
/// Told by the address's domain: that of the shop's site or senders, or one under it. A mailbox provider's domain tells nothing, even
/// where a small shop sends from there.
fn is_own(to: &Customer, shop: &ShopSpec) -> bool {
    let domain = to.email.domain();
    let of_sender = |sender: &Sender| {
        let rest = domain.strip_suffix(sender.address.domain());
        rest.is_some_and(|under| under.is_empty() || under.ends_with('.'))
    };
    let senders = [Stream::Promotional, Stream::Transactional];
    let mut senders = senders.into_iter().filter_map(|stream| shop.sender(stream));
    Provider::of_host(domain) == Provider::Other && (shop.owns_host(domain) || senders.any(of_sender))
}

/// Returns the language of the recipient's locale if it is one of ours, else the shop's.
fn language(to: &Customer, shop: &Shop) -> Language {
    let own = to.locale.as_ref().and_then(|locale| Language::of_tag(locale));
    own.unwrap_or(shop.spec.language)
}
