//! A shop reported an order.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::payload::{About, Bearing, Duty, Payload};
use super::{Claim, Telling};
use crate::id::{PersonKey, ShopNumber};
use crate::money::Money;
use crate::order::{Order, OrderStatus};
use crate::time::Timestamp;

/// A shop reported an order; it carries the claims that make it happen once.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct OrderAccepted {
    /// Who reported it.
    #[n(0)]
    pub shop: ShopNumber,
    /// Whose it is.
    #[n(1)]
    pub person: PersonKey,
    /// The order.
    #[n(2)]
    pub order: Order,
    /// What no other request may claim from now on.
    #[n(3)]
    pub claims: Vec<Claim>,
}

/// What the outside sees. The shop's own number of the order is not told: whoever sent it got the id as the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublicOrder {
    /// Where it stands.
    pub status: OrderStatus,
    /// What it comes to.
    pub total: Money,
}

impl Payload for OrderAccepted {
    type Public = PublicOrder;

    fn about(&self) -> About {
        About::person(self.shop, self.person)
    }

    fn sentence(&self) -> String {
        let Order {
            order_id,
            total,
            placed_at,
            ..
        } = &self.order;
        let status = match self.order.status {
            OrderStatus::Confirmed => "confirmed",
            OrderStatus::Pending => "pending",
            OrderStatus::Cancelled => "cancelled",
            OrderStatus::Test => "test",
        };
        format!("Order {order_id} over {total} was accepted as {status}, placed at {placed_at}.")
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicOrder> {
        Some(PublicOrder {
            status: self.order.status,
            total: self.order.total,
        })
    }

    fn claims(&self) -> &[Claim] {
        &self.claims
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Consent {
            shop: self.shop,
            consent: &self.order.consent,
            said_at: self.order.placed_at,
        }
    }

    fn duty(&self) -> Duty<'_> {
        Duty::Decide
    }
}
