//! The addresses in a mail that lead to the tracker.

use std::sync::Arc;

use policy::template::Track;
use types::catalogue::Shop;
use types::event::{Offer, Origin, ReminderPurpose, Tracking};
use types::id::{CampaignNumber, PublicId};
use types::port::Mail;
use types::text::percent_encode;
use types::token::{AggregateClick, AggregatePixel, ClickToken, PixelToken, TokenKeys, UnsubscribeToken, day};

/// Makes the links of one mail, on the host that its shop uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links<'a> {
    pub(super) keys: &'a TokenKeys,
    pub(super) host: &'a str,
    pub(super) mail: &'a Mail,
}

/// Returns whether a mail goes to the shop itself, as a copy or a test of what a buyer gets.
pub(super) fn is_for_shop(mail: &Mail) -> bool {
    mail.origin.as_ref().is_some_and(Origin::is_for_shop)
}

/// Returns to whom a reminder goes.
pub(super) fn purpose(mail: &Mail) -> ReminderPurpose {
    match &mail.origin {
        Some(Origin::Cart { purpose, .. }) => *purpose,
        Some(Origin::Workflow { .. }) | None => ReminderPurpose::Buyer,
    }
}

impl Links<'_> {
    /// Returns how pages of the shop's own site are linked to: followed, if the recipient agreed to that.
    pub(super) fn track(&self, shop: &Arc<Shop>) -> Track {
        let Self { keys, host, mail } = self;
        if mail.plan.tracking == Tracking::Aggregate || is_for_shop(mail) {
            return Track::nothing();
        }
        let token = keys.click(
            host,
            &ClickToken {
                message: mail.plan.message,
                partition: mail.partition,
                campaign: CampaignNumber::NONE,
                shop: mail.shop,
                slot: 0,
                flags: 0,
            },
        );
        Track::with(Arc::clone(shop), format!("https://{host}/c/{token}"))
    }

    /// Returns where a reminder's button leads: to the cart, by the tracker if that may follow, and in a buyer's mail with the
    /// name of the mail in the page's query, so that the shop can give it with the order.
    pub(super) fn restore(&self, page: &str, track: &Track) -> String {
        if is_for_shop(self.mail) {
            return page.to_owned();
        }
        let recovery = PublicId {
            partition: self.mail.partition,
            event: self.mail.plan.message.event(),
        };
        track.link(&with_parameter(page, "recovery", &recovery.to_string()))
    }

    /// Returns where an offer leads. Without consent to tracking, the token names nobody.
    pub(super) fn click(&self, slot: u8, offer: &Offer) -> String {
        let Self { keys, host, mail } = self;
        let token = match mail.plan.tracking {
            Tracking::Individual => keys.click(
                host,
                &ClickToken {
                    message: mail.plan.message,
                    partition: mail.partition,
                    campaign: offer.campaign,
                    shop: mail.shop,
                    slot,
                    flags: 0,
                },
            ),
            Tracking::Aggregate => keys.aggregate_click(
                host,
                &AggregateClick {
                    shop: mail.shop,
                    campaign: offer.campaign,
                    day: day(mail.plan.date),
                    slot,
                },
            ),
        };
        format!("https://{host}/c/{token}")
    }

    /// Returns the pixel's address. Without consent to tracking, the token names nobody.
    pub(super) fn pixel(&self) -> String {
        let Self { keys, host, mail } = self;
        let token = match mail.plan.tracking {
            Tracking::Individual => keys.pixel(
                host,
                &PixelToken {
                    message: mail.plan.message,
                    partition: mail.partition,
                    shop: mail.shop,
                    flags: 0,
                },
            ),
            Tracking::Aggregate => keys.aggregate_pixel(
                host,
                &AggregatePixel {
                    shop: mail.shop,
                    day: day(mail.plan.date),
                },
            ),
        };
        format!("https://{host}/o/{token}.gif")
    }

    /// Returns where the recipient unsubscribes, by page and by RFC 8058 POST. It names the message: it has to work.
    pub(super) fn unsubscribe(&self) -> String {
        let Self { keys, host, mail } = self;
        let token = keys.unsubscribe(
            host,
            &UnsubscribeToken {
                message: mail.plan.message,
                partition: mail.partition,
                shop: mail.shop,
            },
        );
        format!("https://{host}/u/{token}")
    }
}

/// Returns a URL with a parameter more at the end of its query.
fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let (page, fragment) = url.find('#').map_or((url, ""), |at| url.split_at(at));
    let joint = match page.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let mut url = format!("{page}{joint}{name}=");
    percent_encode(value, &mut url);
    url.push_str(fragment);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_goes_to_the_end_of_the_query() {
        for (url, expected) in [
            ("https://a.example", "https://a.example?recovery=x%26y"),
            ("https://a.example/c?", "https://a.example/c?recovery=x%26y"),
            ("https://a.example/c?id=1", "https://a.example/c?id=1&recovery=x%26y"),
            ("https://a.example/c?id=1&", "https://a.example/c?id=1&recovery=x%26y"),
            (
                "https://a.example/c?id=1#top?",
                "https://a.example/c?id=1&recovery=x%26y#top?",
            ),
            ("https://a.example/#top", "https://a.example/?recovery=x%26y#top"),
        ] {
            assert_eq!(with_parameter(url, "recovery", "x&y"), expected);
        }
    }
}
