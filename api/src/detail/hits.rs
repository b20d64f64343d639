//! What was made of opens, clicks and landings, in sentences.

use types::event::{
    EvidenceGrade, HitClass, HitReason, HitVerdict, Judged, Landed, LandingVia, LeadDecided, LeadOutcome, LeadRefusal,
    LeadSettled, LeadVerdict, PersonErased, Preference, Round, Visit, VoidReason,
};

/// Returns what a request that shows nothing adds to its sentence.
pub(super) const fn in_advance(visit: Visit) -> &'static str {
    match visit {
        Visit::Real => "",
        Visit::Head => ", which asked for the head alone",
        Visit::Prefetch => ", which says that it did so in advance",
    }
}

pub(super) fn judged(judged: &Judged) -> String {
    let verdicts: Vec<_> = judged.hits.iter().map(verdict).collect();
    format!("By rules {}: {}.", judged.rules, verdicts.join("; "))
}

fn verdict(verdict: &HitVerdict) -> String {
    let round = match verdict.round {
        Round::Provisional => "for now",
        Round::Final => "for good",
    };
    let reasons: Vec<_> = verdict.reasons.iter().copied().map(reason).collect();
    let because = if reasons.is_empty() {
        String::new()
    } else {
        format!(", since {}", reasons.join(" and "))
    };
    format!(
        "the hit of {} is taken for {} {round}{because}",
        verdict.hit.time(),
        class(verdict.class)
    )
}

/// Returns who or what a class stands for.
const fn class(class: HitClass) -> &'static str {
    match class {
        HitClass::Human => "a person's",
        HitClass::AppleMpp => "Apple's Mail Privacy Protection's, which fetches whether or not anybody looks,",
        HitClass::GmailProxy => "a person's, through Gmail's image proxy,",
        HitClass::OtherProxy => "a person's, through a provider's image proxy,",
        HitClass::Scanner => "a scanner's",
        HitClass::Prefetch => "one made in advance",
        HitClass::Test => "a test",
    }
}

const fn reason(reason: HitReason) -> &'static str {
    match reason {
        HitReason::OwnPeople => "the recipient belongs to the shop or an advertiser",
        HitReason::InAdvance => "the request asked for the head alone, or was made in advance",
        HitReason::ProxyAgent => "the agent names a provider's proxy",
        HitReason::MachineAgent => "the agent names a program, or nothing",
        HitReason::ScannerNetwork => "the network is known to belong to scanners",
        HitReason::BadTokens => "forged or damaged tokens came from the same network",
        HitReason::TooSoon => "it came too soon after the mail was delivered",
        HitReason::Burst => "several links of the mail were followed within seconds",
        HitReason::SecondNetwork => "the same link was followed from another network within seconds",
        HitReason::ProbedBefore => "the same network had just asked for the head of the same link",
        HitReason::UntrustedKey => "the link was signed with a key that others know",
    }
}

pub(super) fn landed(landed: &Landed) -> String {
    let via = match (landed.via, landed.proven) {
        (LandingVia::Snippet, true) => "the snippet on one of the advertiser's own hosts tells",
        (LandingVia::Snippet, false) => "a snippet on a host that is not the advertiser's tells",
        (LandingVia::Server, true) => "a signed call of the advertiser's server tells",
        (LandingVia::Server, false) => "a call without a valid signature tells",
        (LandingVia::Image, _) => "an image tells, which proves nothing",
    };
    let visitor = match landed.new_visitor {
        Some(true) => "; the site takes the visitor for new",
        Some(false) => "; the site knew the visitor before",
        None => "",
    };
    format!(
        "The site of campaign number {} was reached, as {via}{visitor}.",
        landed.campaign.0
    )
}

pub(super) fn decided(decided: &LeadDecided) -> String {
    match &decided.verdict {
        LeadVerdict::Claimed(claim) => format!(
            "The landing is a lead, {} of campaign number {}, at {}: {}. It is pending until the final verdict on its click.",
            claim.lead,
            decided.campaign.0,
            claim.price,
            evidence(claim.evidence)
        ),
        LeadVerdict::Refused(refusal) => format!("The landing is no lead. {}", refused(*refusal)),
    }
}

/// Returns what speaks for a first visit.
const fn evidence(grade: EvidenceGrade) -> &'static str {
    match grade {
        EvidenceGrade::History => "the network never sent the person there before",
        EvidenceGrade::HistoryAndBrowser => {
            "the network never sent the person there before, and the browser holds no trace of an earlier visit"
        }
        EvidenceGrade::HistoryAndServer => {
            "the network never sent the person there before, and the advertiser's server says that the visitor is new"
        }
    }
}

/// Returns why a landing is no lead, as a sentence.
const fn refused(refusal: LeadRefusal) -> &'static str {
    match refusal {
        LeadRefusal::Machine => "The click was a machine's.",
        LeadRefusal::Test => "The click was a test.",
        // The mail's shop reads this, too, and must not learn what its customer did elsewhere.
        LeadRefusal::VisitedBefore | LeadRefusal::KnownToSite => "Why is told to the advertiser.",
        LeadRefusal::OutOfWindow => "The landing came too long after its click.",
        LeadRefusal::OfferOver => "The click came when the offer was over, or too long after the mail.",
        LeadRefusal::OwnShop => "The shop advertises in its own mail.",
        LeadRefusal::Withdrawn => "The person withdrew.",
        LeadRefusal::Unproven => "Only an image, or a host that is not the advertiser's, reported the landing.",
        LeadRefusal::NoClick => "No such click was recorded.",
    }
}

pub(super) fn settled(settled: &LeadSettled) -> String {
    let lead = settled.lead;
    match settled.outcome {
        LeadOutcome::Confirmed => format!("Lead {lead} is confirmed: its click was a person's."),
        LeadOutcome::Voided(reason) => format!("Lead {lead} is voided and costs nothing: {}.", voided(reason)),
    }
}

/// Returns why a lead is not paid.
const fn voided(reason: VoidReason) -> &'static str {
    match reason {
        VoidReason::Machine => "its click was a machine's after all",
        VoidReason::KnownToSite => "why is told to the advertiser",
        VoidReason::Erased => "the person was erased before the final verdict on its click",
    }
}

pub(super) const fn preference(preference: Preference) -> &'static str {
    match preference {
        Preference::StopTracking => {
            "The person asked that opens and clicks of this shop's mails be recorded no more, those of old mails included."
        }
        Preference::ResumeOffers => {
            "The person takes the unsubscription back: offers in this shop's mails are welcome."
        }
    }
}

pub(super) const fn erased(erased: &PersonErased) -> &'static str {
    match erased.shop {
        Some(_) => "What the shop knew of the person was erased.",
        None => "What every shop knew of the person was erased.",
    }
}
