//! `/c/{token}`: from the mail to the offer; with `?to=`, to a page of the shop's own site.

use types::catalogue::{Campaign, Catalogue};
use types::event::{Clicked, Event, HitKind, Visit};
use types::id::{CampaignNumber, PartitionId, ShopNumber};
use types::token::{AggregateClick, BadToken, ClickId, ClickToken, Kind};

use crate::Server;
use crate::destination::{self, Macros};
use crate::metrics::{Fate, Tracked};
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Request, Visitor};

/// The host name that an aggregate token is sealed under when it goes to a landing page. It is none, so such a token is no
/// link under any host; the page that gives it back need not be ours.
pub(crate) const LANDING: &str = "landing.";

/// A verified click token.
enum Click {
    Individual { token: ClickToken, is_trusted: bool },
    Aggregate { token: AggregateClick, is_trusted: bool },
}

impl Server {
    /// Answers a click. Waits for nothing.
    pub(crate) fn click(&self, token: &str, request: &Request<'_>) -> Reply {
        let click = match self.read_click(request.host, token) {
            Ok(click) => click,
            Err(reason) => {
                self.bad_token(Endpoint::Click, reason, request);
                return self.safe_page(request.host);
            }
        };
        if let Some(to) = request.destination() {
            return self.lead_home(&click, to, request);
        }
        let visitor = request.visitor();
        let (shop, campaign, click_id) = match click {
            Click::Individual { token, is_trusted } => {
                let (fate, click_id) = self.record_click(&token, token.campaign, is_trusted, visitor, request);
                self.metrics.event(Tracked::Clicked, fate);
                (token.shop, token.campaign, click_id)
            }
            Click::Aggregate { token, is_trusted } => {
                let fate = if is_trusted {
                    self.count(token.shop, Some(token.campaign), HitKind::Click, visitor)
                } else {
                    Fate::Untrusted
                };
                self.metrics.event(Tracked::Clicked, fate);
                let click_id = self.deps.tokens.aggregate_click(LANDING, &token);
                (token.shop, token.campaign, click_id)
            }
        };
        self.lead_on(shop, campaign, &click_id, request)
    }

    fn read_click(&self, host: &str, text: &str) -> Result<Click, BadToken> {
        let keys = &self.deps.tokens;
        let is_trusted = || keys.trusts(text);
        if Kind::claimed(text) == Some(Kind::AggregateClick) {
            let token = keys.verify_aggregate_click(host, text)?;
            let is_trusted = is_trusted();
            return Ok(Click::Aggregate { token, is_trusted });
        }
        let token = keys.verify_click(host, text)?;
        let is_trusted = is_trusted();
        Ok(Click::Individual { token, is_trusted })
    }

    /// Offers the click to its runner; returns what became of it, and the id that the landing page gets.
    fn record_click(
        &self,
        token: &ClickToken,
        campaign: CampaignNumber,
        is_trusted: bool,
        visitor: Visitor,
        request: &Request<'_>,
    ) -> (Fate, String) {
        let click = self.deps.store.journal().mint();
        let click_id = self.deps.tokens.click_id(&ClickId {
            click,
            message: token.message,
            partition: token.partition,
            campaign,
            shop: token.shop,
            slot: token.slot,
            flags: 0,
        });
        if self.deps.withdrawals.contains(token.message) {
            return (Fate::Withdrawn, click_id);
        }
        let clicked = Clicked {
            message: token.message,
            shop: token.shop,
            campaign,
            slot: token.slot,
            agent: visitor.agent,
            click: Some(click),
            network: Some(visitor.network),
            visit: visitor.visit,
            suspect: self.suspects.contains(visitor.network, request.now),
            untrusted: !is_trusted,
        };
        let fate = self.offer(token.partition, Event::Clicked(clicked), visitor);
        (fate, click_id)
    }

    /// Answers a click on a link to the shop's own site: the page it asks for, or the shop's home page if that is not its own.
    ///
    /// Anybody can write something else behind a token, so what is asked for is never believed. The page learns of no
    /// click: what led there and who came is in the URL that the shop itself gave.
    fn lead_home(&self, click: &Click, to: &str, request: &Request<'_>) -> Reply {
        let visitor = request.visitor();
        let (shop, fate) = match click {
            Click::Individual { token, is_trusted } => {
                let (fate, _click_id) = self.record_click(token, CampaignNumber::NONE, *is_trusted, visitor, request);
                (token.shop, fate)
            }
            Click::Aggregate {
                token,
                is_trusted: true,
            } => (token.shop, self.count(token.shop, None, HitKind::Click, visitor)),
            Click::Aggregate { token, .. } => (token.shop, Fate::Untrusted),
        };
        self.metrics.event(Tracked::Clicked, fate);
        let catalogue = self.deps.store.catalogue().load();
        let Some(shop) = catalogue.shop_by_number(shop) else {
            return self.safe_page(request.host);
        };
        let page = destination::decode(to).and_then(|to| shop.spec.own_page(&to));
        reply::redirect(page.as_ref().unwrap_or(&shop.spec.url).as_str().to_owned())
    }

    /// Leads to the campaign's landing page while its offer lasts, else to the shop's own.
    fn lead_on(&self, shop: ShopNumber, campaign: CampaignNumber, click_id: &str, request: &Request<'_>) -> Reply {
        let catalogue = self.deps.store.catalogue().load();
        let Some(shop) = catalogue.shop_by_number(shop) else {
            return self.safe_page(request.host);
        };
        // Paused and deleted campaigns still lead on: their offer was made, and the mail promises it.
        let lasting = catalogue
            .campaign_by_number(campaign)
            .filter(|campaign| campaign.spec.ends_at.is_none_or(|ends_at| ends_at > request.now))
            .filter(|campaign| leads_home(&catalogue, campaign));
        reply::redirect(match lasting {
            Some(campaign) => {
                let macros = Macros::of(click_id, campaign, shop);
                destination::fill(campaign.spec.landing_url.as_str(), &macros)
            }
            None => shop.spec.url.as_str().to_owned(),
        })
    }

    /// Hands an event to its runner without waiting. What was made in advance is evidence, and counted nowhere.
    pub(crate) fn offer(&self, partition: PartitionId, event: Event, visitor: Visitor) -> Fate {
        match (self.deps.store.intake().offer(partition, event), visitor.visit) {
            (Ok(()), Visit::Real) => Fate::Recorded,
            (Ok(()), Visit::Head | Visit::Prefetch) => Fate::Prefetched,
            (Err(_), _) => Fate::Dropped,
        }
    }

    /// Counts a hit that names nobody.
    pub(crate) fn count(
        &self,
        shop: ShopNumber,
        campaign: Option<CampaignNumber>,
        kind: HitKind,
        visitor: Visitor,
    ) -> Fate {
        if visitor.visit != Visit::Real {
            return Fate::Prefetched;
        }
        match self.aggregates.count(shop, campaign, kind, visitor.agent) {
            Ok(()) => Fate::Aggregate,
            Err(_full) => Fate::Dropped,
        }
    }

    /// Counts a bad token, which speaks against where it came from. One of a retired key does not: mails grow old.
    pub(crate) fn bad_token(&self, endpoint: Endpoint, reason: BadToken, request: &Request<'_>) {
        self.metrics.bad_token(endpoint, reason);
        let is_evidence = reason != BadToken::UnknownKey && !request.party.is_loopback();
        if is_evidence {
            let network = types::network::Network::of(request.party);
            self.suspects.add(network, request.now);
        }
    }

    /// Leads where bad tokens lead: the page of the host's shop, else the settings' one, else nowhere.
    pub(crate) fn safe_page(&self, host: &str) -> Reply {
        let catalogue = self.deps.store.catalogue().load();
        let own = self.safe_pages.of_host(&catalogue, host);
        match own.as_ref().or(self.settings.safe_page.as_ref()) {
            Some(url) => reply::redirect(url.as_str().to_owned()),
            None => reply::gone(),
        }
    }
}

/// Returns whether a campaign's landing page is on its advertiser's own site. The API sees to it when a campaign is put;
/// the shop's home page may have moved since.
fn leads_home(catalogue: &Catalogue, campaign: &Campaign) -> bool {
    let advertiser = catalogue.shop_ever(&campaign.spec.advertiser);
    advertiser.is_some_and(|advertiser| advertiser.spec.owns_host(campaign.spec.landing_url.host()))
}
