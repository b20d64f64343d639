//! `/c/{token}`: from the mail to the offer.

use types::event::{Clicked, Event};
use types::id::{CampaignNumber, PartitionId, ShopNumber};
use types::token::{BadToken, Kind};

use crate::Tracker;
use crate::landing::{self, Macros};
use crate::metrics::Fate;
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Visit};

/// What a click token says, whoever it names.
struct Click {
    shop: ShopNumber,
    campaign: CampaignNumber,
    /// What is to be recorded; `None` if the token names nobody.
    event: Option<(PartitionId, Clicked)>,
}

impl Tracker {
    /// Answers a click. Waits for nothing.
    pub(crate) fn click(&self, host: &str, token: &str, visit: Visit) -> Reply {
        let click = match self.read_click(host, token, visit) {
            Ok(click) => click,
            Err(reason) => {
                self.metrics.bad_token(Endpoint::Click, reason);
                return self.safe_page(host);
            }
        };
        self.metrics.event("clicked", self.record_click(&click, visit));
        self.destination(host, token, &click)
    }

    fn read_click(&self, host: &str, token: &str, visit: Visit) -> Result<Click, BadToken> {
        if Kind::claimed(token) == Some(Kind::AggregateClick) {
            let token = self.deps.tokens.verify_aggregate_click(host, token)?;
            return Ok(Click {
                shop: token.shop,
                campaign: token.campaign,
                event: None,
            });
        }
        let token = self.deps.tokens.verify_click(host, token)?;
        let event = match visit {
            Visit::InAdvance => None,
            Visit::Real(agent) => Some((
                token.partition,
                Clicked {
                    message: token.message,
                    shop: token.shop,
                    campaign: token.campaign,
                    slot: token.slot,
                    agent,
                    click: None,
                    network: None,
                    visit: types::event::Visit::Real,
                    suspect: false,
                    untrusted: false,
                },
            )),
        };
        Ok(Click {
            shop: token.shop,
            campaign: token.campaign,
            event,
        })
    }

    fn record_click(&self, click: &Click, visit: Visit) -> Fate {
        match (&click.event, visit) {
            (_, Visit::InAdvance) => Fate::Prefetched,
            (None, Visit::Real(_)) => Fate::Aggregate,
            (Some((_, clicked)), Visit::Real(_)) if self.deps.withdrawals.contains(clicked.message) => Fate::Withdrawn,
            (Some((partition, clicked)), Visit::Real(_)) => self.offer(*partition, Event::Clicked(clicked.clone())),
        }
    }

    /// Leads to the campaign's landing page while its offer lasts, then to the shop's own.
    fn destination(&self, host: &str, token: &str, click: &Click) -> Reply {
        let catalogue = self.deps.store.catalogue().load();
        let Some(shop) = catalogue.shop_by_number(click.shop) else {
            return self.safe_page(host);
        };
        let now = self.deps.clock.now();
        // Paused and deleted campaigns still lead on: their offer was made, and the mail promises it.
        let lasting = catalogue
            .campaign_by_number(click.campaign)
            .filter(|campaign| campaign.spec.ends_at.is_none_or(|ends_at| ends_at > now));
        match lasting {
            Some(campaign) => {
                let macros = Macros::of(token, campaign, shop);
                reply::redirect(&landing::fill(campaign.spec.landing_url.as_str(), &macros))
            }
            None => reply::redirect(shop.spec.url.as_str()),
        }
    }

    /// Hands an event to its runner without waiting.
    pub(crate) fn offer(&self, partition: PartitionId, event: Event) -> Fate {
        match self.deps.store.intake().offer(partition, event) {
            Ok(()) => Fate::Recorded,
            Err(_) => Fate::Dropped,
        }
    }

    /// Leads where bad tokens lead: the page of the host's shop, else the settings' one, else nowhere.
    pub(crate) fn safe_page(&self, host: &str) -> Reply {
        let catalogue = self.deps.store.catalogue().load();
        let own = self.safe_pages.of_host(&catalogue, host);
        match own.as_ref().or(self.settings.safe_page.as_ref()) {
            Some(url) => reply::redirect(url.as_str()),
            None => reply::gone(),
        }
    }
}
