//! Makes the final bytes of a mail: content, header fields, signatures.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use policy::template::{Rendered, TemplateFault};
use types::address::{EmailAddress, NotAnAddress};
use types::catalogue::{Sender, Shop};
use types::id::{CampaignNumber, PublicId};
use types::locale::Language;
use types::order::{Customer, Stream};
use types::port::{Mail, Request};
use types::text::Slug;
use types::token::{TokenKeys, VerpKey};

use super::content::Renderer;
use super::dkim::{self, DkimKeys, KeyError, Terms};
use super::links::{self, Links};
use super::mime::{self, Fields};
use super::settings::Settings;

/// A mail whose bytes are final: rendered, then signed (RFC 6376).
#[derive(Clone, Debug)]
pub struct SignedMessage {
    /// The envelope's return path, a signed VERP address.
    pub reverse_path: EmailAddress,
    /// The envelope's one recipient.
    pub recipient: EmailAddress,
    /// The message, with CR LF, not dot-stuffed (and without a line that would have to be).
    pub bytes: Bytes,
}

/// Why a mail cannot be made. All of them are final: what the plan names is not there, or a template does not render.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The catalogue of the plan's version has no such shop.
    #[error("the shop is not in the catalogue")]
    NoShop,
    /// The shop has no sender on the plan's stream.
    #[error("the shop has no sender on the {} stream", .0.as_str())]
    NoSender(Stream),
    /// The catalogue has no such campaign, or it says nothing in the mail's language.
    #[error("campaign number {} has no creative in {}", .0.0, .1.code())]
    NoCreative(CampaignNumber, Language),
    /// The shop has no such template for messages, or it has no source in a language that would do.
    #[error("the shop has no message template `{0}`")]
    NoTemplate(Slug),
    /// The template does not render.
    #[error("the template fails: {0}")]
    Template(#[from] TemplateFault),
    /// The sender's domain makes no return path.
    #[error("the return path {0}")]
    ReturnPath(NotAnAddress),
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes mails, one after the other. Each signing thread has its own, with its buffers and compiled templates.
pub struct Composer {
    settings: Arc<Settings>,
    tokens: Arc<TokenKeys>,
    verp: Arc<VerpKey>,
    keys: Arc<DkimKeys>,
    renderer: Renderer,
    header: Vec<u8>,
    body: Vec<u8>,
    signatures: Vec<u8>,
    scratch: dkim::Scratch,
}

impl Composer {
    /// Makes a composer.
    pub fn new(settings: Arc<Settings>, tokens: Arc<TokenKeys>, verp: Arc<VerpKey>, keys: Arc<DkimKeys>) -> Self {
        Self {
            settings,
            tokens,
            verp,
            keys,
            renderer: Renderer::default(),
            header: Vec::new(),
            body: Vec::new(),
            signatures: Vec::new(),
            scratch: dkim::Scratch::default(),
        }
    }

    /// Renders a mail without signing it: subject, HTML (empty if there is none) and text are in [`Composer::rendered`].
    pub fn render(&mut self, mail: &Mail) -> Result<(), ComposeError> {
        let shop = mail.catalogue.shop_by_number(mail.shop).ok_or(ComposeError::NoShop)?;
        let links = Links {
            keys: &self.tokens,
            host: host(shop, &self.settings),
            mail,
        };
        self.renderer.render(mail, shop, &links)
    }

    /// Starts anew with empty caches, as after a panic that may have left them half changed.
    pub(super) fn forget(&mut self) {
        self.renderer = Renderer::default();
    }

    /// Returns what was rendered last.
    pub const fn rendered(&self) -> &Rendered {
        self.renderer.rendered()
    }

    /// Builds and signs the message of what [`Composer::render`] rendered for the same mail.
    pub fn sign(&mut self, mail: &Mail) -> Result<SignedMessage, ComposeError> {
        let shop = mail.catalogue.shop_by_number(mail.shop).ok_or(ComposeError::NoShop)?;
        let stream = mail.plan.stream;
        let sender = shop.spec.sender(stream).ok_or(ComposeError::NoSender(stream))?;
        let customer = customer(mail);
        let domain = sender.address.domain();
        self.build(mail, shop, sender, customer);

        let signed_at = mail.plan.date.as_millis() / 1000;
        let terms = Terms {
            domain,
            signed_at,
            expires_at: signed_at + self.settings.signature_life.as_secs(),
        };
        let keys = self.keys.of(domain, sender.dkim)?;
        let keys: Vec<_> = keys.iter().map(AsRef::as_ref).collect();
        self.signatures.clear();
        dkim::sign(
            &self.header,
            &self.body,
            &terms,
            &keys,
            &mut self.scratch,
            &mut self.signatures,
        )?;

        let parts = [self.signatures.as_slice(), &self.header, b"\r\n", &self.body];
        let reverse_path = self
            .verp
            .return_path(mail.plan.message, mail.partition, &format!("bounce.{domain}"))
            .map_err(ComposeError::ReturnPath)?;
        Ok(SignedMessage {
            reverse_path,
            recipient: customer.email.clone(),
            bytes: parts.concat().into(),
        })
    }

    fn build(&mut self, mail: &Mail, shop: &Shop, sender: &Sender, customer: &Customer) {
        let rendered = self.renderer.rendered();
        let id = PublicId {
            partition: mail.partition,
            event: mail.plan.message.event(),
        }
        .to_string();
        let is_for_shop = links::is_for_shop(mail);
        let unsubscribe = (mail.plan.stream == Stream::Promotional && !is_for_shop).then(|| {
            Links {
                keys: &self.tokens,
                host: host(shop, &self.settings),
                mail,
            }
            .unsubscribe()
        });
        let feedback = format!(
            "{}:{}:{}:{}",
            shop.number.0,
            mail.plan.stream.as_str(),
            mail.plan.language.code(),
            self.settings.feedback_sender
        );
        let fields = Fields {
            from: (sender.name.as_deref().unwrap_or(&shop.spec.name), &sender.address),
            // What goes to the shop has the buyer's name for the salutation alone.
            to: (
                customer.name.as_deref().filter(|_| !is_for_shop).unwrap_or_default(),
                &customer.email,
            ),
            reply_to: sender.reply_to.as_ref(),
            subject: &rendered.subject,
            date: mail.plan.date,
            id: &id,
            unsubscribe: unsubscribe.as_deref(),
            feedback: &feedback,
        };
        let Rendered { html, text, .. } = rendered;
        let content = if html.is_empty() {
            mime::Content::Text(text)
        } else {
            mime::Content::Alternative { text, html }
        };
        self.header.clear();
        self.body.clear();
        mime::header(&fields, &content, &mut self.header);
        mime::body(&id, &content, &mut self.body);
    }
}

impl fmt::Debug for Composer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Composer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn host<'a>(shop: &'a Shop, settings: &'a Settings) -> &'a str {
    shop.spec.tracking_host.as_deref().unwrap_or(&settings.tracking_host)
}

fn customer(mail: &Mail) -> &Customer {
    match &mail.request {
        Request::Order(order) => &order.customer,
        Request::Message(request) => &request.to,
    }
}
