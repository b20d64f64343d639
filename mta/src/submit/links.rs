//! The addresses in a mail that lead to the tracker.

use types::event::{Offer, Tracking};
use types::port::Mail;
use types::token::{AggregateClick, AggregatePixel, ClickToken, PixelToken, TokenKeys, UnsubscribeToken, day};

/// Makes the links of one mail, on the host that its shop uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links<'a> {
    pub(super) keys: &'a TokenKeys,
    pub(super) host: &'a str,
    pub(super) mail: &'a Mail,
}

impl Links<'_> {
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
