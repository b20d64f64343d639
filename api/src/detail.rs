//! Events and reasons in sentences, for people who ask what happened to an order.

pub(crate) mod automation;
mod hits;

use types::catalogue::Scope;
use types::event::{
    AgentClass, AttemptEnded, CatalogueChanged, Clicked, Decided, Event, FailureClass, Outcome, Refusal,
    SuppressionChanged, UnsubscribeScope, Unsubscribed, UnsubscribedBy, Verdict,
};
use types::order::{Body, OrderStatus};

/// Returns why nothing is sent, as a sentence.
pub(crate) const fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotConfirmed => "The order is not confirmed; only confirmed orders cause mail.",
        Refusal::TestOrder => "The order is a test; it is decided and explained, never mailed.",
        Refusal::NoMarketingConsent => {
            "The buyer gave no consent to marketing, and offers of other shops are marketing."
        }
        Refusal::ConsentWithdrawn => {
            "The buyer refused or withdrew consent later than the evidence that came with this order."
        }
        Refusal::SuppressedByShop => "The person is on the shop's suppression list for this stream.",
        Refusal::SuppressedByNetwork => "The person is on the network's suppression list.",
        Refusal::FrequencyCap => "The person already had as many offer mails as the network's cap allows.",
        Refusal::Late => "The order came later than the shop's limit, and the shop does not mail late orders.",
        Refusal::NoOffers => "No campaign matched: none was active, in budget, and fit shop, language and country.",
        Refusal::NoSender => "The shop has no sender for this stream.",
        Refusal::ShopDeleted => "The shop was deleted.",
        Refusal::Expired => "The message had expired before it was decided.",
    }
}

/// Returns what happened, as a sentence.
pub(crate) fn of(event: &Event) -> String {
    match event {
        Event::OrderAccepted(accepted) => {
            let order = &accepted.order;
            let status = match order.status {
                OrderStatus::Confirmed => "confirmed",
                OrderStatus::Pending => "pending",
                OrderStatus::Cancelled => "cancelled",
                OrderStatus::Test => "test",
            };
            format!(
                "Order {} over {} was accepted as {status}, placed at {}.",
                order.order_id, order.total, order.placed_at
            )
        }
        Event::MessageAccepted(accepted) => {
            let body = match &accepted.request.body {
                Body::Template(template) => format!("template {}", template.id),
                Body::Content(_) => "its own content".to_owned(),
                Body::Cart(mail) => format!("the {} reminder of a cart", mail.reminder.as_str()),
            };
            format!(
                "A {} message with {body} was accepted.",
                accepted.request.stream.as_str()
            )
        }
        Event::Decided(decided) => decision(decided),
        Event::AttemptClaimed(claimed) => format!("Attempt {} began.", claimed.attempt.0),
        Event::AttemptEnded(ended) => attempt(ended),
        Event::CatalogueChanged(changed) => catalogue(changed),
        Event::SuppressionChanged(changed) => suppression(changed),
        Event::Unsubscribed(unsubscribed) => withdrawal(unsubscribed),
        Event::Opened(opened) => format!(
            "The mail's pixel was fetched by {}{}.",
            agent(opened.agent),
            hits::in_advance(opened.visit)
        ),
        Event::Clicked(Clicked {
            campaign,
            slot,
            agent: by,
            visit,
            ..
        }) => {
            format!(
                "The link of offer {} (campaign number {}) was followed by {}{}.",
                u16::from(*slot) + 1,
                campaign.0,
                agent(*by),
                hits::in_advance(*visit)
            )
        }
        Event::Judged(judged) => hits::judged(judged),
        Event::Landed(landed) => hits::landed(landed),
        Event::LeadDecided(decided) => hits::decided(decided),
        Event::LeadSettled(settled) => hits::settled(settled),
        Event::AggregateCounted(counted) => {
            let count: u64 = counted.hits.iter().map(|hit| u64::from(hit.count)).sum();
            format!("{count} opens, clicks and landings that name nobody were counted.")
        }
        Event::PreferenceChanged(changed) => hits::preference(changed.preference).to_owned(),
        Event::PersonErased(erased) => hits::erased(erased).to_owned(),
        Event::ContactChanged(changed) => automation::contact(changed),
        Event::EventReported(event) => automation::reported(event),
        Event::CartChanged(changed) => automation::cart(changed),
        Event::CartDecided(decided) => automation::cart_decided(decided),
        Event::Moved(moved) => automation::moved(moved),
        Event::WebhookEnded(ended) => automation::webhook(ended),
        Event::Swept(swept) => automation::swept(swept),
        Event::SetAside(aside) => automation::aside(aside),
    }
}

fn decision(decided: &Decided) -> String {
    match &decided.verdict {
        Verdict::Send(plan) => {
            let offers = match plan.offers.len() {
                0 => String::new(),
                1 => " with 1 offer".to_owned(),
                several => format!(" with {several} offers"),
            };
            let late = if plan.late { ", though late" } else { "" };
            format!(
                "A {} mail in {}{offers} is sent{late}; it is worth sending until {}.",
                plan.stream.as_str(),
                plan.language.code(),
                plan.expires
            )
        }
        Verdict::Refuse(reasons) => {
            let reasons: Vec<_> = reasons.iter().copied().map(reason).collect();
            format!("Nothing is sent. {}", reasons.join(" "))
        }
    }
}

fn attempt(ended: &AttemptEnded) -> String {
    let number = ended.attempt.0;
    let peer = if ended.peer.is_empty() {
        String::new()
    } else {
        let tls = ended
            .tls
            .as_ref()
            .map_or_else(|| "in the clear".to_owned(), |version| format!("over {version}"));
        format!(" at {} {tls}", ended.peer)
    };
    let reply = if ended.reply.is_empty() {
        String::new()
    } else {
        format!(": {}", ended.reply)
    };
    match ended.outcome {
        Outcome::Delivered => format!("Attempt {number} was accepted{peer}{reply}"),
        Outcome::Deferred { until, class } => format!(
            "Attempt {number} did not succeed{peer} ({}), the next is not before {until}{reply}",
            failure(class)
        ),
        Outcome::Failed { class } => format!("Attempt {number} failed for good{peer} ({}){reply}", failure(class)),
        Outcome::InDoubt { retry: Some(at) } => format!(
            "Attempt {number} ended without a reply to the final dot{peer}: the receiver may have the mail. It is tried \
             once more at {at} with the same Message-ID{reply}"
        ),
        Outcome::InDoubt { retry: None } => format!(
            "Attempt {number} ended without a reply to the final dot{peer}: the receiver may have the mail. It is held \
             and not tried again{reply}"
        ),
        Outcome::Expired => format!("The mail's time was over before it could be delivered{reply}"),
        Outcome::Withdrawn => {
            format!("The mail was withdrawn from the queue: the person unsubscribed or was suppressed{reply}")
        }
    }
}

const fn failure(class: FailureClass) -> &'static str {
    match class {
        FailureClass::BadMailbox => "the mailbox does not exist or is closed",
        FailureClass::BadDomain => "the domain does not exist or takes no mail",
        FailureClass::Quota => "the mailbox is full",
        FailureClass::Greylisted => "the receiver asks to come again later",
        FailureClass::ConnectionLimit => "too many connections for the receiver",
        FailureClass::RateLimit => "too many messages for the receiver",
        FailureClass::Reputation => "the receiver dislikes our address or domain",
        FailureClass::Authentication => "the receiver misses SPF, DKIM or DMARC",
        FailureClass::Content => "the receiver dislikes the message",
        FailureClass::Policy => "refused by the receiver",
        FailureClass::Dns => "DNS did not answer",
        FailureClass::Network => "no connection, or it broke before the final dot",
        FailureClass::Tls => "TLS could not be set up",
        FailureClass::Protocol => "the receiver broke the protocol",
        FailureClass::Internal => "rendering or signing was not possible",
        FailureClass::ForbiddenAddress => "the destination is an address that we never connect to",
    }
}

fn suppression(changed: &SuppressionChanged) -> String {
    let list = if changed.shop.is_some() {
        "the shop's"
    } else {
        "the network's"
    };
    let stream = changed.stream.map_or("every stream", types::order::Stream::as_str);
    match changed.cause {
        Some(cause) => format!(
            "The person was put on {list} suppression list for {stream} ({}).",
            cause.as_str()
        ),
        None => format!("The person was taken off {list} suppression list for {stream}."),
    }
}

fn withdrawal(unsubscribed: &Unsubscribed) -> String {
    let scope = match unsubscribed.scope {
        UnsubscribeScope::Shop => "offers in mails of this shop",
        UnsubscribeScope::Network => "offers in mails of every shop",
    };
    let by = match unsubscribed.by {
        UnsubscribedBy::OneClick => "the mail client's one-click button",
        UnsubscribedBy::Page => "the page behind the link",
    };
    format!("The person unsubscribed from {scope}, by {by}.")
}

const fn agent(class: AgentClass) -> &'static str {
    match class {
        AgentClass::Client => "a browser or mail client",
        AgentClass::Proxy => "a provider's image proxy",
        AgentClass::ApplePrivacy => "Apple's Mail Privacy Protection",
        AgentClass::GmailProxy => "Gmail's image proxy",
        AgentClass::Machine => "a program",
        AgentClass::Unknown => "something that does not say what it is",
    }
}

fn catalogue(changed: &CatalogueChanged) -> String {
    match changed {
        CatalogueChanged::ShopPut { id, .. } => format!("Shop {id} was put."),
        CatalogueChanged::ShopDeleted { id } => format!("Shop {id} was deleted, and its keys with it."),
        CatalogueChanged::CampaignPut { id, .. } => format!("Campaign {id} was put."),
        CatalogueChanged::CampaignDeleted { id } => format!("Campaign {id} was deleted."),
        CatalogueChanged::TemplatePut { id, .. } => format!("Template {id} was put."),
        CatalogueChanged::TemplateDeleted { id, .. } => format!("Template {id} was deleted."),
        CatalogueChanged::KeyPut { key } => {
            let scopes: Vec<_> = key.scopes.iter().copied().map(scope).collect();
            format!(
                "API key {} of shop {} was made with {}.",
                key.id,
                key.shop,
                scopes.join(", ")
            )
        }
        CatalogueChanged::KeyRevoked { shop, id } => format!("API key {id} of shop {shop} was revoked."),
        CatalogueChanged::FieldPut { id, .. } => format!("Field {id} was put."),
        CatalogueChanged::FieldDeleted { id, .. } => format!("Field {id} was deleted."),
        CatalogueChanged::GroupPut { id, .. } => format!("Group {id} was put."),
        CatalogueChanged::GroupDeleted { id, .. } => format!("Group {id} was deleted."),
        CatalogueChanged::WorkflowPut { id, .. } => format!("Workflow {id} was put."),
        CatalogueChanged::WorkflowSwitched { id, state, .. } => {
            format!("Workflow {id} was switched {}.", state.as_str())
        }
        CatalogueChanged::WorkflowDeleted { id, .. } => format!("Workflow {id} was deleted."),
        CatalogueChanged::CartsPut { .. } => "The settings of carts were put.".to_owned(),
    }
}

const fn scope(scope: Scope) -> &'static str {
    match scope {
        Scope::Send => "send",
        Scope::Read => "read",
        Scope::Manage => "manage",
    }
}
