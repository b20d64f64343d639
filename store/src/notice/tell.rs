//! What each kind of event has to tell, with names in the place of numbers.

use types::catalogue::Catalogue;
use types::event::{
    AttemptEnded, Decided, Event, Judged, LeadDecided, LeadOutcome, LeadSettled, LeadVerdict, Outcome,
    UnsubscribeScope, UnsubscribedBy, Verdict,
};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PublicId, ShopNumber};
use types::provider::Provider;
use types::text::Slug;

use super::{HitJudged, HitsAdded, LeadOf, OfferShown, What};

/// Whose it is, which mail, and what.
pub(super) type Told = (Option<ShopNumber>, Option<MessageId>, What);

/// Puts names in the place of numbers.
pub(super) struct Teller<'a> {
    pub(super) partition: PartitionId,
    pub(super) catalogue: &'a Catalogue,
}

impl Teller<'_> {
    /// Tells an event whose record has this id.
    pub(super) fn tell(&self, id: EventId, event: &Event) -> Option<Told> {
        let told = match event {
            Event::OrderAccepted(accepted) => {
                let (status, total) = (accepted.order.status, accepted.order.total);
                (Some(accepted.shop), None, What::OrderAccepted { status, total })
            }
            Event::MessageAccepted(accepted) => {
                let stream = accepted.request.stream;
                (Some(accepted.shop), None, What::MessageAccepted { stream })
            }
            Event::Decided(decided) => self.decided(decided),
            Event::AttemptEnded(ended) => (None, Some(ended.message), attempted(ended)),
            Event::SuppressionChanged(changed) => {
                let stream = changed.stream;
                let what = match changed.cause {
                    Some(cause) => What::SuppressionAdded { stream, cause },
                    None => What::SuppressionRemoved { stream },
                };
                (changed.shop, None, what)
            }
            Event::Unsubscribed(event) => {
                let scope = match event.scope {
                    UnsubscribeScope::Shop => "shop",
                    UnsubscribeScope::Network => "network",
                };
                let by = match event.by {
                    UnsubscribedBy::OneClick => "one_click",
                    UnsubscribedBy::Page => "page",
                };
                (Some(event.shop), Some(event.message), What::Unsubscribed { scope, by })
            }
            Event::Opened(event) => {
                let what = What::Opened {
                    agent: event.agent,
                    visit: event.visit,
                    suspect: event.suspect,
                };
                (Some(event.shop), Some(event.message), what)
            }
            Event::Clicked(event) => {
                let what = What::Clicked {
                    campaign: self.campaign(event.campaign),
                    place: event.slot,
                    click: event.click.map(|click| self.public(click)),
                    agent: event.agent,
                    visit: event.visit,
                    suspect: event.suspect,
                    untrusted: event.untrusted,
                };
                (Some(event.shop), Some(event.message), what)
            }
            Event::Judged(judged) => (Some(judged.shop), Some(judged.message), self.judged(judged)),
            Event::Landed(event) => {
                let campaign = self.catalogue.campaign_by_number(event.campaign);
                let what = What::Landed {
                    campaign: campaign.map(|campaign| campaign.id.clone()),
                    advertiser: campaign.map(|campaign| campaign.spec.advertiser.clone()),
                    click: self.public(event.click),
                    via: event.via,
                    new_visitor: event.new_visitor,
                    proven: event.proven,
                };
                (Some(event.shop), Some(event.message), what)
            }
            Event::LeadDecided(decided) => (Some(decided.shop), Some(decided.message), self.lead_decided(decided)),
            Event::LeadSettled(settled) => (Some(settled.shop), Some(settled.message), self.lead_settled(settled)),
            Event::AggregateCounted(counted) => {
                let hits = counted.hits.iter().map(|hit| HitsAdded {
                    shop: self.shop(hit.shop),
                    campaign: hit.campaign.and_then(|campaign| self.campaign(campaign)),
                    kind: hit.kind,
                    class: hit.class,
                    count: hit.count,
                });
                (None, None, What::AggregateCounted { hits: hits.collect() })
            }
            Event::PreferenceChanged(event) => {
                let preference = event.preference;
                (
                    Some(event.shop),
                    Some(event.message),
                    What::PreferenceChanged { preference },
                )
            }
            Event::PersonErased(erased) => (erased.shop, None, What::PersonErased),
            Event::ContactChanged(changed) => Self::contact(changed),
            Event::EventReported(event) => Self::reported(event),
            Event::CartChanged(changed) => self.cart(id, changed),
            Event::CartDecided(decided) => self.cart_decided(decided),
            Event::Moved(moved) => self.moved(id, moved),
            Event::CatalogueChanged(_)
            | Event::AttemptClaimed(_)
            | Event::WebhookEnded(_)
            | Event::Swept(_)
            | Event::SetAside(_) => return None,
        };
        Some(told)
    }

    fn decided(&self, decided: &Decided) -> Told {
        let cause = self.public(decided.cause);
        match &decided.verdict {
            Verdict::Send(plan) => {
                let offers = plan.offers.iter().map(|offer| OfferShown {
                    campaign: offer.id.clone(),
                    price: offer.price,
                });
                let what = What::Decided {
                    cause,
                    stream: plan.stream,
                    template: plan.template.clone(),
                    tracking: plan.tracking,
                    test: plan.test,
                    offers: offers.collect(),
                };
                (Some(decided.shop), Some(plan.message), what)
            }
            Verdict::Refuse(reasons) => {
                let reasons = reasons.iter().map(|reason| reason.code()).collect();
                (Some(decided.shop), None, What::Refused { cause, reasons })
            }
        }
    }

    fn judged(&self, judged: &Judged) -> What {
        let hits = judged.hits.iter().map(|verdict| HitJudged {
            hit: self.public(verdict.hit),
            round: verdict.round,
            class: verdict.class,
            reasons: verdict.reasons.clone(),
        });
        What::Judged {
            rules: judged.rules,
            hits: hits.collect(),
        }
    }

    fn lead_decided(&self, decided: &LeadDecided) -> What {
        let of = self.lead_of(decided.campaign, decided.advertiser);
        let (click, landing) = (self.public(decided.click), self.public(decided.landing));
        match &decided.verdict {
            LeadVerdict::Claimed(claim) => What::LeadClaimed {
                of,
                click,
                landing,
                lead: claim.lead,
                price: claim.price,
                evidence: claim.evidence,
            },
            LeadVerdict::Refused(reason) => What::LeadRefused {
                of,
                click,
                landing,
                reason: Some(*reason),
            },
        }
    }

    fn lead_settled(&self, settled: &LeadSettled) -> What {
        let of = self.lead_of(settled.campaign, settled.advertiser);
        let (lead, claimed) = (settled.lead, self.public(settled.claimed));
        match settled.outcome {
            LeadOutcome::Confirmed => What::LeadConfirmed { of, lead, claimed },
            LeadOutcome::Voided(reason) => What::LeadVoided {
                of,
                lead,
                claimed,
                reason: Some(reason),
            },
        }
    }

    fn lead_of(&self, campaign: CampaignNumber, advertiser: ShopNumber) -> LeadOf {
        LeadOf {
            campaign: self.campaign(campaign),
            advertiser: self.shop(advertiser),
        }
    }

    pub(super) fn shop(&self, number: ShopNumber) -> Option<Slug> {
        self.catalogue.shop_by_number(number).map(|shop| shop.id.clone())
    }

    fn campaign(&self, number: CampaignNumber) -> Option<Slug> {
        let campaign = self.catalogue.campaign_by_number(number);
        campaign.map(|campaign| campaign.id.clone())
    }

    pub(super) fn public(&self, event: EventId) -> PublicId {
        PublicId {
            partition: self.partition,
            event,
        }
    }
}

fn attempted(ended: &AttemptEnded) -> What {
    let attempt = ended.attempt.0;
    // The peer's host name comes first; what follows it is an address, which stays here.
    let host = ended.peer.split_ascii_whitespace().next().unwrap_or_default();
    let provider = Provider::of_host(&host.trim_end_matches('.').to_ascii_lowercase()).as_str();
    match ended.outcome {
        Outcome::Delivered => What::Delivered { attempt, provider },
        Outcome::Deferred { until, class } => What::Deferred {
            attempt,
            provider,
            class: class.as_str(),
            until,
        },
        Outcome::Failed { class } => What::Failed {
            attempt,
            provider,
            class: class.as_str(),
        },
        Outcome::InDoubt { retry } => What::InDoubt {
            attempt,
            provider,
            retry,
        },
        Outcome::Expired => What::Expired,
        Outcome::Withdrawn => What::Withdrawn,
    }
}
