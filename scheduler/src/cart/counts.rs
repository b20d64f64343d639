//! What workflows and reminders count: in cells of their steps and of their carts.

use policy::hits::MailState;
use policy::workflow::Instance;
use store::StateError;
use types::cart::Reminder;
use types::event::{CartDecided, CartReason, CartVerdict, Moved, Origin, Recovery};
use types::id::PartitionId;
use types::tally::{Dimensions, Hour, Measure};
use types::text::Slug;

use super::{Entry, Fold};

/// Why an instance left that was erased, beside the codes of [`types::event::Leave`]: there is no record of it.
const ERASED: &str = "erased";

impl Fold {
    /// Counts what an instance did, in the hour of the record.
    pub(super) fn count_moved(
        &mut self,
        entry: &Entry<'_>,
        before: Option<&Instance>,
        moved: &Moved,
    ) -> Result<(), StateError> {
        for count in policy::workflow::counts(before, moved) {
            let dimensions = Dimensions::Step {
                workflow: moved.workflow,
                step: count.step,
                reason: count.reason.and_then(|code| Slug::try_from(code).ok()),
            };
            self.count(entry.partition, dimensions, Hour::of(entry.wall), [(count.measure, 1)])?;
        }
        Ok(())
    }

    /// Counts that an instance was erased before its end, in the hour of the record: it left its step, and no longer waits there.
    pub(super) fn count_erased(&mut self, entry: &Entry<'_>, instance: &Instance) -> Result<(), StateError> {
        let Some(waits) = instance.waits().filter(|_| instance.has_entered()) else {
            return Ok(());
        };
        for reason in [None, Slug::try_from(ERASED).ok()] {
            let dimensions = Dimensions::Step {
                workflow: instance.workflow,
                step: waits.step.clone(),
                reason,
            };
            let counts = [(Measure::Left, 1)];
            self.count(entry.partition, dimensions, Hour::of(entry.wall), counts)?;
        }
        Ok(())
    }

    /// Counts what became of a cart, in the hour of the record. The cart is as it was before.
    pub(super) fn count_cart(&mut self, entry: &Entry<'_>, decided: &CartDecided) -> Result<(), StateError> {
        let key = (entry.partition, decided.cart);
        let Some(cart) = self.cart(key)? else {
            return Ok(());
        };
        let (language, mut currency) = (cart.language(), cart.total().currency);
        let abandoned = |reminder: &Reminder| (*reminder == Reminder::First).then_some((Measure::Abandoned, 1));
        let mut measures = Vec::new();
        let mut reason: Option<CartReason> = None;
        match &decided.verdict {
            CartVerdict::Reminded { reminder, test, .. } => {
                measures.extend(abandoned(reminder));
                let sent = match reminder {
                    Reminder::First => Measure::RemindedFirst,
                    Reminder::Second => Measure::RemindedSecond,
                };
                measures.extend((!test).then_some((sent, 1)));
            }
            CartVerdict::Suppressed { reminder, reasons, .. } => {
                measures.extend(abandoned(reminder));
                measures.push((Measure::Suppressed, 1));
                reason = reasons.first().copied();
            }
            CartVerdict::WouldRemind { reminder } => {
                measures.extend(abandoned(reminder));
                measures.push((Measure::WouldRemind, 1));
            }
            CartVerdict::Ordered { total, recovery, .. } => {
                currency = total.currency;
                match recovery {
                    Recovery::Recovered => {
                        measures.extend([(Measure::Recovered, 1), (Measure::RecoveredAmount, total.amount)]);
                    }
                    Recovery::Influenced => {
                        measures.extend([(Measure::Influenced, 1), (Measure::InfluencedAmount, total.amount)]);
                    }
                    Recovery::Unaided => {}
                }
            }
        }
        let of = |reason| Dimensions::Carts {
            shop: decided.shop,
            language,
            currency,
            reason,
        };
        if let Some(code) = reason.and_then(|reason| Slug::try_from(reason.code()).ok()) {
            self.count(
                entry.partition,
                of(Some(code)),
                Hour::of(entry.wall),
                [(Measure::Suppressed, 1)],
            )?;
        }
        self.count(entry.partition, of(None), Hour::of(entry.wall), measures)
    }

    /// Returns where a mail counts that something of our own caused.
    pub(super) fn dimensions_of_origin(
        &mut self,
        partition: PartitionId,
        mail: &Origin,
    ) -> Result<Option<Dimensions>, StateError> {
        Ok(match mail {
            Origin::Workflow { workflow, step, .. } => Some(Dimensions::Step {
                workflow: *workflow,
                step: Some(step.clone()),
                reason: None,
            }),
            Origin::Cart { cart, .. } => self.cart((partition, *cart))?.map(|cart| Dimensions::Carts {
                shop: cart.shop(),
                language: cart.language(),
                currency: cart.total().currency,
                reason: None,
            }),
        })
    }
}

/// Returns whether a mail counts anywhere: copies and tests of reminders do not.
pub(super) fn counts(mail: &MailState) -> bool {
    origin_counts(mail.origin())
}

/// Returns whether a mail of this origin counts anywhere.
pub(super) fn origin_counts(origin: Option<&Origin>) -> bool {
    !origin.is_some_and(Origin::is_for_shop)
}
