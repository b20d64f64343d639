//! The suppression lists that are read by shop, beside what each person's own state says.

use policy::person::Suppression;
use store::StateError;
use store::state::{Put, SuppressionList, SuppressionPut};
use types::event::{PreferenceChanged, SuppressionCause, SuppressionChanged, UnsubscribeScope, Unsubscribed};
use types::id::PersonKey;
use types::order::Stream;
use types::tally::Measure;
use types::time::Timestamp;

use super::{Entry, Fold};

impl Fold {
    pub(super) fn unsubscribed(&mut self, entry: &Entry<'_>, unsubscribed: &Unsubscribed) -> Result<(), StateError> {
        let message = unsubscribed.message;
        self.timeline_of_mail(entry, message)?;
        let Some(person) = self.person_of(entry.partition, message)? else {
            return Ok(());
        };
        self.suppression(entry, &unsubscribed_from(person, unsubscribed));
        self.count_mail(entry, message, Measure::Unsubscribes)?;
        self.contact_unsubscribed(entry, person, unsubscribed)?;
        self.change_person(entry, person)
    }

    pub(super) fn preference(&mut self, entry: &Entry<'_>, changed: &PreferenceChanged) -> Result<(), StateError> {
        self.timeline_of_mail(entry, changed.message)?;
        let Some(person) = self.person_of(entry.partition, changed.message)? else {
            return Ok(());
        };
        let before = self.person(entry.partition, person)?.suppressions().to_vec();
        self.change_person(entry, person)?;
        let after = self.person(entry.partition, person)?.suppressions().to_vec();
        // A list has one row for each stream, whatever the causes: what is left of them stands there.
        for gone in before.iter().filter(|entry| !after.contains(entry)) {
            let same = |left: &&Suppression| (left.shop, left.stream) == (gone.shop, gone.stream);
            let left = after.iter().rfind(same);
            self.put_suppression(
                person,
                &SuppressionChanged {
                    person,
                    shop: gone.shop,
                    stream: gone.stream,
                    cause: left.map(|left| left.cause),
                },
                left.map_or(entry.wall, |left| left.at),
            );
        }
        Ok(())
    }

    pub(super) fn suppression(&mut self, entry: &Entry<'_>, changed: &SuppressionChanged) {
        self.put_suppression(changed.person, changed, entry.wall);
    }

    fn put_suppression(&mut self, person: PersonKey, changed: &SuppressionChanged, at: Timestamp) {
        let list = changed.shop.map_or(SuppressionList::Network, SuppressionList::Shop);
        let stream = changed.stream;
        self.puts.push(match changed.cause {
            Some(cause) => Put::Suppression(SuppressionPut::Set {
                list,
                person,
                stream,
                cause,
                at,
            }),
            None => Put::Suppression(SuppressionPut::Delete { list, person, stream }),
        });
    }
}

/// Returns the list entry that an unsubscription amounts to.
fn unsubscribed_from(person: PersonKey, unsubscribed: &Unsubscribed) -> SuppressionChanged {
    SuppressionChanged {
        person,
        shop: match unsubscribed.scope {
            UnsubscribeScope::Shop => Some(unsubscribed.shop),
            UnsubscribeScope::Network => None,
        },
        stream: Some(Stream::Promotional),
        cause: Some(SuppressionCause::Unsubscribed),
    }
}
