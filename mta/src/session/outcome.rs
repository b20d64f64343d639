//! What the end of a transaction means for the message and for its site. Pure.

use std::time::Duration;

use policy::reply::{At, Finality, Hits, Refused, classify};
use policy::retry;
use smtp::client::{Closing, End, ProtocolFault, Step};
use smtp::reply::Reply;
use types::event::{AttemptEnded, FailureClass, Outcome};
use types::id::Attempt;
use types::order::Stream;
use types::time::Timestamp;

use crate::queue::{Settled, Taken, line};
use crate::settings::Settings;

/// The least time that a site is left alone after it spoke of our reputation or rate.
const REPUTATION_WAIT: Duration = Duration::from_mins(10);
/// The least time that a site is left alone when it wants fewer connections.
const CONNECTIONS_WAIT: Duration = Duration::from_mins(1);

/// What decides about an end besides the end.
pub(super) struct Sender<'a> {
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
    pub(super) random: u32,
}

/// What becomes of a message, and of its site.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) outcome: Outcome,
    pub(super) settled: Settled,
    pub(super) reply: String,
    /// If everything for the site should wait: why, and how long at least.
    pub(super) site: Option<(FailureClass, Duration, String)>,
}

impl Decided {
    fn new(outcome: Outcome, reply: impl Into<String>) -> Self {
        let settled = match outcome {
            Outcome::Deferred { until, .. } => Settled::Later(until),
            Outcome::InDoubt { retry: Some(until) } => Settled::OnceMore(until),
            Outcome::Delivered
            | Outcome::Failed { .. }
            | Outcome::InDoubt { retry: None }
            | Outcome::Expired
            | Outcome::Withdrawn => Settled::Over,
        };
        Self {
            outcome,
            settled,
            reply: reply.into(),
            site: None,
        }
    }

    pub(super) fn ended(&self, taken: &Taken, peer: &str, tls: Option<&str>) -> AttemptEnded {
        ended(taken, self.outcome, &self.reply, peer, tls)
    }
}

/// Makes the event that tells how an attempt ended.
pub(super) fn ended(taken: &Taken, outcome: Outcome, reply: &str, peer: &str, tls: Option<&str>) -> AttemptEnded {
    AttemptEnded {
        message: taken.message,
        attempt: Attempt(taken.attempts + 1),
        outcome,
        reply: line(reply),
        peer: line(peer),
        tls: tls.map(line),
    }
}

/// Decides what the end of a transaction means.
pub(super) fn decide(sender: &Sender<'_>, taken: &Taken, end: &End, closing: Option<&Closing>) -> Decided {
    match end {
        End::Accepted(reply) => Decided::new(Outcome::Delivered, reply.to_string()),
        End::Refused { at, reply } => on_refusal(sender, taken, *at, reply),
        End::Unsuitable(cause) => {
            let class = FailureClass::Content;
            Decided::new(Outcome::Failed { class }, cause.to_string())
        }
        End::Interrupted { at } => on_interruption(sender, taken, *at, closing),
        End::InDoubt => {
            // Once: each repeat may be one more copy, and a receiver that loses its answer twice does so for a reason.
            let wanted = taken.stream == Stream::Transactional || sender.settings.retry_in_doubt_offers;
            let retried = wanted && !taken.doubted;
            let attempts = taken.attempts + 1;
            let retry = retried
                .then(|| {
                    sender
                        .settings
                        .retry
                        .after_doubt(attempts, sender.now, taken.expires, sender.random)
                })
                .flatten();
            let why = if taken.doubted {
                "the reply to the final dot was lost, as before: no further attempt is made"
            } else {
                "the reply to the final dot was lost"
            };
            Decided::new(Outcome::InDoubt { retry }, why)
        }
    }
}

fn on_refusal(sender: &Sender<'_>, taken: &Taken, at: Step, reply: &Reply) -> Decided {
    let at = match at {
        Step::Mail | Step::Rset | Step::Idle => At::Mail,
        Step::Rcpt => At::Rcpt,
        Step::Data => At::Data,
        Step::Body | Step::Dot => At::Dot,
        Step::Greeting => At::Connect,
        Step::Hello | Step::StartTls | Step::Quit => At::Hello,
    };
    let verdict = classify(&refused(at, reply));
    let class = verdict.class;
    let mut decided = match verdict.finality {
        Finality::Permanent => Decided::new(Outcome::Failed { class }, reply.to_string()),
        Finality::Temporary => later(sender, taken, class, verdict.wait, &reply.to_string()),
    };
    if verdict.hits == Hits::Site {
        decided.site = Some((class, site_wait(class, verdict.wait), reply.to_string()));
    }
    decided
}

/// The session ended before the message's final dot.
///
/// If the peer had begun with this very message, the attempt counts, so that a message that ends every session does not
/// come first for ever. Otherwise, or if it was we who ended it, the message is tried again at once.
fn on_interruption(sender: &Sender<'_>, taken: &Taken, at: Step, closing: Option<&Closing>) -> Decided {
    let why = closing.map_or_else(|| "interrupted".to_owned(), ToString::to_string);
    let class = closing.map_or(FailureClass::Network, class_of);
    let begun = matches!(at, Step::Rcpt | Step::Data | Step::Body);
    let ours = matches!(closing, Some(Closing::Aborted | Closing::Quit) | None);
    if begun && !ours {
        return later(sender, taken, class, None, &why);
    }
    let mut decided = Decided::new(
        Outcome::Deferred {
            until: sender.now,
            class,
        },
        why,
    );
    decided.settled = Settled::Again;
    decided
}

/// Decides that a message is tried again, or that it has no time left for that.
pub(super) fn later(
    sender: &Sender<'_>,
    taken: &Taken,
    class: FailureClass,
    stated: Option<Duration>,
    why: &str,
) -> Decided {
    let failed = retry::Failed {
        attempts: taken.attempts + 1,
        class,
        stated,
        expires: taken.expires,
    };
    match sender.settings.retry.next(&failed, sender.now, sender.random) {
        Some(until) => Decided::new(Outcome::Deferred { until, class }, why),
        None => Decided::new(Outcome::Expired, why),
    }
}

/// Says whether a session's end is the site's failure. `proven`: it has served a message, or was never given one.
pub(super) fn site_failure(closing: &Closing, proven: bool) -> Option<(FailureClass, Duration)> {
    match closing {
        Closing::Quit | Closing::Aborted => None,
        Closing::Refused { at, reply } => {
            // Announcing the end of a session that has done its work is no refusal of the next one.
            let at = match at {
                Step::Idle | Step::Rset | Step::Mail | Step::Quit => At::Mail,
                _ => return None,
            };
            let verdict = classify(&refused(at, reply));
            let limited = verdict.hits == Hits::Site;
            (limited || !proven).then(|| {
                (
                    verdict.class,
                    if limited {
                        site_wait(verdict.class, verdict.wait)
                    } else {
                        Duration::ZERO
                    },
                )
            })
        }
        Closing::Closed { .. } | Closing::Timeout { .. } | Closing::Tls(_) | Closing::Protocol { .. } => {
            (!proven).then(|| (class_of(closing), Duration::ZERO))
        }
    }
}

fn site_wait(class: FailureClass, stated: Option<Duration>) -> Duration {
    let least = match class {
        FailureClass::Reputation | FailureClass::RateLimit => REPUTATION_WAIT,
        FailureClass::ConnectionLimit => CONNECTIONS_WAIT,
        _ => Duration::ZERO,
    };
    stated.unwrap_or(least)
}

fn class_of(closing: &Closing) -> FailureClass {
    match closing {
        Closing::Protocol {
            fault: ProtocolFault::Injection,
            ..
        }
        | Closing::Tls(_) => FailureClass::Tls,
        Closing::Protocol { .. } => FailureClass::Protocol,
        Closing::Refused { reply, .. } => classify(&refused(At::Mail, reply)).class,
        Closing::Closed { .. } | Closing::Timeout { .. } | Closing::Quit | Closing::Aborted => FailureClass::Network,
    }
}

pub(super) fn refused(at: At, reply: &Reply) -> Refused<'_> {
    Refused {
        at,
        code: reply.code,
        enhanced: reply.enhanced.map(|code| (code.0, code.1, code.2)),
        text: &reply.text,
    }
}
