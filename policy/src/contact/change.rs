//! What a shop, an import or a step changes about a contact.

use types::contact::{ContactChange, ContactSource};
use types::event::Did;
use types::time::Timestamp;

use super::ContactState;

impl ContactState {
    pub(super) fn change(&mut self, change: &ContactChange, source: ContactSource, wall: Timestamp) {
        if change.replace {
            self.name = None;
            self.locale = None;
            self.country = None;
            self.zone = None;
            self.phone = None;
            self.fields.clear();
            self.groups.clear();
        }
        set(&mut self.name, change.name.as_ref());
        set(&mut self.locale, change.locale.as_ref());
        set(&mut self.country, change.country.as_ref());
        set(&mut self.zone, change.time_zone.as_ref());
        set(&mut self.phone, change.phone.as_ref());
        for (id, value) in &change.fields {
            match value {
                Some(value) => self.fields.insert(id.clone(), value.clone()),
                None => self.fields.remove(id),
            };
        }
        self.groups.extend(change.join.iter().cloned());
        self.groups.retain(|group| !change.leave.contains(group));
        for consent in &change.consents {
            self.note_consent(consent.clone(), source, wall);
        }
    }

    /// Applies one thing that an instance did, as far as it is about groups.
    pub(crate) fn did(&mut self, did: &Did) {
        if let Did::Grouped { join, leave, .. } = did {
            self.groups.extend(join.clone());
            if let Some(leave) = leave {
                self.groups.remove(leave);
            }
        }
    }
}

fn set<T: Clone>(own: &mut Option<T>, new: Option<&T>) {
    if let Some(new) = new {
        *own = Some(new.clone());
    }
}
