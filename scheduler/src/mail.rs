//! Mails after their decision: whose they are, their opens, clicks, verdicts and landings, and what all that counts.

use policy::hits::{Change, Hit, Landing, MailState, Recorded};
use store::StateError;
use store::state::{MailPut, Put, State, StoredMail};
use types::event::{
    AggregateCounted, AggregateHit, Clicked, Decided, Event, HitClass, HitKind, Judged, Landed, MessageAccepted,
    Opened, OrderAccepted, Origin, Outcome, Plan, SuppressionCause, SuppressionChanged, Verdict,
};
use types::id::{CampaignNumber, MessageId, PartitionId, PersonKey, ShopNumber, Slot};
use types::order::{Body, Stream};
use types::provider::Provider;
use types::tally::{CellKey, Dimensions, Hour, Measure};
use types::text::Slug;
use types::time::Timestamp;

use super::dues::Dues;
use super::steps::{counts, origin_counts};
use super::{Entry, Fold};
use crate::memory::Unapplied;

/// What an accept says of the mail that it may cause, and its decision does not.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    wall: Timestamp,
    stream: Stream,
    /// Told by the address's domain.
    provider: Provider,
    template: Option<Slug>,
    /// What of our own caused it.
    origin: Option<Origin>,
}

/// A mail's row, and when state has it down to be judged.
#[derive(Debug)]
struct Mail {
    state: MailState,
    due: Option<Timestamp>,
}

/// The mails that state does not have as they are.
#[derive(Debug, Default)]
pub(super) struct Mails {
    mails: Unapplied<(PartitionId, MessageId), Mail>,
    pub(super) dues: Dues,
}

impl Cause {
    pub(super) fn order(wall: Timestamp, accepted: &OrderAccepted) -> Self {
        Self {
            wall,
            stream: Stream::Promotional,
            provider: Provider::of_host(accepted.order.customer.email.domain()),
            template: None,
            origin: None,
        }
    }

    pub(super) fn message(wall: Timestamp, accepted: &MessageAccepted) -> Self {
        let request = &accepted.request;
        Self {
            wall,
            stream: request.stream,
            provider: Provider::of_host(request.to.email.domain()),
            template: match &request.body {
                Body::Template(template) => Some(template.id.clone()),
                Body::Cart(cart) => cart.template.clone(),
                Body::Content(_) => None,
            },
            origin: accepted.origin.clone(),
        }
    }
}

impl Cause {
    /// Returns whether its mail counts anywhere, as one to the person: copies and tests of reminders go to the shop.
    pub(super) fn is_counted(&self) -> bool {
        origin_counts(self.origin.as_ref())
    }
}

impl Mails {
    /// Ends the turn: hands over each changed mail, and when it is due if that changed.
    pub(super) fn settle(&mut self, position: u64, puts: &mut Vec<Put>) {
        let dues = &mut self.dues;
        self.mails.settle(position, |(partition, message), mail| {
            let due = mail.state.due();
            if due != mail.due {
                let gone = mail.due.map(|at| MailPut::DueDelete { at, partition, message });
                let set = due.map(|at| MailPut::DueSet { at, partition, message });
                puts.extend(gone.into_iter().chain(set).map(Put::Mail));
                if let Some(at) = due {
                    dues.set(at);
                }
                mail.due = due;
            }
            puts.push(Put::Mail(MailPut::Set {
                partition,
                message,
                mail: StoredMail {
                    counts: mail.state.counts(),
                    value: mail.state.encode(),
                },
            }));
        });
        dues.settle(position);
    }

    pub(super) fn forget(&mut self, applied: u64) {
        self.mails.forget(applied);
    }

    pub(super) fn len(&self) -> usize {
        self.mails.len()
    }
}

impl Fold {
    /// Returns a mail as of the last event folded, or `None` if there is no such mail.
    pub(crate) fn mail(
        &mut self,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<Option<&MailState>, StateError> {
        let key = (partition, message);
        if self.mails.mails.get(&key).is_none() {
            let Some(mail) = read(self.store.state(), partition, message)? else {
                return Ok(None);
            };
            self.mails.mails.keep(key, mail);
        }
        Ok(self.mails.mails.get(&key).map(|mail| &mail.state))
    }

    /// Returns whose mail this is, or `None` if there is no such mail.
    pub(crate) fn person_of(
        &mut self,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<Option<PersonKey>, StateError> {
        Ok(self.mail(partition, message)?.map(|mail| *mail.person()))
    }

    /// Returns whose mailbox a mail went to, or `None` if there is no such mail, or it went to the shop: what its mailbox
    /// answers says nothing of the person whose cart it showed.
    pub(crate) fn recipient_of(
        &mut self,
        partition: PartitionId,
        message: MessageId,
    ) -> Result<Option<PersonKey>, StateError> {
        let mail = self.mail(partition, message)?.filter(|mail| counts(mail));
        Ok(mail.map(|mail| *mail.person()))
    }

    /// Returns whether opens, clicks and landings of a mail may be recorded: not if it is unknown or erased, or its person withdrew.
    pub(crate) fn may_record(&mut self, partition: PartitionId, message: MessageId) -> Result<bool, StateError> {
        let Some(mail) = self.mail(partition, message)?.filter(|mail| !mail.is_forgotten()) else {
            return Ok(false);
        };
        // The token names a shop as well; what was withdrawn from is the mail's own.
        let (person, shop) = (*mail.person(), mail.shop());
        Ok(self.person(partition, person)?.may_record(shop, message))
    }

    /// Begins the row of a mail that was decided.
    pub(super) fn start_mail(
        &mut self,
        entry: &Entry<'_>,
        decided: &Decided,
        plan: &Plan,
        cause: Option<&Cause>,
    ) -> Result<(), StateError> {
        let provider = cause.map_or(Provider::Other, |cause| cause.provider);
        let mail = Mail {
            state: MailState::new(decided, plan, provider).caused_by(cause.and_then(|cause| cause.origin.clone())),
            due: None,
        };
        self.mails.mails.set((entry.partition, plan.message), mail);
        self.count_shown(entry, plan.message, Measure::Sent)
    }

    /// Changes a mail and returns what `change` does, or `None` if there is no such mail.
    pub(super) fn change_mail<T>(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        change: impl FnOnce(&mut MailState) -> T,
    ) -> Result<Option<T>, StateError> {
        if self.mail(partition, message)?.is_none() {
            return Ok(None);
        }
        let mail = self.mails.mails.edit((partition, message));
        Ok(mail.map(|mail| change(&mut mail.state)))
    }

    pub(super) fn opened(&mut self, entry: &Entry<'_>, opened: &Opened) -> Result<(), StateError> {
        let hit = Hit::opened(entry.id, entry.wall, opened);
        self.hit(entry, opened.message, hit)
    }

    pub(super) fn clicked(&mut self, entry: &Entry<'_>, clicked: &Clicked) -> Result<(), StateError> {
        let hit = Hit::clicked(entry.id, entry.wall, clicked);
        self.hit(entry, clicked.message, hit)
    }

    pub(super) fn judged(&mut self, entry: &Entry<'_>, judged: &Judged) -> Result<(), StateError> {
        self.timeline_of_mail(entry, judged.message)?;
        let changes = self.change_mail(entry.partition, judged.message, |mail| mail.apply(judged))?;
        self.contact_engaged(entry, judged)?;
        self.count_changes(entry.partition, judged.message, &changes.unwrap_or_default())
    }

    pub(super) fn landed(&mut self, entry: &Entry<'_>, landed: &Landed) -> Result<(), StateError> {
        self.timeline_of_mail(entry, landed.message)?;
        let landing = Landing::reported(entry.id, entry.wall, landed);
        let change = self.change_mail(entry.partition, landed.message, |mail| mail.land(landing))?;
        self.count_changes(entry.partition, landed.message, change.flatten().as_slice())
    }

    /// Adds up what names nobody, in the hour of the record.
    pub(super) fn aggregate(&mut self, entry: &Entry<'_>, counted: &AggregateCounted) -> Result<(), StateError> {
        for hit in &counted.hits {
            let AggregateHit {
                shop,
                campaign,
                kind,
                class,
                count,
            } = *hit;
            if matches!(class, HitClass::Prefetch | HitClass::Test) {
                continue;
            }
            let measure = match kind {
                HitKind::Open => Measure::OpensAggregate,
                HitKind::Click => Measure::ClicksAggregate,
                HitKind::Landing => Measure::LandingsAggregate,
            };
            let mails = Dimensions::Mails {
                shop,
                stream: Stream::Promotional,
                provider: Provider::Other,
                template: None,
            };
            let offer = campaign.map(|campaign| Dimensions::Offer {
                campaign,
                publisher: shop,
            });
            for dimensions in [Some(mails), offer].into_iter().flatten() {
                self.count(
                    entry.partition,
                    dimensions,
                    Hour::of(entry.wall),
                    [(measure, i64::from(count))],
                )?;
            }
        }
        Ok(())
    }

    /// Counts an accept in its own hour, once it is decided: a mail's template is chosen by its decision.
    pub(super) fn count_accepted(
        &mut self,
        entry: &Entry<'_>,
        decided: &Decided,
        cause: Option<Cause>,
    ) -> Result<(), StateError> {
        let Some(cause) = cause.filter(Cause::is_counted) else {
            return Ok(());
        };
        let dimensions = Dimensions::Mails {
            shop: decided.shop,
            stream: cause.stream,
            provider: cause.provider,
            template: match &decided.verdict {
                Verdict::Send(plan) => plan.template.clone(),
                Verdict::Refuse(_) => cause.template,
            },
        };
        self.count(
            entry.partition,
            dimensions,
            Hour::of(cause.wall),
            [(Measure::Accepted, 1)],
        )
    }

    /// Counts a complaint that names its shop: which of its mails it was about is not known.
    pub(super) fn count_complaint(
        &mut self,
        entry: &Entry<'_>,
        changed: &SuppressionChanged,
    ) -> Result<(), StateError> {
        let Some(shop) = changed
            .shop
            .filter(|_| changed.cause == Some(SuppressionCause::Complaint))
        else {
            return Ok(());
        };
        let dimensions = Dimensions::Mails {
            shop,
            stream: changed.stream.unwrap_or(Stream::Promotional),
            provider: Provider::Other,
            template: None,
        };
        self.count(
            entry.partition,
            dimensions,
            Hour::of(entry.wall),
            [(Measure::Complaints, 1)],
        )
    }

    /// Counts something of a mail, in the hour of the record.
    pub(super) fn count_mail(
        &mut self,
        entry: &Entry<'_>,
        message: MessageId,
        measure: Measure,
    ) -> Result<(), StateError> {
        let Some(mail) = self.mail(entry.partition, message)? else {
            return Ok(());
        };
        let (dimensions, origin) = (dimensions_of(mail), mail.origin().cloned());
        let Some(dimensions) = dimensions else {
            return Ok(());
        };
        let hour = Hour::of(entry.wall);
        if let Some(origin) = origin.and_then(|origin| self.dimensions_of_origin(entry.partition, &origin).transpose())
        {
            self.count(entry.partition, origin?, hour, [(measure, 1)])?;
        }
        self.count(entry.partition, dimensions, hour, [(measure, 1)])
    }

    /// Counts something of a mail and of one offer in it, in the hour of the record.
    pub(super) fn count_offer(
        &mut self,
        entry: &Entry<'_>,
        message: MessageId,
        (publisher, campaign): (ShopNumber, CampaignNumber),
        measure: Measure,
    ) -> Result<(), StateError> {
        self.count_mail(entry, message, measure)?;
        let offer = Dimensions::Offer { campaign, publisher };
        self.count(entry.partition, offer, Hour::of(entry.wall), [(measure, 1)])
    }

    /// Counts something of a mail and of all offers that it shows, in the hour of the record.
    pub(super) fn count_shown(
        &mut self,
        entry: &Entry<'_>,
        message: MessageId,
        measure: Measure,
    ) -> Result<(), StateError> {
        self.count_mail(entry, message, measure)?;
        let Some(mail) = self.mail(entry.partition, message)? else {
            return Ok(());
        };
        let publisher = mail.shop();
        let campaigns: Vec<_> = mail.offers().iter().map(|shown| shown.campaign).collect();
        for campaign in campaigns {
            let offer = Dimensions::Offer { campaign, publisher };
            self.count(entry.partition, offer, Hour::of(entry.wall), [(measure, 1)])?;
        }
        Ok(())
    }

    fn hit(&mut self, entry: &Entry<'_>, message: MessageId, hit: Hit) -> Result<(), StateError> {
        self.timeline_of_mail(entry, message)?;
        let recorded = self.change_mail(entry.partition, message, |mail| mail.record(hit))?;
        match recorded {
            Some(Recorded::Counted(change)) => self.count_changes(entry.partition, message, &[change]),
            Some(Recorded::Evidence | Recorded::Ignored) | None => Ok(()),
        }
    }

    /// Counts what hits and landings of a mail change: in its cell, and in the offer's if they are about one.
    fn count_changes(
        &mut self,
        partition: PartitionId,
        message: MessageId,
        changes: &[Change],
    ) -> Result<(), StateError> {
        if changes.is_empty() {
            return Ok(());
        }
        let Some(mail) = self.mail(partition, message)? else {
            return Ok(());
        };
        let (publisher, dimensions) = (mail.shop(), dimensions_of(mail));
        let origin = mail.origin().filter(|_| dimensions.is_some()).cloned();
        let of_origin = match origin {
            Some(origin) => self.dimensions_of_origin(partition, &origin)?,
            None => None,
        };
        for change in changes {
            for dimensions in dimensions.iter().chain(&of_origin) {
                self.count(partition, dimensions.clone(), change.hour, change.measures())?;
            }
            if let Some(campaign) = change.campaign {
                let offer = Dimensions::Offer { campaign, publisher };
                self.count(partition, offer, change.hour, change.measures())?;
            }
        }
        Ok(())
    }

    pub(super) fn count(
        &mut self,
        partition: PartitionId,
        dimensions: Dimensions,
        hour: Hour,
        changes: impl IntoIterator<Item = (Measure, i64)>,
    ) -> Result<(), StateError> {
        let slot = Slot::of(partition);
        let key = CellKey { dimensions, hour, slot };
        self.cells.add(self.store.state(), key, changes)
    }
}

/// Returns the dimensions under which a mail is counted; `None` if it is erased, or counts nowhere.
fn dimensions_of(mail: &MailState) -> Option<Dimensions> {
    counts(mail).then_some(())?;
    Some(Dimensions::Mails {
        shop: mail.shop(),
        stream: mail.stream()?,
        provider: mail.provider()?,
        template: mail.template().cloned(),
    })
}

/// Reads a mail from state. One that an earlier version decided has no row: it begins as its history says.
fn read(state: &State, partition: PartitionId, message: MessageId) -> Result<Option<Mail>, StateError> {
    if let Some(StoredMail { value, .. }) = state.mails().get(partition, message)? {
        let state =
            MailState::decode(&value).map_err(|error| StateError::Malformed(format!("mail {message:?}: {error}")))?;
        let due = state.due();
        return Ok(Some(Mail { state, due }));
    }
    let mut mail: Option<MailState> = None;
    for stored in state.histories().of(partition, message.event())? {
        match (&stored.event, &mut mail) {
            (Event::Decided(decided), None) => {
                // An order's history has decisions as well.
                let plan = decided.plan().filter(|plan| plan.message == message);
                mail = plan.map(|plan| MailState::new(decided, plan, Provider::Other));
            }
            (Event::AttemptEnded(ended), Some(mail)) if ended.outcome == Outcome::Delivered => {
                mail.delivered(stored.wall, ended.provider());
            }
            _ => {}
        }
    }
    Ok(mail.map(|state| Mail { state, due: None }))
}
