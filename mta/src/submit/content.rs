//! Renders a mail's content: an offer mail of an order, a reminder of a cart, a template's message, or what the caller
//! wrote.

use std::collections::HashMap;
use std::sync::Arc;

use policy::calendar::{ResolvedZone, local_date};
use policy::template::context::{Context, OfferView, ShopView};
use policy::template::{CartView, Rendered, Template, Track};
use types::catalogue::{Creative, Shop, TemplateKind};
use types::event::Tracking;
use types::id::ShopNumber;
use types::locale::Language;
use types::order::{Body, Content, MessageRequest, Order, Stream, TemplateUse};
use types::port::{Mail, Request};
use types::text::Slug;

use super::compose::ComposeError;
use super::links::{Links, is_for_shop, purpose};
use super::{footer, plain};

/// How many shops' views and how many compiled templates are kept; past it, a cache starts anew.
const CACHE_MAX: usize = 512;

/// Renders one mail after the other, with compiled templates and buffers that it uses again.
#[derive(Debug, Default)]
pub(super) struct Renderer {
    shops: HashMap<(ShopNumber, u32), ShopView>,
    built_in: HashMap<(BuiltIn, Language), Template>,
    templates: HashMap<(ShopNumber, Slug, u32, Language), Arc<Template>>,
    rendered: Rendered,
}

/// A mail that the shop need not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum BuiltIn {
    Offer,
    Cart,
}

impl Renderer {
    /// Renders a mail; the HTML is empty if it has none.
    pub(super) fn render(&mut self, mail: &Mail, shop: &Arc<Shop>, links: &Links<'_>) -> Result<(), ComposeError> {
        match &mail.request {
            Request::Order(order) => self.render_offer(mail, shop, order, links)?,
            Request::Message(request) => self.render_message(mail, shop, request, links)?,
        }
        // An aggregate pixel counts offer mails; a plain message to someone who did not agree has none, nor has what goes to
        // the shop itself.
        let counted = match mail.request {
            Request::Order(_) => true,
            Request::Message(_) => mail.plan.tracking == Tracking::Individual && !is_for_shop(mail),
        };
        if counted && !self.rendered.html.is_empty() {
            insert_pixel(&links.pixel(), &mut self.rendered.html);
        }
        Ok(())
    }

    /// Returns what was rendered last.
    pub(super) const fn rendered(&self) -> &Rendered {
        &self.rendered
    }

    fn render_offer(
        &mut self,
        mail: &Mail,
        shop: &Arc<Shop>,
        order: &Arc<Order>,
        links: &Links<'_>,
    ) -> Result<(), ComposeError> {
        let language = mail.plan.language;
        let shown = Self::offers(mail, links)?;
        let offers: Vec<OfferView<'_>> = shown
            .iter()
            .map(|(creative, advertiser, url)| OfferView {
                creative,
                advertiser,
                url,
            })
            .collect();
        let view = self.shop_view(shop);
        let context = Context::offer(language, &view, Arc::clone(order), &offers, &links.unsubscribe());
        if let Some(id) = &shop.spec.offer_template {
            let own = self
                .template(mail, id, TemplateKind::Offer)
                .and_then(|template| Ok(template.render(&context, &mut self.rendered)?));
            match own {
                Ok(()) => return Ok(()),
                // The check at its PUT cannot foresee every order. The buyer gets the built-in mail instead.
                Err(error) => {
                    tracing::warn!(shop = %shop.id, %error, "offer template not usable, the built-in stands in");
                }
            }
        }
        self.render_built_in(BuiltIn::Offer, language, &context)
    }

    fn render_built_in(&mut self, kind: BuiltIn, language: Language, context: &Context) -> Result<(), ComposeError> {
        let compile = || match kind {
            BuiltIn::Offer => Template::offer(language),
            BuiltIn::Cart => Template::cart(language),
        };
        let built_in = self.built_in.entry((kind, language)).or_insert_with(compile);
        Ok(built_in.render(context, &mut self.rendered)?)
    }

    /// Returns what each offer of the plan says, whose it is, and where it leads.
    fn offers<'a>(mail: &'a Mail, links: &Links<'_>) -> Result<Vec<(&'a Creative, &'a str, String)>, ComposeError> {
        let language = mail.plan.language;
        let slots = 0_u8..;
        slots
            .zip(&mail.plan.offers)
            .map(|(slot, offer)| {
                let missing = || ComposeError::NoCreative(offer.campaign, language);
                let campaign = mail.catalogue.campaign_by_number(offer.campaign).ok_or_else(missing)?;
                let creative = campaign.spec.creatives.get(&language).ok_or_else(missing)?;
                let advertiser = mail.catalogue.shop(&campaign.spec.advertiser);
                let name = advertiser.map_or(campaign.spec.advertiser.as_str(), |shop| &shop.spec.name);
                Ok((creative, name, links.click(slot, offer)))
            })
            .collect()
    }

    fn render_message(
        &mut self,
        mail: &Mail,
        shop: &Arc<Shop>,
        request: &MessageRequest,
        links: &Links<'_>,
    ) -> Result<(), ComposeError> {
        let is_promotional = mail.plan.stream == Stream::Promotional;
        let unsubscribe = (is_promotional && !is_for_shop(mail)).then(|| links.unsubscribe());
        let track = links.track(shop);
        match &request.body {
            Body::Content(content) => self.take_content(content),
            Body::Template(TemplateUse { id, vars }) => {
                let template = self.template(mail, id, TemplateKind::Message)?;
                let view = self.shop_view(shop);
                let unsubscribe = unsubscribe.as_deref();
                let context = Context::message(mail.plan.language, &view, &request.to, vars, unsubscribe, &track);
                template.render(&context, &mut self.rendered)?;
            }
            Body::Cart(cart) => {
                let view = CartView {
                    to: &request.to,
                    mail: cart,
                    until: cart.coupon_until.map(|until| local_date(until, &zone(mail))),
                    url: &links.restore(cart.restore_url.as_str(), &track),
                    purpose: purpose(mail),
                    unsubscribe_url: unsubscribe.as_deref(),
                };
                self.render_cart(mail, shop, &view, &track)?;
            }
        }
        if let Some(url) = unsubscribe {
            footer::append(mail.plan.language, &shop.spec, &url, &mut self.rendered);
        }
        Ok(())
    }

    fn take_content(&mut self, content: &Content) {
        let Rendered { subject, html, text } = &mut self.rendered;
        subject.clear();
        subject.push_str(&content.subject);
        html.clear();
        html.push_str(content.html.as_deref().unwrap_or_default());
        text.clear();
        match &content.text {
            Some(given) => text.push_str(given),
            None => text.push_str(&plain::from_html(html)),
        }
    }

    fn render_cart(
        &mut self,
        mail: &Mail,
        shop: &Arc<Shop>,
        view: &CartView<'_>,
        track: &Track,
    ) -> Result<(), ComposeError> {
        let language = mail.plan.language;
        let context = Context::cart(language, &self.shop_view(shop), view, track);
        if let Some(id) = &view.mail.template {
            let own = self
                .template(mail, id, TemplateKind::Cart)
                .and_then(|template| Ok(template.render(&context, &mut self.rendered)?));
            match own {
                Ok(()) => {
                    footer::notice(language, view.purpose, &mut self.rendered);
                    return Ok(());
                }
                // As with offers: the buyer gets the built-in mail instead.
                Err(error) => {
                    tracing::warn!(shop = %shop.id, %error, "cart template not usable, the built-in stands in");
                }
            }
        }
        self.render_built_in(BuiltIn::Cart, language, &context)
    }

    /// Returns a shop's compiled template in the mail's language, or in the shop's, or in the first there is.
    fn template(&mut self, mail: &Mail, id: &Slug, kind: TemplateKind) -> Result<Arc<Template>, ComposeError> {
        let missing = || ComposeError::NoTemplate(id.clone());
        let template = mail
            .catalogue
            .template(mail.shop, id)
            .filter(|template| template.spec.kind == kind)
            .ok_or_else(missing)?;
        let home = mail.catalogue.shop_by_number(mail.shop).map(|shop| shop.spec.language);
        let sources = &template.spec.sources;
        let (language, source) = [Some(mail.plan.language), home]
            .into_iter()
            .flatten()
            .find_map(|language| sources.get_key_value(&language))
            .or_else(|| sources.first_key_value())
            .ok_or_else(missing)?;
        let name = (mail.shop, id.clone(), template.version, *language);
        if let Some(compiled) = self.templates.get(&name) {
            return Ok(Arc::clone(compiled));
        }
        let compiled = Arc::new(Template::compile(source)?);
        keep(&mut self.templates, name, Arc::clone(&compiled));
        Ok(compiled)
    }

    fn shop_view(&mut self, shop: &Shop) -> ShopView {
        let name = (shop.number, shop.version);
        if let Some(view) = self.shops.get(&name) {
            return view.clone();
        }
        let view = ShopView::new(&shop.spec);
        keep(&mut self.shops, name, view.clone());
        view
    }
}

/// Returns the zone in which a shop's days are counted.
fn zone(mail: &Mail) -> ResolvedZone {
    let spec = mail.catalogue.carts(mail.shop);
    ResolvedZone::of(spec.map_or_else(|| UTC.parse().expect("a zone"), |spec| spec.time_zone))
}

/// The zone of a shop that said none.
const UTC: &str = "UTC";

/// Keeps a value in a bounded cache. A full one is emptied: what is in use comes back at once.
fn keep<Key: std::hash::Hash + Eq, Value>(cache: &mut HashMap<Key, Value>, key: Key, value: Value) {
    if cache.len() >= CACHE_MAX {
        cache.clear();
    }
    cache.insert(key, value);
}

/// Puts the pixel at the end of the body.
fn insert_pixel(url: &str, html: &mut String) {
    let pixel =
        format!("<img src=\"{url}\" width=\"1\" height=\"1\" alt=\"\" style=\"border:0;width:1px;height:1px\">\n");
    let at = html
        .rfind("</body>")
        .or_else(|| html.rfind("</BODY>"))
        .unwrap_or(html.len());
    html.insert_str(at, &pixel);
}
