//! A mail whose hits and landings are recorded, judged, decided and settled as time goes by.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a fixture of tests")]

use std::collections::BTreeMap;

use policy::hits::{Change, Hit, Landing, MailState, Recorded, Rules};
use policy::leads::{EarlierVisit, LeadFacts, decide};
use types::event::{
    AgentClass, Decided, HitKind, HitVerdict, Judged, Landed, LandingVia, LeadDecided, LeadOutcome, LeadRefusal,
    LeadVerdict, Offer, Plan, Tracking, Verdict, Visit,
};
use types::id::{CampaignNumber, EventId, MessageId, PersonKey, ShopNumber, VisitorKey};
use types::locale::Language;
use types::network::Network;
use types::order::Stream;
use types::provider::Provider;
use types::tally::{Hour, Measure};
use types::time::Timestamp;

use crate::fixture::{OTHER, OWN, now, slug};

/// When the mail of every test was delivered: a moment on the hour, in the past.
pub fn delivered_at() -> Timestamp {
    now()
}

/// Something that comes in.
#[derive(Clone, Debug)]
pub enum Act {
    Hit(Hit),
    Landing(Landing),
}

impl Act {
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Hit(hit) => hit.at,
            Self::Landing(landing) => landing.at,
        }
    }

    pub fn hit(&self) -> Option<&Hit> {
        match self {
            Self::Hit(hit) => Some(hit),
            Self::Landing(_) => None,
        }
    }
}

/// A plain GET by a browser: of the pixel, or of the link at a place. A click's own id is its event's.
pub fn hit(number: u64, at: Timestamp, place: Option<u8>, network: Option<Network>) -> Hit {
    Hit {
        id: EventId::from_raw(number),
        at,
        kind: place.map_or(HitKind::Open, |_| HitKind::Click),
        place: place.unwrap_or_default(),
        campaign: place.map(|place| CampaignNumber(100 + u32::from(place))),
        click: place.map(|_| EventId::from_raw(number)),
        agent: AgentClass::Client,
        network,
        visit: Visit::Real,
        suspect: false,
        untrusted: false,
    }
}

/// A report of a click's landing.
pub fn landing(number: u64, at: Timestamp, click: &Hit, via: LandingVia, new_visitor: Option<bool>) -> Landing {
    let landed = Landed {
        click: click.click.expect("opens lead nowhere"),
        message: message(),
        shop: OWN,
        campaign: click.campaign.unwrap(),
        via,
        new_visitor,
        proven: true,
        network: None,
        agent: AgentClass::Client,
    };
    Landing::reported(EventId::from_raw(number), at, &landed)
}

/// A mail with this many offers, delivered.
pub fn mail(offers: u8, test: bool) -> MailState {
    let shown = (0..offers).map(|place| Offer {
        campaign: CampaignNumber(100 + u32::from(place)),
        id: slug("a"),
        price: toml::from_str("amount = 90\ncurrency = 'EUR'").unwrap(),
        expected_value: 0,
        propensity: 1,
        explored: false,
    });
    let plan = Plan {
        message: message(),
        stream: Stream::Promotional,
        language: Language::It,
        catalogue: 1,
        date: delivered_at(),
        expires: delivered_at(),
        tracking: Tracking::Individual,
        offers: shown.collect(),
        late: false,
        test,
        template: None,
    };
    let decided = Decided {
        cause: EventId::from_raw(1),
        shop: OWN,
        person: PersonKey::from_bytes([3; 16]),
        verdict: Verdict::Send(plan.clone()),
    };
    let mut mail = MailState::new(&decided, &plan, Provider::Other);
    mail.delivered(delivered_at(), Provider::Google);
    mail
}

fn message() -> MessageId {
    MessageId::new(EventId::floor(delivered_at()))
}

/// The event that tells verdicts.
pub fn judged(hits: Vec<HitVerdict>) -> Judged {
    Judged {
        message: message(),
        shop: OWN,
        rules: 1,
        hits,
    }
}

/// What was counted, by measure and hour.
#[derive(Default)]
pub struct Counted {
    cells: BTreeMap<(Measure, Hour), i64>,
    lowest: i64,
}

impl Counted {
    pub fn add(&mut self, change: &Change) {
        for (measure, by) in change.measures() {
            *self.cells.entry((measure, change.hour)).or_default() += by;
        }
        self.lowest = self.cells.values().copied().fold(self.lowest, i64::min);
    }

    pub fn sum(&self, measure: Measure) -> i64 {
        self.by_hour(measure).iter().sum()
    }

    /// Returns the counts of each hour that has, or had, any.
    pub fn by_hour(&self, measure: Measure) -> Vec<i64> {
        let cells = self.cells.iter().filter(|((own, _), _)| *own == measure);
        cells.map(|(_, count)| *count).collect()
    }

    pub fn in_hour_of(&self, at: Timestamp, measure: Measure) -> i64 {
        self.cells.get(&(measure, Hour::of(at))).copied().unwrap_or_default()
    }

    /// Returns the lowest that any count ever was.
    pub fn lowest(&self) -> i64 {
        self.lowest
    }

    /// Returns the raw, machine, qualified and unique measures of a kind.
    pub fn measures(kind: HitKind) -> [Measure; 4] {
        match kind {
            HitKind::Open => [
                Measure::OpensRaw,
                Measure::OpensMachine,
                Measure::OpensQualified,
                Measure::OpensUnique,
            ],
            _ => [
                Measure::ClicksRaw,
                Measure::ClicksMachine,
                Measure::ClicksQualified,
                Measure::ClicksUnique,
            ],
        }
    }
}

/// A mail and all that became of it.
pub struct Mailbox {
    pub mail: MailState,
    /// The last verdict on each hit.
    pub told: BTreeMap<EventId, HitVerdict>,
    pub journal: Vec<Judged>,
    pub counted: Counted,
    /// How many leads were confirmed.
    pub confirmed: usize,
    pub settled: Vec<LeadOutcome>,
    pub refused: Vec<LeadRefusal>,
    visit: Option<EarlierVisit>,
    rules: Rules,
}

impl Mailbox {
    /// Begins with a delivered mail.
    pub fn started(offers: u8, test: bool) -> Self {
        Self {
            mail: mail(offers, test),
            told: BTreeMap::new(),
            journal: Vec::new(),
            counted: Counted::default(),
            confirmed: 0,
            settled: Vec::new(),
            refused: Vec::new(),
            visit: None,
            rules: Rules::builtin(),
        }
    }

    /// Lets everything happen in its order of time, looks whenever something is due, and ends when nothing is.
    pub fn run(offers: u8, test: bool, mut acts: Vec<Act>) -> Self {
        let mut mailbox = Self::started(offers, test);
        acts.sort_by_key(Act::at);
        for act in acts {
            while let Some(due) = mailbox.mail.due().filter(|due| *due <= act.at()) {
                mailbox.look(due);
            }
            mailbox.take(act);
        }
        mailbox.finish();
        mailbox
    }

    /// Looks until nothing is due.
    pub fn finish(&mut self) {
        let mut looks = 0;
        while let Some(due) = self.mail.due() {
            self.look(due);
            looks += 1;
            assert!(looks < 1_000, "something stays due: {:?}", self.mail);
        }
    }

    pub fn take(&mut self, act: Act) {
        match act {
            Act::Hit(hit) => {
                if let Recorded::Counted(change) = self.mail.record(hit) {
                    self.counted.add(&change);
                }
            }
            Act::Landing(landing) => {
                let at = landing.at;
                if let Some(change) = self.mail.land(landing) {
                    self.counted.add(&change);
                }
                self.look(at);
            }
        }
        assert_eq!(MailState::decode(&self.mail.encode()).unwrap(), self.mail);
    }

    /// Judges, decides and settles, as a runner does.
    pub fn look(&mut self, now: Timestamp) {
        let verdicts = self.mail.judge(&self.rules, now);
        if !verdicts.is_empty() {
            let judged = judged(verdicts);
            for change in self.mail.apply(&judged) {
                self.counted.add(&change);
            }
            assert_eq!(self.mail.judge(&self.rules, now), [], "judging twice changes nothing");
            self.told
                .extend(judged.hits.iter().map(|verdict| (verdict.hit, verdict.clone())));
            self.journal.push(judged);
        }
        for decidable in self.mail.decidable(now) {
            let verdict = decide(&LeadFacts {
                landing: &decidable.landing,
                click: decidable.click,
                mailed_at: delivered_at(),
                offer_ends_at: None,
                publisher: OWN,
                advertiser: OTHER,
                visitor: VisitorKey::from_bytes([9; 16]),
                price: decidable.price,
                withdrawn: false,
                visit: self.visit,
            });
            match &verdict {
                LeadVerdict::Refused(refusal) => self.refused.push(*refusal),
                LeadVerdict::Claimed(claim) => {
                    let generation = claim.generation;
                    self.visit = Some(EarlierVisit {
                        generation,
                        open: false,
                    });
                }
            }
            let event = EventId::from_raw(decidable.landing.id.raw() + 1_000_000);
            self.mail.decided(event, &lead_decided(&decidable.landing, verdict));
        }
        for settleable in self.mail.settleable() {
            let voided = matches!(settleable.outcome, LeadOutcome::Voided(_));
            self.settled.push(settleable.outcome);
            self.mail.settled(settleable.lead, voided);
            if voided {
                let generation = self.visit.unwrap().generation + 1;
                self.visit = Some(EarlierVisit { generation, open: true });
            } else {
                self.confirmed += 1;
            }
        }
    }
}

fn lead_decided(landing: &Landing, verdict: LeadVerdict) -> LeadDecided {
    LeadDecided {
        message: message(),
        shop: OWN,
        campaign: landing.campaign,
        advertiser: ShopNumber(OTHER.0),
        click: landing.click,
        landing: landing.id,
        verdict,
    }
}
