//! What recipients, and machines, did with a message: its counts, and what each hit is taken for.

use serde::Serialize;
use types::event::{HitClass, HitReason, HitVerdict, Round};
use types::tally::MailCounts;

/// What was done with one message. No count goes beyond 65,535.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CountsView {
    /// Pixel fetches.
    opens: HitCounts,
    /// Links followed.
    clicks: HitCounts,
    /// Landings on advertisers' sites.
    landings: u16,
    /// Leads that are not voided.
    leads: u16,
}

/// Opens or clicks of one message.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct HitCounts {
    /// All of them; those made in advance and tests left out.
    raw: u16,
    /// Of these, judged to be machines'.
    machine: u16,
    /// Of these, judged to be people's.
    qualified: u16,
}

/// Who or what an open or click is taken for.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct HitView {
    /// Who or what it was.
    class: HitClass,
    /// Whether this is the last word.
    #[serde(rename = "final")]
    is_final: bool,
    /// What spoke for a machine.
    reasons: Vec<HitReason>,
}

impl CountsView {
    /// Returns the counts of a mail with which something was done.
    pub(super) fn of(counts: &MailCounts) -> Option<Self> {
        let hits = |[raw, machine, qualified]: [u16; 3]| HitCounts {
            raw,
            machine,
            qualified,
        };
        (*counts != MailCounts::default()).then(|| Self {
            opens: hits(counts.opens),
            clicks: hits(counts.clicks),
            landings: counts.landings,
            leads: counts.leads,
        })
    }
}

impl HitView {
    pub(super) fn of(verdict: &HitVerdict) -> Self {
        Self {
            class: verdict.class,
            is_final: verdict.round == Round::Final,
            reasons: verdict.reasons.clone(),
        }
    }
}
