//! The check that a shop's settings of reminders pass before they are kept.

use types::calendar::Wait;
use types::cart::{CartMode, CartSelection, CartSpec, Reminder, ReminderSpec};
use types::catalogue::TemplateKind;
use types::text::Slug;

use super::decide::limit;

/// What is wrong with the settings, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901).
    pub path: String,
    /// What is wrong, for people.
    pub fault: String,
}

/// Finds every fault of a shop's settings. `template` tells of what kind the shop's template with an id is, if it has one.
///
/// In mode `off` and `shadow` nothing needs an address. What each reminder's limits are, and that the second comes later
/// than the first, holds in every mode.
pub fn check(spec: &CartSpec, template: &dyn Fn(&Slug) -> Option<TemplateKind>) -> Vec<Fault> {
    let mut faults = Faults::default();
    faults.when(
        spec.mode == CartMode::Test && spec.address.is_none(),
        "/address",
        "test mode needs an address",
    );
    faults.when(
        spec.minimum.is_some_and(|minimum| minimum.amount < 0),
        "/minimum/amount",
        "must not be negative",
    );
    if let CartSelection::NoOrderForDays(days) = spec.select {
        faults.when(
            !(1..=3650).contains(&days),
            "/select/no_order_for_days",
            "must be 1 to 3650 days",
        );
    }
    faults.when(
        spec.languages.is_empty(),
        "/languages",
        "must name at least one language",
    );
    faults.reminder(Reminder::First, spec.first.as_ref(), template);
    faults.reminder(Reminder::Second, spec.second.as_ref(), template);
    if let (Some(first), Some(second)) = (&spec.first, &spec.second) {
        faults.when(
            second.after.nominal_seconds() <= first.after.nominal_seconds(),
            "/second/after",
            "must be longer than that of the first reminder",
        );
    }
    if let Some(coupon) = &spec.coupon {
        faults.when(coupon.code.trim().is_empty(), "/coupon/code", "must not be empty");
        faults.when(coupon.worth.trim().is_empty(), "/coupon/worth", "must not be empty");
        faults.when(
            coupon.valid_for.is_some_and(|wait| wait.nominal_seconds() == 0),
            "/coupon/valid_for",
            "must not be nothing",
        );
        faults.when(
            spec.second.is_none(),
            "/coupon",
            "is given by the second reminder, and there is none",
        );
    }
    faults.when(
        !hours(1, 30 * 24).contains(&spec.recovered_within.nominal_seconds()),
        "/recovered_within",
        "must be 1 hour to 30 days",
    );
    faults.0
}

const fn hours(least: u64, most: u64) -> std::ops::RangeInclusive<u64> {
    least * 3600..=most * 3600
}

/// Faults, as they are found.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn when(&mut self, applies: bool, path: &str, fault: &str) {
        if applies {
            self.0.push(Fault {
                path: path.to_owned(),
                fault: fault.to_owned(),
            });
        }
    }

    fn reminder(
        &mut self,
        reminder: Reminder,
        spec: Option<&ReminderSpec>,
        template: &dyn Fn(&Slug) -> Option<TemplateKind>,
    ) {
        let Some(spec) = spec else {
            return;
        };
        let at = |field: &str| format!("/{}/{field}", reminder.as_str());
        self.wait(&at("after"), spec.after, limit(reminder).as_secs());
        let Some(id) = &spec.template else {
            return;
        };
        match template(id) {
            Some(TemplateKind::Cart) => {}
            Some(_) => self.when(
                true,
                &at("template"),
                &format!("`{id}` is not a template of kind `cart`"),
            ),
            None => self.when(true, &at("template"), &format!("there is no template `{id}`")),
        }
    }

    fn wait(&mut self, path: &str, wait: Wait, limit: u64) {
        let seconds = wait.nominal_seconds();
        self.when(seconds == 0, path, "must not be nothing");
        let most = format!("must be at most {} hours", limit / 3600);
        self.when(seconds > limit, path, &most);
    }
}
