//! What is known of one person, gathered from state.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use policy::PersonState;
use policy::cart::CartState;
use policy::contact::ContactState;
use policy::person::Purpose;
use serde::Serialize;
use store::{State, StateError, StoredEvent};
use types::catalogue::Catalogue;
use types::contact::FieldValue;
use types::event::{AgentClass, Event, SuppressionCause, Visit};
use types::id::{EventId, PartitionId, PersonKey, PublicId, ShopNumber};
use types::order::{MessageRequest, Order, Stream};

use types::text::Slug;

use crate::carts::CartView;
use crate::contacts::timeline::ContactEvent;
use crate::contacts::view::ContactView;
use crate::story::{self, TimelineEvent};

/// All that is known of a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PersonExport {
    /// Stands for the person everywhere in the service: a keyed hash of the address.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    person: String,
    /// What the person said last to each shop, with the evidence.
    consents: Vec<ConsentView>,
    /// Lists that the person is on.
    suppressions: Vec<SuppressionEntry>,
    /// Orders and messages as they came, with all that happened since; the oldest first.
    accepted: Vec<AcceptedView>,
    /// Mails whose cause is no longer known: nor is more of them than this.
    mails: Vec<MailView>,
    /// What each shop keeps of the person.
    contacts: Vec<KnownContact>,
    /// Carts, what shops reported, and ways through workflows, with all that happened; the oldest first.
    others: Vec<OtherView>,
    /// First visits to advertisers' sites; for the operator alone.
    visits: Vec<VisitView>,
}

/// What a person said last to a shop about one purpose.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConsentView {
    /// To whom.
    shop: String,
    /// What it is about.
    purpose: PurposeName,
    /// Yes or no; missing if only a withdrawal is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    granted: Option<bool>,
    /// When the person said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    at: Option<String>,
    /// Whether the shop only asserted it, without evidence.
    asserted: bool,
    /// Which wording the person saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    text: Option<String>,
    /// Where it was collected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    source: Option<String>,
    /// When the person last refused or withdrew.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    refused_at: Option<String>,
}

/// What consent is asked for.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum PurposeName {
    /// Offers of other shops by mail.
    Marketing,
    /// Opens and clicks recorded per person.
    Tracking,
    /// Contact data handed to an advertiser.
    Sharing,
}

/// An entry of a suppression list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SuppressionEntry {
    /// Whose list; missing is the network's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    shop: Option<String>,
    /// For which stream; missing means both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    stream: Option<Stream>,
    /// Why.
    cause: SuppressionCause,
    /// Since when.
    #[schema(format = DateTime)]
    since: String,
}

/// An order or a message, with all that happened since.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AcceptedView {
    /// Names the accept.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// Which shop brought it.
    shop: String,
    /// The order as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    order: Option<Order>,
    /// The message as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    message: Option<MessageRequest>,
    /// Everything that happened, in order.
    events: Vec<RecordedEvent>,
}

/// A mail of which no cause is known any more.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MailView {
    /// The mail's id.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// Whose mail.
    shop: String,
}

/// An event, with what an open or click left behind.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RecordedEvent {
    #[serde(flatten)]
    event: TimelineEvent,
    /// What an open or click left behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    recorded: Option<HitTrace>,
}

/// What is kept of the request behind an open, click or landing. No address, and no agent's text, is kept of any.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct HitTrace {
    /// What the agent said it was, reduced to a class.
    #[schema(value_type = String, example = "client")]
    agent: AgentClass,
    /// Where it came from: the first 24 bits of an IPv4 address, or 48 of an IPv6 address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, example = "192.0.2.0/24")]
    network: Option<String>,
    /// Whether anything was shown or followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>, example = "real")]
    visit: Option<Visit>,
}

/// What one shop keeps of a person.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct KnownContact {
    /// Which shop.
    shop: String,
    /// What it keeps.
    contact: ContactView,
}

/// A contact's own history, a cart or a way through a workflow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OtherView {
    /// Names it.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// Whose it is.
    shop: String,
    /// The cart, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    cart: Option<CartView>,
    /// What the shop reported, as it came.
    reported: Vec<ReportedView>,
    /// What happened, oldest first.
    events: Vec<ContactEvent>,
}

/// Something that a shop reported.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReportedView {
    /// What.
    name: String,
    /// When, by the shop's clock.
    #[schema(format = DateTime)]
    at: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    key: Option<String>,
    /// More about it.
    #[schema(value_type = BTreeMap<String, FieldValue>)]
    properties: BTreeMap<Slug, FieldValue>,
}

/// A first visit to an advertiser's site.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct VisitView {
    /// Whose site.
    advertiser: String,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// The person, as that advertiser may know them.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    visitor: String,
    /// The click that led there.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    click: String,
    /// The lead that it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    lead: Option<String>,
}

/// Gathers what is known of a person: by one shop, or by all. Reads the disk.
pub(super) fn export(
    state: &State,
    catalogue: &Catalogue,
    person: PersonKey,
    shop: Option<ShopNumber>,
) -> Result<PersonExport, StateError> {
    let partition = person.partition();
    let known = state.persons().get(partition, &person)?;
    let known = known.map(|bytes| PersonState::decode(&bytes)).transpose();
    let known = known
        .map_err(|error| StateError::Malformed(format!("person: {error}")))?
        .unwrap_or_default();
    let names = Names(catalogue);
    let mut export = PersonExport {
        person: HEXLOWER.encode(person.as_bytes()),
        consents: consents(&known, &names, shop),
        suppressions: suppressions(&known, &names, shop),
        accepted: Vec::new(),
        mails: Vec::new(),
        contacts: Vec::new(),
        others: Vec::new(),
        visits: Vec::new(),
    };
    let mut told = std::collections::BTreeSet::new();
    let objects = state.histories().about(partition, &person)?;
    for (of, object) in objects
        .into_iter()
        .filter(|(of, _)| shop.is_none_or(|shop| shop == *of))
    {
        let id = PublicId {
            partition,
            event: object,
        };
        match story::gather(state, id)? {
            // A mail leads to its cause, which is an object of its own.
            Some(story) if told.insert(story.cause) => {
                export.accepted.push(AcceptedView::of(&story, partition, &names));
            }
            Some(_) => {}
            None => match other(state, catalogue, id, of)? {
                Some(other) => export.others.push(other),
                None => export.mails.push(MailView {
                    id: id.to_string(),
                    shop: names.shop(of),
                }),
            },
        }
    }
    for (of, bytes) in state.contacts().of_person(partition, &person)? {
        if shop.is_none_or(|shop| shop == of) {
            let contact = ContactState::decode(&bytes);
            let contact = contact.map_err(|error| StateError::Malformed(format!("contact: {error}")))?;
            export.contacts.push(KnownContact {
                shop: names.shop(of),
                contact: ContactView::of(&contact, of, catalogue),
            });
        }
    }
    if shop.is_none() {
        let visits = state.leads().visits(partition, &person)?.into_iter();
        export.visits = visits
            .map(|(advertiser, visit)| names.visit(partition, advertiser, &visit))
            .collect();
    }
    Ok(export)
}

/// Tells of what is neither an order nor a mail: a contact, a cart, a way through a workflow. `None` if nothing of it is known.
fn other(
    state: &State,
    catalogue: &Catalogue,
    PublicId { partition, event }: PublicId,
    shop: ShopNumber,
) -> Result<Option<OtherView>, StateError> {
    let stored = state.histories().of(partition, event)?;
    let is_other = stored.iter().any(|stored| {
        matches!(
            stored.event,
            Event::ContactChanged(_)
                | Event::EventReported(_)
                | Event::CartChanged(_)
                | Event::CartDecided(_)
                | Event::Moved(_)
        )
    });
    let cart = state.carts().get(partition, event)?;
    let cart = cart.map(|bytes| CartState::decode(&bytes)).transpose();
    let cart = cart.map_err(|error| StateError::Malformed(format!("cart: {error}")))?;
    Ok(is_other.then(|| OtherView {
        id: public(partition, event),
        shop: Names(catalogue).shop(shop),
        cart: cart.map(|cart| CartView::of(partition, &cart)),
        reported: stored.iter().filter_map(ReportedView::of).collect(),
        events: stored
            .iter()
            .map(|stored| ContactEvent::of(partition, catalogue, stored))
            .collect(),
    }))
}

impl ReportedView {
    fn of(stored: &StoredEvent) -> Option<Self> {
        let Event::EventReported(reported) = &stored.event else {
            return None;
        };
        Some(Self {
            name: reported.name.to_string(),
            at: reported.at.to_string(),
            key: reported.key.as_ref().map(ToString::to_string),
            properties: reported.properties.clone(),
        })
    }
}

/// Makes ids of numbers.
struct Names<'a>(&'a Catalogue);

impl Names<'_> {
    fn shop(&self, number: ShopNumber) -> String {
        let shop = self.0.shop_by_number(number);
        shop.map_or_else(|| number.0.to_string(), |shop| shop.id.to_string())
    }

    /// Returns the numbers of all shops there ever were.
    fn shops(&self) -> impl Iterator<Item = ShopNumber> {
        (1..=u32::MAX)
            .map(ShopNumber)
            .take_while(|number| self.0.shop_by_number(*number).is_some())
    }

    fn visit(&self, partition: PartitionId, advertiser: ShopNumber, visit: &store::state::Visit) -> VisitView {
        VisitView {
            advertiser: self.shop(advertiser),
            at: visit.at.to_string(),
            visitor: HEXLOWER.encode(visit.visitor.as_bytes()),
            click: PublicId {
                partition,
                event: visit.click,
            }
            .to_string(),
            lead: visit.lead.map(|lead| lead.to_string()),
        }
    }
}

fn consents(known: &PersonState, names: &Names<'_>, shop: Option<ShopNumber>) -> Vec<ConsentView> {
    let purposes = [
        (Purpose::Marketing, PurposeName::Marketing),
        (Purpose::Tracking, PurposeName::Tracking),
        (Purpose::Sharing, PurposeName::Sharing),
    ];
    let shops = names.shops().filter(|number| shop.is_none_or(|shop| shop == *number));
    let views = shops.flat_map(|number| {
        purposes.into_iter().filter_map(move |(purpose, name)| {
            let (said, refused_at) = (known.said(number, purpose), known.refused_at(number, purpose));
            (said.is_some() || refused_at.is_some()).then(|| ConsentView {
                shop: names.shop(number),
                purpose: name,
                granted: said.map(|said| said.granted),
                at: said.map(|said| said.at.to_string()),
                asserted: said.is_some_and(|said| said.asserted),
                text: said.and_then(|said| said.text.as_ref()).map(ToString::to_string),
                source: said.and_then(|said| said.source.as_ref()).map(ToString::to_string),
                refused_at: refused_at.map(|at| at.to_string()),
            })
        })
    });
    views.collect()
}

fn suppressions(known: &PersonState, names: &Names<'_>, shop: Option<ShopNumber>) -> Vec<SuppressionEntry> {
    let entries = known.suppressions().iter();
    let seen = entries.filter(|entry| shop.is_none() || entry.shop == shop);
    let views = seen.map(|entry| SuppressionEntry {
        shop: entry.shop.map(|shop| names.shop(shop)),
        stream: entry.stream,
        cause: entry.cause,
        since: entry.at.to_string(),
    });
    views.collect()
}

impl AcceptedView {
    fn of(told: &story::Told, partition: PartitionId, names: &Names<'_>) -> Self {
        let (mut order, mut message) = (None, None);
        let traces = told.events.iter().map(|stored| {
            match &stored.event {
                Event::OrderAccepted(accepted) => order = Some(accepted.order.clone()),
                Event::MessageAccepted(accepted) => message = Some(accepted.request.clone()),
                _ => {}
            }
            HitTrace::of(&stored.event)
        });
        let traces: Vec<_> = traces.collect();
        let events = told.timeline().into_iter().zip(traces);
        Self {
            id: public(partition, told.cause),
            shop: names.shop(told.shop),
            order,
            message,
            events: events
                .map(|(event, recorded)| RecordedEvent { event, recorded })
                .collect(),
        }
    }
}

fn public(partition: PartitionId, event: EventId) -> String {
    PublicId { partition, event }.to_string()
}

impl HitTrace {
    fn of(event: &Event) -> Option<Self> {
        let (agent, network, visit) = match event {
            Event::Opened(opened) => (opened.agent, opened.network, Some(opened.visit)),
            Event::Clicked(clicked) => (clicked.agent, clicked.network, Some(clicked.visit)),
            Event::Landed(landed) => (landed.agent, landed.network, None),
            _ => return None,
        };
        Some(Self {
            agent,
            network: network.map(|network| network.to_string()),
            visit,
        })
    }
}
