//! Statistics counted a second time, from the records alone and in the plainest way, to compare with those of the desks.

use std::collections::{BTreeMap, BTreeSet};

use store::Record;
use types::event::{
    Decided, Event, HitClass, HitKind, LeadOutcome, LeadVerdict, Outcome, SuppressionCause, Verdict, Visit,
};
use types::id::{CampaignNumber, EventId, MessageId, PartitionId, PersonKey, ShopNumber, Slot};
use types::order::Stream;
use types::provider::Provider;
use types::tally::{CellKey, Counts, Dimensions, Hour, Measure};
use types::text::Slug;
use types::time::Timestamp;

struct Hit {
    kind: HitKind,
    place: u8,
    campaign: Option<CampaignNumber>,
    at: Timestamp,
    class: Option<HitClass>,
}

struct Mail {
    partition: PartitionId,
    person: PersonKey,
    shop: ShopNumber,
    provider: Provider,
    template: Option<Slug>,
    offers: Vec<CampaignNumber>,
    test: bool,
    ended: bool,
    erased: bool,
    hits: BTreeMap<EventId, Hit>,
    landed: BTreeSet<EventId>,
}

#[derive(Default)]
pub struct Recount {
    cells: BTreeMap<CellKey, Counts>,
    accepted: BTreeMap<EventId, (Hour, Provider)>,
    mails: BTreeMap<MessageId, Mail>,
}

/// Counts everything that happened.
pub fn recount(records: &[Record]) -> Vec<(CellKey, Counts)> {
    let mut recount = Recount::default();
    for record in records {
        recount.take(record);
    }
    let mails: Vec<_> = recount.mails.keys().copied().collect();
    for message in mails {
        recount.judge(message);
    }
    recount.cells.retain(|_, counts| counts.iter().next().is_some());
    recount.cells.into_iter().collect()
}

impl Recount {
    fn take(&mut self, record: &Record) {
        let hour = Hour::of(record.wall);
        match &record.event {
            Event::OrderAccepted(accepted) => {
                let provider = Provider::of_host(accepted.order.customer.email.domain());
                self.accepted.insert(record.id, (hour, provider));
            }
            Event::Decided(decided) => self.decided(record, decided),
            Event::AttemptEnded(ended) if ended.outcome.is_terminal() => {
                let Some(mail) = self.mails.get_mut(&ended.message).filter(|mail| !mail.ended) else {
                    return;
                };
                mail.ended = true;
                let measure = match ended.outcome {
                    Outcome::Delivered => {
                        mail.provider = Provider::Italiaonline;
                        Measure::Delivered
                    }
                    Outcome::InDoubt { .. } => Measure::InDoubt,
                    _ => Measure::Failed,
                };
                let offers = mail.offers.clone();
                self.count(ended.message, None, hour, measure);
                for offer in offers {
                    self.count_offer(ended.message, offer, hour, measure);
                }
            }
            Event::Unsubscribed(unsubscribed) => self.count(unsubscribed.message, None, hour, Measure::Unsubscribes),
            Event::SuppressionChanged(changed) if changed.cause == Some(SuppressionCause::Complaint) => {
                if let Some(shop) = changed.shop {
                    self.add(record.partition, plain(shop), hour, Measure::Complaints, 1);
                }
            }
            Event::Opened(opened) => self.hit(record, opened.message, opened.visit, (HitKind::Open, 0, None)),
            Event::Clicked(clicked) => {
                let link = (HitKind::Click, clicked.slot, Some(clicked.campaign));
                self.hit(record, clicked.message, clicked.visit, link);
            }
            Event::Judged(judged) => {
                let mail = self.mails.get_mut(&judged.message).unwrap();
                for verdict in &judged.hits {
                    mail.hits.get_mut(&verdict.hit).unwrap().class = Some(verdict.class);
                }
            }
            Event::Landed(landed) => {
                let mail = self.mails.get_mut(&landed.message).unwrap();
                if mail.landed.insert(landed.click) && !mail.test {
                    self.count(landed.message, Some(landed.campaign), hour, Measure::Landings);
                }
            }
            Event::LeadDecided(decided) if matches!(decided.verdict, LeadVerdict::Claimed(_)) => {
                self.count(decided.message, Some(decided.campaign), hour, Measure::LeadsClaimed);
            }
            Event::LeadSettled(settled) => {
                let measure = match settled.outcome {
                    LeadOutcome::Confirmed => Measure::LeadsConfirmed,
                    LeadOutcome::Voided(_) => Measure::LeadsVoided,
                };
                self.count(settled.message, Some(settled.campaign), hour, measure);
            }
            Event::AggregateCounted(counted) => {
                for hit in &counted.hits {
                    let measure = match hit.kind {
                        HitKind::Open => Measure::OpensAggregate,
                        HitKind::Click => Measure::ClicksAggregate,
                        HitKind::Landing => Measure::LandingsAggregate,
                    };
                    self.add(record.partition, plain(hit.shop), hour, measure, hit.count.into());
                    if let Some(campaign) = hit.campaign {
                        let offer = Dimensions::Offer {
                            campaign,
                            publisher: hit.shop,
                        };
                        self.add(record.partition, offer, hour, measure, hit.count.into());
                    }
                }
            }
            Event::PersonErased(erased) => {
                let own = |mail: &Mail| {
                    mail.person == erased.person && erased.shop.is_none_or(|shop| shop == mail.shop) && !mail.erased
                };
                let mails: Vec<_> = self
                    .mails
                    .iter()
                    .filter(|(_, mail)| own(mail))
                    .map(|(id, _)| *id)
                    .collect();
                for message in mails {
                    self.judge(message);
                    let mail = self.mails.get_mut(&message).unwrap();
                    mail.erased = true;
                    mail.hits.clear();
                }
            }
            _ => {}
        }
    }

    fn decided(&mut self, record: &Record, decided: &Decided) {
        let (hour, provider) = self.accepted[&decided.cause];
        let mut template = None;
        if let Verdict::Send(plan) = &decided.verdict {
            template.clone_from(&plan.template);
            let mail = Mail {
                partition: record.partition,
                person: decided.person,
                shop: decided.shop,
                provider,
                template: plan.template.clone(),
                offers: plan.offers.iter().map(|offer| offer.campaign).collect(),
                test: plan.test,
                ended: false,
                erased: false,
                hits: BTreeMap::new(),
                landed: BTreeSet::new(),
            };
            self.mails.insert(plan.message, mail);
            let sent_at = Hour::of(record.wall);
            self.count(plan.message, None, sent_at, Measure::Sent);
            for offer in &plan.offers {
                self.count_offer(plan.message, offer.campaign, sent_at, Measure::Sent);
            }
        }
        let dimensions = mails(decided.shop, provider, template);
        self.add(record.partition, dimensions, hour, Measure::Accepted, 1);
    }

    fn hit(
        &mut self,
        record: &Record,
        message: MessageId,
        visit: Visit,
        (kind, place, campaign): (HitKind, u8, Option<CampaignNumber>),
    ) {
        let mail = self.mails.get_mut(&message).unwrap();
        let (at, class) = (record.wall, None);
        mail.hits.insert(
            record.id,
            Hit {
                kind,
                place,
                campaign,
                at,
                class,
            },
        );
        if visit == Visit::Real && !mail.test {
            self.count(message, campaign, Hour::of(at), Measure::raw(kind));
        }
    }

    /// Counts what a mail's hits were taken for in the end.
    fn judge(&mut self, message: MessageId) {
        let hits = std::mem::take(&mut self.mails.get_mut(&message).unwrap().hits);
        let mut seen = BTreeSet::new();
        let mut hits: Vec<_> = hits.into_iter().collect();
        hits.sort_by_key(|(id, hit)| (hit.at, *id));
        for (_, hit) in hits {
            let Some(class) = hit.class else {
                continue;
            };
            let [machine, qualified, unique] = match hit.kind {
                HitKind::Open => [Measure::OpensMachine, Measure::OpensQualified, Measure::OpensUnique],
                _ => [Measure::ClicksMachine, Measure::ClicksQualified, Measure::ClicksUnique],
            };
            let hour = Hour::of(hit.at);
            if class.is_machine() {
                self.count(message, hit.campaign, hour, machine);
            }
            if class.is_qualified() {
                self.count(message, hit.campaign, hour, qualified);
                if seen.insert((hit.kind, hit.place)) {
                    self.count(message, hit.campaign, hour, unique);
                }
            }
        }
    }

    fn count(&mut self, message: MessageId, campaign: Option<CampaignNumber>, hour: Hour, measure: Measure) {
        let mail = &self.mails[&message];
        if mail.erased {
            return;
        }
        let (partition, dimensions) = (mail.partition, mails(mail.shop, mail.provider, mail.template.clone()));
        self.add(partition, dimensions, hour, measure, 1);
        if let Some(campaign) = campaign {
            self.count_offer(message, campaign, hour, measure);
        }
    }

    fn count_offer(&mut self, message: MessageId, campaign: CampaignNumber, hour: Hour, measure: Measure) {
        let mail = &self.mails[&message];
        if !mail.erased {
            let offer = Dimensions::Offer {
                campaign,
                publisher: mail.shop,
            };
            self.add(mail.partition, offer, hour, measure, 1);
        }
    }

    fn add(&mut self, partition: PartitionId, dimensions: Dimensions, hour: Hour, measure: Measure, by: i64) {
        let slot = Slot::of(partition);
        let cell = self.cells.entry(CellKey { dimensions, hour, slot }).or_default();
        cell.add(measure, by);
    }
}

fn mails(shop: ShopNumber, provider: Provider, template: Option<Slug>) -> Dimensions {
    Dimensions::Mails {
        shop,
        stream: Stream::Promotional,
        provider,
        template,
    }
}

fn plain(shop: ShopNumber) -> Dimensions {
    mails(shop, Provider::Other, None)
}
