//! Judging: what one hit was, told by the hits around it.
//!
//! Precedence, the first that fits: a test (the recipient is one of the shop's or an advertiser's own people), made in
//! advance, a scanner, Apple's privacy proxy, another provider's proxy, a person. A scanner outweighs the proxies because scanners claim
//! to be anything, and outweighs the person because a lead that is not paid costs less trust than one that was no visit.

use std::time::Duration;

use types::event::{AgentClass, HitClass, HitKind, HitReason, HitVerdict, Round, Visit};
use types::time::Timestamp;

use super::mail::{Given, Kept, Known};
use super::{FINAL_AFTER, HITS_MAX, Hit, MailState, PROVISIONAL_AFTER, Rules};

impl MailState {
    /// Returns what [`MailState::apply`] would change at `now`: the verdicts that are new, or differ from those given.
    ///
    /// A hit is first judged [`PROVISIONAL_AFTER`] it was made. Its verdict is final [`FINAL_AFTER`] it was made, or at once if
    /// nothing can change it; after that it stands, whatever the rules say.
    pub fn judge(&self, rules: &Rules, now: Timestamp) -> Vec<HitVerdict> {
        let Some(known) = &self.known else {
            return Vec::new();
        };
        let open = known.hits.iter().filter(|kept| !kept.is_final());
        let ready = open.filter(|kept| now >= kept.hit.at + PROVISIONAL_AFTER);
        let judged = ready.filter_map(|kept| {
            let given = known.judge(rules, &kept.hit, now);
            let news = kept.given.as_ref() != Some(&given);
            news.then_some(HitVerdict {
                hit: kept.hit.id,
                round: given.round,
                class: given.class,
                reasons: given.reasons,
            })
        });
        judged.collect()
    }

    /// Returns the next moment at which there is something to judge, to decide or to settle, if any is left.
    pub fn due(&self) -> Option<Timestamp> {
        let known = self.known.as_ref()?;
        let verdicts = known.hits.iter().filter_map(|kept| match &kept.given {
            None => Some(kept.hit.at + PROVISIONAL_AFTER),
            Some(given) => (given.round == Round::Provisional).then_some(kept.hit.at + FINAL_AFTER),
        });
        let lost = known.undecided().filter(|(_, click)| click.is_none());
        let lost = lost.map(|(landing, _)| landing.at + PROVISIONAL_AFTER);
        let now = Timestamp::default();
        let decidable = self.decidable(now).into_iter().map(|decidable| decidable.landing.at);
        let settleable = self.settleable().into_iter().map(|_| now);
        verdicts.chain(lost).chain(decidable).chain(settleable).min()
    }
}

impl Known {
    fn judge(&self, rules: &Rules, hit: &Hit, now: Timestamp) -> Given {
        let alone = class_of(hit.kind, hit.agent, hit.visit);
        if self.test {
            return final_verdict(HitClass::Test, vec![HitReason::OwnPeople]);
        }
        if alone == HitClass::Prefetch {
            return final_verdict(alone, vec![HitReason::InAdvance]);
        }
        let own = own_reasons(rules, hit, alone);
        if !own.is_empty() {
            return final_verdict(HitClass::Scanner, own);
        }
        let around: Vec<_> = self.reasons_around(rules, hit).collect();
        let (class, reasons) = match (around.is_empty(), alone) {
            (false, _) => (HitClass::Scanner, around),
            (true, HitClass::Human) => (HitClass::Human, around),
            (true, proxy) => (proxy, vec![HitReason::ProxyAgent]),
        };
        let round = if now >= hit.at + FINAL_AFTER {
            Round::Final
        } else {
            Round::Provisional
        };
        Given { round, class, reasons }
    }

    /// Returns what the hits and the landing around a hit, and the delivery before it, say against a person.
    fn reasons_around(&self, rules: &Rules, hit: &Hit) -> impl Iterator<Item = HitReason> {
        let checks = [
            (self.is_too_soon(rules, hit), HitReason::TooSoon),
            (self.is_burst(rules, hit), HitReason::Burst),
            (self.is_seconded(rules, hit), HitReason::SecondNetwork),
            (self.is_probed(rules, hit), HitReason::ProbedBefore),
        ];
        checks
            .into_iter()
            .filter_map(|(applies, reason)| applies.then_some(reason))
    }

    /// Returns whether the mail was delivered too shortly before; before its delivery is too soon as well.
    fn is_too_soon(&self, rules: &Rules, hit: &Hit) -> bool {
        let soon = match (hit.kind, hit.agent) {
            (HitKind::Open, AgentClass::Client) => rules.too_soon.open,
            (HitKind::Open, _) => rules.too_soon.proxy,
            (HitKind::Click | HitKind::Landing, _) => rules.too_soon.click,
        };
        self.delivered_at
            .is_some_and(|delivered_at| hit.at < delivered_at + soon)
    }

    /// Returns whether the hit is one of many within seconds: from its own network, or from several and it led nowhere.
    fn is_burst(&self, rules: &Rules, hit: &Hit) -> bool {
        let own = |other: &Hit| other.network == hit.network;
        self.followed_many(rules, hit, own)
            || (hit.kind == HitKind::Click && !self.landed(hit) && self.followed_many(rules, hit, |_| true))
    }

    /// Returns whether several links, or all, were followed within seconds that the hit lies in.
    fn followed_many(&self, rules: &Rules, hit: &Hit, by: impl Fn(&Hit) -> bool) -> bool {
        let burst = &rules.burst;
        let many = |links: usize, within: Duration| {
            let near = self
                .hits
                .iter()
                .map(|kept| &kept.hit)
                .filter(|other| other.kind == HitKind::Click && by(other) && apart(other.at, hit.at) <= within);
            let near: Vec<&Hit> = near.collect();
            // Links that all of them together do not reach, those inside one window do not reach either: most mails end here.
            if places(near.iter().copied()) < links {
                return false;
            }
            let starts = self.hits.iter().map(|kept| kept.hit.at);
            let mut around = starts.filter(|start| *start <= hit.at && hit.at <= *start + within);
            around.any(|start| {
                let inside = near.iter().copied();
                places(inside.filter(|other| start <= other.at && other.at <= start + within)) >= links
            })
        };
        let all = self.offers.len();
        many(burst.links, burst.within) || (all >= 2 && many(all, burst.all_within))
    }

    /// Returns whether the same link was followed from another network within seconds, and this one led nowhere.
    fn is_seconded(&self, rules: &Rules, hit: &Hit) -> bool {
        let second = |other: &Hit| {
            other.kind == HitKind::Click
                && other.visit == Visit::Real
                && other.place == hit.place
                && other.network != hit.network
                && other.network.is_some()
                && apart(other.at, hit.at) <= rules.second_network
        };
        hit.kind == HitKind::Click
            && hit.network.is_some()
            && !self.landed(hit)
            && self.hits.iter().any(|kept| second(&kept.hit))
    }

    /// Returns whether a HEAD request for the same link, or pixel, came from the same network shortly before.
    fn is_probed(&self, rules: &Rules, hit: &Hit) -> bool {
        self.hits.iter().map(|kept| &kept.hit).any(|other| {
            other.visit == Visit::Head
                && (other.kind, other.place, other.network) == (hit.kind, hit.place, hit.network)
                && other.at <= hit.at
                && hit.at.since(other.at) <= rules.probe
        })
    }

    /// Returns whether a click led to a landing that its site proves, in time.
    fn landed(&self, hit: &Hit) -> bool {
        self.landings
            .as_slice()
            .iter()
            .any(|landing| landing.proven && Some(landing.click) == hit.click && landing.at <= hit.at + FINAL_AFTER)
    }

    /// Forgets a hit if there are too many. Its counts stand.
    ///
    /// The oldest final one goes first. When there is none, the network with the most hits gives up its oldest: whoever floods a
    /// mail must not push out the person who came once.
    pub(super) fn make_room(&mut self) {
        if self.hits.len() <= HITS_MAX {
            return;
        }
        let may_go = |kept: &Kept| !self.landings.awaits(&kept.hit);
        let of_network = |kept: &Kept| {
            self.hits
                .iter()
                .filter(|other| other.hit.network == kept.hit.network)
                .count()
        };
        let is_final = |kept: &Kept| may_go(kept) && kept.is_final();
        let loudest = || {
            let places = self.hits.iter().enumerate().filter(|(_, kept)| may_go(kept));
            places
                .max_by_key(|(at, kept)| (of_network(kept), std::cmp::Reverse(*at)))
                .map(|(at, _)| at)
        };
        let victim = self.hits.iter().position(is_final).or_else(loudest);
        let forgotten = self.hits.remove(victim.unwrap_or_default());
        self.seal(&forgotten);
    }
}

impl Kept {
    fn is_final(&self) -> bool {
        self.given.as_ref().is_some_and(|given| given.round == Round::Final)
    }
}

/// Returns what a hit is taken for by what it says itself: all there is when it names no mail, and nothing is kept.
pub fn class_of(kind: HitKind, agent: AgentClass, visit: Visit) -> HitClass {
    if visit != Visit::Real {
        return HitClass::Prefetch;
    }
    match (agent, kind) {
        (AgentClass::Client, _) => HitClass::Human,
        (AgentClass::ApplePrivacy, HitKind::Open) => HitClass::AppleMpp,
        (AgentClass::GmailProxy, HitKind::Open) => HitClass::GmailProxy,
        (AgentClass::Proxy, HitKind::Open) => HitClass::OtherProxy,
        // Proxies fetch images; what follows links under their names is something else.
        (AgentClass::Machine | AgentClass::Unknown, _) | (_, HitKind::Click | HitKind::Landing) => HitClass::Scanner,
    }
}

/// Returns what a hit itself says against a person; nothing that comes later takes it back.
fn own_reasons(rules: &Rules, hit: &Hit, alone: HitClass) -> Vec<HitReason> {
    let by_agent = match hit.agent {
        AgentClass::Machine | AgentClass::Unknown => HitReason::MachineAgent,
        AgentClass::Client | AgentClass::Proxy | AgentClass::ApplePrivacy | AgentClass::GmailProxy => {
            HitReason::ProxyAgent
        }
    };
    let of_scanners = hit.network.is_some_and(|network| rules.is_scanner(network));
    let checks = [
        (alone == HitClass::Scanner, by_agent),
        (of_scanners, HitReason::ScannerNetwork),
        (hit.suspect, HitReason::BadTokens),
        (hit.untrusted, HitReason::UntrustedKey),
    ];
    checks
        .into_iter()
        .filter_map(|(applies, reason)| applies.then_some(reason))
        .collect()
}

const fn final_verdict(class: HitClass, reasons: Vec<HitReason>) -> Given {
    Given {
        round: Round::Final,
        class,
        reasons,
    }
}

/// Returns how many different links were followed.
fn places<'a>(clicks: impl Iterator<Item = &'a Hit>) -> usize {
    let mut seen = [0_u128; 2];
    for Hit { place, .. } in clicks {
        let [low, high] = &mut seen;
        *(if *place < 128 { low } else { high }) |= 1 << (place % 128);
    }
    let count: u32 = seen.iter().map(|places| places.count_ones()).sum();
    count as usize
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}
