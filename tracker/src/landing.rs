//! `/l`: an advertiser's site was reached, as that site itself says.
//!
//! | what comes | how | proves |
//! |---|---|---|
//! | `POST`, `c=<click id>&n=1` as plain text or a form | the snippet's beacon | the landing, if the page is the advertiser's |
//! | `POST`, JSON with `webhook-*` headers | the advertiser's server | the landing |
//! | `GET /l?c=<click id>` | an image, where there is no script | nothing |
//!
//! A landing can become a lead, so it is durable before it is answered. Those of people who withdrew are answered and not
//! recorded; those that name nobody are counted.

mod call;

use types::event::{Event, HitKind, Landed, LandingVia, Visit};
use types::token::{BadToken, ClickId, Kind};

use crate::Server;
use crate::click::LANDING;
use crate::metrics::{Fate, Tracked};
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Request};

/// A report of a landing, whatever way it came.
struct Report {
    click: ClickId,
    via: LandingVia,
    /// Whether the site takes the visitor for new.
    new_visitor: Option<bool>,
    /// Whether the report came from one of the advertiser's own hosts, or was signed by it, of a click id that only we could
    /// make.
    proven: bool,
}

/// The landing did not become durable: say so, and nothing else.
struct NotDurable;

impl Server {
    /// Takes a beacon or a signed call.
    pub(crate) async fn landing(&self, request: &Request<'_>) -> Reply {
        if request.parts.headers.contains_key(call::SIGNATURE) {
            return self.landing_call(request).await;
        }
        let body = std::str::from_utf8(request.body).unwrap_or_default().trim();
        let reply = match self.report(body, LandingVia::Snippet, request).await {
            Ok(Ok(())) => reply::nothing(204),
            Ok(Err(reason)) => {
                self.bad_token(Endpoint::Landing, reason, request);
                reply::text(400, "No click of ours.\n")
            }
            Err(NotDurable) => reply::later(503, "5"),
        };
        // Any page may read the answer: there is nothing in it.
        reply.with("access-control-allow-origin", "*")
    }

    /// Serves the image; a HEAD, or a GET made in advance, reports nothing.
    pub(crate) async fn landing_image(&self, request: &Request<'_>) -> Reply {
        if request.visitor().visit == Visit::Real {
            match self.report(request.query(), LandingVia::Image, request).await {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => self.bad_token(Endpoint::Landing, reason, request),
                Err(NotDurable) => return reply::later(503, "5"),
            }
        }
        reply::pixel().with("cross-origin-resource-policy", "cross-origin")
    }

    /// Records what a page reports by itself. `fields` is `c=<click id>` and perhaps `n=1` (new) or `n=0` (known).
    async fn report(
        &self,
        fields: &str,
        via: LandingVia,
        request: &Request<'_>,
    ) -> Result<Result<(), BadToken>, NotDurable> {
        let field = |name: &str| {
            fields
                .split('&')
                .filter_map(|field| field.split_once('='))
                .find(|(own, _)| *own == name)
        };
        let text = field("c").map_or("", |(_, value)| value);
        let keys = &self.deps.tokens;
        if Kind::claimed(text) == Some(Kind::AggregateClick) {
            let Ok(token) = keys.verify_aggregate_click(LANDING, text) else {
                return Ok(Err(BadToken::Mac));
            };
            let fate = if keys.trusts(text) {
                self.count(token.shop, Some(token.campaign), HitKind::Landing, request.visitor())
            } else {
                Fate::Untrusted
            };
            self.metrics.event(Tracked::Landed, fate);
            return Ok(Ok(()));
        }
        let click = match keys.open_click_id(text) {
            Ok(click) => click,
            Err(reason) => return Ok(Err(reason)),
        };
        let new_visitor = match field("n") {
            Some((_, "1")) => Some(true),
            Some((_, "0")) => Some(false),
            _ => None,
        };
        let proven = via == LandingVia::Snippet && keys.trusts(text) && self.is_advertisers_page(&click, request);
        let report = Report {
            click,
            via,
            new_visitor,
            proven,
        };
        self.record_landing(report, request).await.map(Ok)
    }

    /// Returns whether the page that made the request is the clicked campaign's advertiser's.
    fn is_advertisers_page(&self, click: &ClickId, request: &Request<'_>) -> bool {
        let catalogue = self.deps.store.catalogue().load();
        let advertiser = catalogue
            .campaign_by_number(click.campaign)
            .and_then(|campaign| catalogue.shop_ever(&campaign.spec.advertiser));
        advertiser
            .zip(request.page_host())
            .is_some_and(|(advertiser, host)| advertiser.spec.owns_host(host))
    }

    /// Records a landing and returns once it is durable.
    async fn record_landing(&self, report: Report, request: &Request<'_>) -> Result<(), NotDurable> {
        if self.deps.withdrawals.contains(report.click.message) {
            self.metrics.event(Tracked::Landed, Fate::Withdrawn);
            return Ok(());
        }
        let visitor = request.visitor();
        let landed = Landed {
            click: report.click.click,
            message: report.click.message,
            shop: report.click.shop,
            campaign: report.click.campaign,
            via: report.via,
            new_visitor: report.new_visitor,
            proven: report.proven,
            network: (report.via != LandingVia::Server).then_some(visitor.network),
            agent: visitor.agent,
        };
        let is_durable = self
            .submit(report.click.partition, Event::Landed(Box::new(landed)))
            .await;
        let fate = if is_durable { Fate::Recorded } else { Fate::Dropped };
        self.metrics.event(Tracked::Landed, fate);
        if is_durable { Ok(()) } else { Err(NotDurable) }
    }
}
