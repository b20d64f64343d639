//! When a message may leave: local time, waits and send rules, resolved to one instant. The only code that does so.
//!
//! A rule speaks of what the clock on the recipient's wall shows. So a day is excepted, and an hour is quiet, exactly
//! while that clock shows it: both copies of an hour that is repeated in autumn are quiet, and an end that spring skips
//! comes when the clocks jump over it. What is to happen *at* a local time happens at its first occurrence; a time that
//! spring skips is moved on by the length of the gap (RFC 5545 §3.3.5; "compatible" in JavaScript's Temporal). All
//! ranges are half-open: the start is inside, the end is not.
//!
//! # How rules combine
//!
//! Three kinds of rule, in this order:
//!
//! 1. `send_at` names one instant for each day. If that is a quiet hour, the day's instant is the end of the quiet
//!    hours, so that two settings that collide delay the message and do not swallow it. Without `send_at` every
//!    instant counts.
//! 2. `active` drops what would leave at its end or later, and holds what is ready before it begins.
//! 3. `except` and `quiet` forbid instants.
//!
//! [`resolve`] returns the earliest instant of 1, at or after the moment the message is ready, that 2 and 3 allow. It
//! follows that a day which moves on (a weekend, a holiday) never loses its clock time; that resolving the result
//! again changes nothing; and that of two messages the one ready earlier never leaves later. It gives up 400 days
//! ahead.
//!
//! | ready, Rome | rules | leaves | trace |
//! |---|---|---|---|
//! | Fri 20 Nov 2026 23:10 | quiet 22:00–08:00 | Sat 21 Nov 08:00 | `quiet` |
//! | Fri 20 Nov 2026 23:10 | quiet 22:00–08:00, except sat, sun | Mon 23 Nov 08:00 | `quiet`, `except_weekday` |
//! | Fri 20 Nov 2026 10:00 | send at 09:00, except sat, sun | Mon 23 Nov 09:00 | `send_at`, `except_weekday` |
//! | Sat 28 Mar 2026 10:00 | send at 02:30 | Sun 29 Mar 03:30 (clocks jump at 02:00) | `send_at` |
//!
//! # Zones
//!
//! A [`ResolvedZone`] is a [`types::calendar::Zone`] with its rules parsed. Callers make it once for a zone and keep
//! it: making one costs a look-up in a table that all threads share, using one costs no lock and no allocation.

mod date_start;
mod slot;
mod spread;
mod wait;
mod zone;

pub use date_start::{OFFSET_DAYS_MAX, next_date};
pub use slot::{HORIZON, Slot, is_allowed, resolve};
pub use spread::spread;
pub use wait::{add_wait, ready_at};
pub use zone::{ResolvedZone, civil_days_between, local_date, local_day_start, local_time, zone_data_version};
