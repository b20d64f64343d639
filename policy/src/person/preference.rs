//! What a person does on a mail's page beside unsubscribing, and what erasure leaves.

use types::event::{Preference, PreferenceChanged};
use types::id::ShopNumber;
use types::time::Timestamp;

use super::mails::Reach;
use super::{PersonState, Withdrawal};

impl PersonState {
    /// Follows a preference; the person's own act is evidence enough.
    pub(super) fn change_preference(&mut self, changed: &PreferenceChanged, wall: Timestamp) -> Withdrawal {
        let shop = changed.shop;
        match changed.preference {
            Preference::StopTracking => {
                let learned_at = self.messages.learned_at(wall);
                self.consents.of_mut(shop).tracking.withdraw(wall, learned_at);
                Withdrawal {
                    sending: Vec::new(),
                    tracking: self.messages.reached_by(Reach {
                        shop: Some(shop),
                        stream: None,
                    }),
                }
            }
            Preference::ResumeOffers => {
                // The entries stay: the network's still holds for every other shop, and a later unsubscription renews its time.
                let consent = self.consents.of_mut(shop);
                consent.resumed_at = consent.resumed_at.max(Some(wall));
                Withdrawal::default()
            }
        }
    }

    /// Forgets what one shop, or every shop, knows of the person. What protects the person stays: suppressions, and when what was
    /// refused or withdrawn.
    pub(super) fn erase(&mut self, shop: Option<ShopNumber>, wall: Timestamp) -> Withdrawal {
        let in_scope = |own: ShopNumber| shop.is_none_or(|shop| shop == own);
        let learned_at = self.messages.learned_at(wall);
        let reached = self.messages.reached_by(Reach { shop, stream: None });
        let mut shops: Vec<ShopNumber> = self.messages.as_slice().iter().map(|sent| sent.shop).collect();
        shops.extend(self.consents.shops());
        for shop in shops.into_iter().filter(|own| in_scope(*own)) {
            self.consents.of_mut(shop).erase(learned_at);
        }
        self.messages.forget(shop);
        self.counted.forget(|message| reached.contains(&message));
        Withdrawal {
            sending: reached.clone(),
            tracking: reached,
        }
    }
}
