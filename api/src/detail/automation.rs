//! What contacts, carts and workflows did, in sentences.

use types::cart::Reminder;
use types::contact::ContactSource;
use types::event::{
    CartChanged, CartDecided, CartReason, CartVerdict, ContactChanged, Did, EventReported, Leave, Moved, Place,
    Recovery, SetAside, Suppressed, Swept, WaitEnded, Waits, WaitsOn, WebhookEnded,
};

/// Returns what changed about a contact.
pub(super) fn contact(changed: &ContactChanged) -> String {
    let change = &changed.change;
    let by = match changed.source {
        ContactSource::Api => "a request",
        ContactSource::Import => "an import",
        ContactSource::Workflow => "a workflow",
    };
    let mut parts = Vec::new();
    for (name, there) in [
        ("name", change.name.is_some()),
        ("locale", change.locale.is_some()),
        ("country", change.country.is_some()),
        ("time zone", change.time_zone.is_some()),
        ("phone", change.phone.is_some()),
    ] {
        if there {
            parts.push(name.to_owned());
        }
    }
    parts.extend(change.fields.keys().map(|field| format!("field {field}")));
    parts.extend(change.join.iter().map(|group| format!("into group {group}")));
    parts.extend(change.leave.iter().map(|group| format!("out of group {group}")));
    parts.extend(change.consents.iter().map(|consent| {
        let (channel, statement) = (consent.channel.as_str(), &consent.statement);
        let what = if statement.granted { "granted" } else { "refused" };
        format!("consent to {channel} {what} at {}", statement.at)
    }));
    let how = if change.replace { "replaced" } else { "changed" };
    if parts.is_empty() {
        return format!("The contact was {how} by {by}.");
    }
    format!("The contact was {how} by {by}: {}.", parts.join(", "))
}

/// Returns what a shop reported.
pub(super) fn reported(event: &EventReported) -> String {
    let about = event
        .key
        .as_ref()
        .map(|key| format!(" about {key}"))
        .unwrap_or_default();
    format!(
        "The shop reported {}{about}, which happened at {}.",
        event.name, event.at
    )
}

/// Returns how a cart was touched.
pub(super) fn cart(changed: &CartChanged) -> String {
    match &changed.cart {
        Some(cart) => {
            let items = match cart.items.len() {
                1 => "1 line".to_owned(),
                several => format!("{several} lines"),
            };
            format!("Cart {} was touched: {items}, {}.", changed.id, cart.total)
        }
        None => format!("Cart {} was deleted.", changed.id),
    }
}

/// Returns what was decided on a cart.
pub(super) fn cart_decided(decided: &CartDecided) -> String {
    let next = decided
        .next
        .map(|next| format!(" The {} is due at {}.", reminder(next.reminder), next.due))
        .unwrap_or_default();
    let what = match &decided.verdict {
        CartVerdict::Reminded { reminder: of, test, .. } => {
            let to = if *test { "the shop's test address" } else { "the buyer" };
            format!("The {} went to {to}.", reminder(*of))
        }
        CartVerdict::Suppressed {
            reminder: of,
            reasons,
            refusals,
        } => {
            let reasons = reasons.iter().copied().map(cart_reason);
            let refusals = refusals.iter().copied().map(super::reason);
            let all: Vec<_> = reasons.chain(refusals).collect();
            format!("The {} did not go out. {}", reminder(*of), all.join(" "))
        }
        CartVerdict::WouldRemind { reminder: of } => {
            format!("The {} would have gone out, but the mode is shadow.", reminder(*of))
        }
        CartVerdict::Ordered { total, recovery, .. } => {
            let how = match recovery {
                Recovery::Recovered => "by a reminder's link",
                Recovery::Influenced => "after a reminder, though not by its link",
                Recovery::Unaided => "without a reminder",
            };
            format!("The person ordered over {total}, {how}; no reminder comes any more.")
        }
    };
    format!("{what}{next}")
}

const fn reminder(reminder: Reminder) -> &'static str {
    match reminder {
        Reminder::First => "first reminder",
        Reminder::Second => "second reminder",
    }
}

/// Returns why a cart was not reminded of, as a sentence.
pub(crate) const fn cart_reason(reason: CartReason) -> &'static str {
    match reason {
        CartReason::Off => "Reminders are switched off.",
        CartReason::NotConfigured => "This reminder is not configured.",
        CartReason::PaymentProcessing => "The payment is under way.",
        CartReason::PaymentConfirmed => "The payment is confirmed.",
        CartReason::PaymentUnknown => "The payment's state is unknown.",
        CartReason::BelowMinimum => "The cart is worth less than the minimum, or in another currency.",
        CartReason::NotSelected => "The person is not among the selected: has ordered, or lately.",
        CartReason::LanguageNotSelected => "The cart's language is not selected.",
        CartReason::SeveralCarts => "The person has several abandoned carts.",
        CartReason::SameContentOrdered => "The same content was ordered within 24 hours.",
        CartReason::Refused => "The mail was refused.",
        CartReason::Late => "It came too late.",
        CartReason::NoTestAddress => "The mode is test, and there is no test address.",
    }
}

/// Returns how a contact went on in a workflow.
pub(super) fn moved(moved: &Moved) -> String {
    let mut sentences: Vec<String> = moved.did.iter().map(did).collect();
    sentences.push(place(&moved.place));
    sentences.join(" ")
}

/// Returns one thing that an instance did.
pub(crate) fn did(did: &Did) -> String {
    match did {
        Did::Entered => "The contact entered.".to_owned(),
        Did::Reached { step } => format!("It came to step {step}."),
        Did::Sent { step, .. } => format!("Step {step} sent a mail."),
        Did::Suppressed { step, reason, refusals } => {
            let mut text = format!("Step {step} sent nothing: {}.", suppressed(*reason));
            for refusal in refusals {
                text.push(' ');
                text.push_str(super::reason(*refusal));
            }
            text
        }
        Did::Delayed { step, until, rules } => {
            let rules: Vec<&str> = rules.iter().map(|rule| &**rule).collect();
            format!("Step {step} was put off to {until} by {}.", rules.join(", "))
        }
        Did::Branched { step, held } => {
            let held = if *held { "held" } else { "did not hold" };
            format!("The filter of step {step} {held}.")
        }
        Did::Waited { step, ended } => {
            let ended = match ended {
                WaitEnded::Elapsed => "its time was over",
                WaitEnded::Engaged => "the mail was opened or clicked",
                WaitEnded::NotEngaged => "the mail was not opened or clicked in time",
            };
            format!("The wait of step {step} ended: {ended}.")
        }
        Did::Grouped { join, leave, .. } => {
            let into = join.as_ref().map(|group| format!(" into group {group}"));
            let out = leave.as_ref().map(|group| format!(" out of group {group}"));
            let moves: Vec<String> = out.into_iter().chain(into).collect();
            format!("The contact came{}.", moves.join(" and"))
        }
        Did::Called { step, status, attempt } => match status {
            Some(status) => format!("Step {step} called the shop's page, attempt {attempt}, which answered {status}."),
            None => format!("Step {step} called the shop's page, attempt {attempt}, and got no answer."),
        },
        Did::Broke { step, fault } => match step {
            Some(step) => format!("Step {step} could not be done: {fault}."),
            None => format!("It could not go on: {fault}."),
        },
    }
}

/// Returns where an instance stands.
pub(crate) fn place(place: &Place) -> String {
    match place {
        Place::Waits(waits) => format!("It waits {}.", waiting(waits)),
        Place::Left(leave) => format!("It is over: {}.", left(*leave)),
    }
}

/// Returns for what an instance waits, without a full stop.
pub(crate) fn waiting(waits: &Waits) -> String {
    let at = waits
        .step
        .as_ref()
        .map(|step| format!("at step {step} "))
        .unwrap_or_default();
    let until = waits.due.map(|due| format!(", until {due}")).unwrap_or_default();
    let on = match waits.on {
        WaitsOn::Start => "for its start",
        WaitsOn::Time => "for its time",
        WaitsOn::Engagement => "for an open or a click",
        WaitsOn::NoEngagement => "unless the mail is opened or clicked",
        WaitsOn::Slot => "for a moment at which mails may go",
        WaitsOn::Webhook => "for the answer of the shop's page",
        WaitsOn::On => "for the workflow to be switched on",
        WaitsOn::Verdict => "for a verdict on an open or a click",
    };
    format!("{at}{on}{until}")
}

/// Returns why an instance is over, without a full stop.
pub(crate) const fn left(leave: Leave) -> &'static str {
    match leave {
        Leave::Finished => "it came to the end",
        Leave::Goal => "it reached the goal",
        Leave::Ordered => "the contact ordered",
        Leave::ExitFilter => "the exit filter held",
        Leave::NotWho => "the contact is not among those whom the workflow is for any more",
        Leave::NoConsent => "the contact's consent is missing or withdrawn, or it is suppressed",
        Leave::Engaged => "the mail was opened or clicked",
        Leave::NotEngaged => "the mail was not opened or clicked in time",
        Leave::NoSlot => "no moment to send was left",
        Leave::Late => "the step came too late",
        Leave::ExitStep => "an exit step",
        Leave::StartGone => "the start's date or condition was gone before it came",
        Leave::Deleted => "the workflow or the shop was deleted",
        Leave::Broken => "it could not go on and was set aside",
    }
}

/// Returns why a step's mail was not sent, without a full stop.
pub(crate) const fn suppressed(reason: Suppressed) -> &'static str {
    match reason {
        Suppressed::Refused => "the mail was refused",
        Suppressed::NotWho => "the contact is not among those whom the workflow is for",
        Suppressed::NoSlot => "no moment to send was left",
        Suppressed::Late => "it came too late",
        Suppressed::Off => "the workflow is off",
        Suppressed::Template => "the template is gone or does not render",
    }
}

/// Returns how a webhook was answered.
pub(super) fn webhook(ended: &WebhookEnded) -> String {
    match ended.status {
        Some(status) => format!("The shop's page answered {status}."),
        None => "The shop's page did not answer.".to_owned(),
    }
}

/// Returns what a sweep found.
pub(super) fn swept(swept: &Swept) -> String {
    format!(
        "The partition's contacts were looked at for a workflow that was switched on; {} entered.",
        swept.entered
    )
}

/// Returns what was set aside.
pub(super) fn aside(aside: &SetAside) -> String {
    format!("Something was set aside after {} tries: {}.", aside.tries, aside.fault)
}
