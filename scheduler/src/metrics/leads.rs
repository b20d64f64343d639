//! The metrics of leads: how many, how late, how much.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};
use types::event::{LeadOutcome, LeadRefusal, LeadVerdict, VoidReason};
use types::money::{Currency, Money};

use super::VALID;

/// Currencies with a label of their own: those of Europe and of its visitors. A label comes from a closed set, and a currency is any three
/// letters that a campaign's author writes. Amounts in `other` add up to nothing, but still balance.
const CURRENCIES: [&str; 16] = [
    "AUD", "BGN", "CAD", "CHF", "CZK", "DKK", "EUR", "GBP", "HUF", "JPY", "NOK", "PLN", "RON", "SEK", "TRY", "USD",
];
/// What may become of the money of a lead.
const OUTCOMES: [&str; 3] = ["claimed", "confirmed", "voided"];

/// The metrics of leads.
#[derive(Clone, Debug)]
pub(super) struct Leads {
    /// Landings decided on and leads settled, by what came of it: `claimed`, `confirmed`, `voided_*`, or the reason of the refusal.
    ///
    /// `visited_before` and `known_to_site` are normal. `voided_machine` should stay far below `confirmed`; `unproven` or `no_click`
    /// rising: an advertiser's snippet is on the wrong host, or clicks are dropped, see `tracker_*`.
    verdicts: IntCounterVec,
    /// How long after its moment a claimed lead is settled: half an hour after its click, when the verdict on it is final.
    ///
    /// Healthy: below 5 seconds. A minute: mails are judged late, see `scheduler_judged_lag_seconds`. Hours are normal once after the
    /// service stood still. Leads voided because their person was erased are not in it: nothing was due.
    lateness: Histogram,
    /// Money of leads in minor units, by what became of it: what is claimed is later confirmed or voided, to the last cent.
    ///
    /// Counted once, by the process that decides: a start that replays the journal adds nothing, so that over a restart what one process
    /// claimed is settled by the next. Not exact over a crash: what was decided and not durable is decided, and counted, again by the
    /// next process, and what was counted after the last scrape nobody has seen. The journal has the truth: `staffetta stats`.
    ///
    /// Healthy: claimed and confirmed + voided run half an hour apart, at even distance. Drifting apart: leads are claimed and not
    /// settled, see `scheduler_lead_lateness_seconds`; voided near confirmed: see `scheduler_leads_total` for why.
    amounts: IntCounterVec,
}

impl Leads {
    pub(super) fn register(registry: &Registry) -> Self {
        let late = vec![0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0];
        let metrics = Self {
            verdicts: IntCounterVec::new(
                Opts::new("scheduler_leads_total", "Landings decided on and leads settled."),
                &["verdict"],
            )
            .expect(VALID),
            lateness: Histogram::with_opts(
                HistogramOpts::new(
                    "scheduler_lead_lateness_seconds",
                    "How long after its moment a claimed lead is settled.",
                )
                .buckets(late),
            )
            .expect(VALID),
            amounts: IntCounterVec::new(
                Opts::new(
                    "scheduler_lead_amount_total",
                    "Money of leads in minor units of its currency.",
                ),
                &["outcome", "currency"],
            )
            .expect(VALID),
        };
        for collector in [
            Box::new(metrics.verdicts.clone()) as Box<dyn prometheus::core::Collector>,
            Box::new(metrics.lateness.clone()),
            Box::new(metrics.amounts.clone()),
        ] {
            registry.register(collector).expect("each name is registered once");
        }
        let settled = [
            "claimed",
            "confirmed",
            "voided_machine",
            "voided_known_to_site",
            "voided_erased",
        ];
        for verdict in settled.into_iter().chain(LeadRefusal::ALL.map(LeadRefusal::code)) {
            metrics.verdicts.with_label_values(&[verdict]);
        }
        metrics.begin("EUR");
        metrics
    }

    /// Counts a decision on a landing.
    pub(super) fn decided(&self, verdict: &LeadVerdict) {
        let label = match verdict {
            LeadVerdict::Claimed(_) => "claimed",
            LeadVerdict::Refused(refusal) => refusal.code(),
        };
        self.verdicts.with_label_values(&[label]).inc();
        if let LeadVerdict::Claimed(claim) = verdict {
            self.begin(label_of(claim.price.currency));
            self.count("claimed", claim.price);
        }
    }

    /// Counts the settlement of a lead of this price, so long after it was due.
    pub(super) fn settled(&self, outcome: LeadOutcome, price: Option<Money>, late: Option<Duration>) {
        let (verdict, money) = match outcome {
            LeadOutcome::Confirmed => ("confirmed", "confirmed"),
            LeadOutcome::Voided(VoidReason::Machine) => ("voided_machine", "voided"),
            LeadOutcome::Voided(VoidReason::KnownToSite) => ("voided_known_to_site", "voided"),
            LeadOutcome::Voided(VoidReason::Erased) => ("voided_erased", "voided"),
        };
        self.verdicts.with_label_values(&[verdict]).inc();
        if let Some(price) = price {
            self.count(money, price);
        }
        if let Some(late) = late {
            self.lateness.observe(late.as_secs_f64());
        }
    }

    fn count(&self, outcome: &str, price: Money) {
        self.amounts
            .with_label_values(&[outcome, label_of(price.currency)])
            .inc_by(u64::try_from(price.amount).unwrap_or_default());
    }

    /// Lets a currency's amounts begin at zero.
    fn begin(&self, currency: &str) {
        for outcome in OUTCOMES {
            self.amounts.with_label_values(&[outcome, currency]);
        }
    }
}

fn label_of(currency: Currency) -> &'static str {
    let known = CURRENCIES.into_iter().find(|known| *known == currency.as_str());
    known.unwrap_or("other")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests state expectations by unwrapping")]

    use super::*;

    fn money(amount: i64, currency: &str) -> Money {
        let currency = Currency::try_from(currency.to_owned()).unwrap();
        Money { amount, currency }
    }

    #[test]
    fn money_is_told_by_outcome_and_currency_and_rare_currencies_share_a_label() {
        let leads = Leads::register(&Registry::new());
        leads.settled(
            LeadOutcome::Confirmed,
            Some(money(120, "EUR")),
            Some(Duration::from_secs(1)),
        );
        leads.settled(LeadOutcome::Voided(VoidReason::Erased), Some(money(70, "EUR")), None);
        leads.settled(LeadOutcome::Confirmed, Some(money(5, "XTS")), None);
        leads.settled(LeadOutcome::Confirmed, Some(money(6, "ZMW")), None);
        let told = |outcome, currency| leads.amounts.with_label_values(&[outcome, currency]).get();
        assert_eq!(told("confirmed", "EUR"), 120);
        assert_eq!(told("voided", "EUR"), 70);
        assert_eq!(told("claimed", "EUR"), 0);
        assert_eq!(told("confirmed", "other"), 11);
        assert_eq!(leads.lateness.get_sample_count(), 1);
    }
}
