//! The mail that a reminder asks for.

use std::time::Duration;

use types::cart::{CartMail, CartSpec, Reminder};
use types::event::ReminderPurpose;
use types::order::{Body, Consent, Customer, MessageRequest, Stream};
use types::time::Timestamp;

use super::decide::limit;
use super::state::CartState;
use crate::calendar::{ResolvedZone, add_wait};

/// How long a reminder is tried at least, be it sent at the very limit.
const LIFE_MIN: Duration = Duration::from_hours(4);

/// Returns what a reminder decided at `now` asks for, or `None` if it goes to the shop and the shop gave no address.
///
/// It shows the cart as it is now. What goes to the shop says the same as the buyer's, brings no consent, and keeps the
/// buyer's name for the salutation.
pub fn mail(
    cart: &CartState,
    spec: &CartSpec,
    reminder: Reminder,
    purpose: ReminderPurpose,
    now: Timestamp,
) -> Option<MessageRequest> {
    let language = Some(cart.language().code().try_into().expect("a code of two letters"));
    let (to, consent) = match purpose {
        ReminderPurpose::Buyer => {
            let to = Customer {
                locale: language,
                ..cart.customer().clone()
            };
            (to, cart.consent().clone())
        }
        ReminderPurpose::Copy | ReminderPurpose::Test => {
            let to = Customer {
                email: spec.address.clone()?,
                name: cart.customer().name.clone(),
                locale: language,
                country: None,
                time_zone: None,
            };
            (to, Consent::default())
        }
    };
    let settings = match reminder {
        Reminder::First => spec.first.as_ref(),
        Reminder::Second => spec.second.as_ref(),
    };
    let coupon = spec.coupon.clone().filter(|_| reminder == Reminder::Second);
    let coupon_until = coupon.as_ref().and_then(|coupon| {
        let zone = ResolvedZone::of(spec.time_zone);
        Some(add_wait(now, &coupon.valid_for?, &zone))
    });
    let body = CartMail {
        reminder,
        items: cart.items().to_vec(),
        total: cart.total(),
        restore_url: cart.restore_url().clone(),
        coupon,
        coupon_until,
        template: settings.and_then(|settings| settings.template.clone()),
        touched_at: cart.touched_at(),
    };
    Some(MessageRequest {
        to,
        stream: Stream::Promotional,
        body: Body::Cart(Box::new(body)),
        consent,
        expires_at: Some((cart.touched_at() + limit(reminder)).max(now + LIFE_MIN)),
    })
}
