//! Whom a mail of a workflow goes to, and what is asked for it.

use std::collections::BTreeMap;

use types::contact::{Channel, ContactSource, FieldValue};
use types::order::{Body, Consent, Customer, Grant, MessageRequest, Statement, Stream, TemplateUse};
use types::text::{Line, Slug};

use super::compiled::{Compiled, fields_seen};
use super::world::World;
use crate::contact::ContactState;
use crate::person::Purpose;

/// The contact to whom a step of a workflow sends.
pub(super) struct Addressee<'a> {
    pub(super) contact: &'a ContactState,
    pub(super) workflow: &'a Compiled,
    pub(super) world: &'a World<'a>,
    /// What the entry is about.
    pub(super) key: Option<&'a Line<128>>,
}

impl Addressee<'_> {
    /// Makes the request for a mail with a template; `None` if the contact has no address.
    pub(super) fn request(&self, template: &Slug) -> Option<MessageRequest> {
        let contact = self.contact;
        let email = contact.email()?.clone();
        let mut vars: BTreeMap<String, String> = fields_seen(contact, self.world, self.workflow.shop)
            .map(|(id, value)| (id.as_str().to_owned(), text(value)))
            .collect();
        vars.insert("email".to_owned(), email.as_str().to_owned());
        let profile = contact.profile();
        let name = profile.name.map_or_else(String::new, ToString::to_string);
        vars.insert("name".to_owned(), name);
        if let Some(key) = self.key {
            vars.insert("key".to_owned(), key.to_string());
        }
        let zone = profile.zone.map(|zone| zone.to_string());
        Some(MessageRequest {
            to: Customer {
                email,
                name: profile.name.cloned(),
                locale: profile.locale.cloned(),
                country: profile.country,
                time_zone: zone.and_then(|zone| Line::try_from(zone).ok()),
            },
            stream: Stream::Promotional,
            body: Body::Template(TemplateUse {
                id: template.clone(),
                vars,
            }),
            consent: Consent {
                marketing: self.marketing().map(Grant::Stated),
                tracking: self.tracking().map(Grant::Stated),
                sharing: None,
            },
            expires_at: None,
        })
    }

    /// Returns the evidence for mail. What an import or a bare assertion says is none against what the person did.
    fn marketing(&self) -> Option<Statement> {
        let (shop, person) = (self.workflow.shop, self.world.person);
        let said = self.contact.consent(Channel::Email)?;
        let is_void = match said.source {
            ContactSource::Import => person.said_no(shop),
            ContactSource::Api | ContactSource::Workflow => said.asserted && person.is_unsubscribed(shop),
        };
        (!is_void).then(|| said.statement.clone())
    }

    /// Returns the person's latest statement on tracking, if it allows it: as old as it is, so that nothing later is outweighed.
    fn tracking(&self) -> Option<Statement> {
        let (shop, person) = (self.workflow.shop, self.world.person);
        let said = person.said(shop, Purpose::Tracking)?;
        person.may_track(shop, said).then(|| Statement {
            granted: true,
            at: said.at,
            text: said.text.clone(),
            source: said.source.clone(),
        })
    }
}

/// Returns a value as templates see it: dates as ISO 8601 has them, numbers as short as they can be.
fn text(value: &FieldValue) -> String {
    match value {
        FieldValue::Text(text) => text.to_string(),
        FieldValue::Number(number) => number.value().to_string(),
        FieldValue::Date(date) => date.to_string(),
        FieldValue::Moment(at) => at.to_string(),
        FieldValue::Boolean(value) => value.to_string(),
    }
}
