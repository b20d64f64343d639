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

/// How often in a row a message may be interrupted at its MAIL, by sessions that served others, before that counts. Where a receiver
/// closes after each message, a message goes back to the head of its list and may be taken by another session that is about to be
/// closed, several times in a row by mere chance.
const INTERRUPTIONS_UNCOUNTED: u8 = 8;

/// What decides about an end besides the end.
pub(super) struct Sender<'a> {
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
    pub(super) random: u32,
}

/// What a session has shown of its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Nothing: no message was begun.
    None,
    /// Nothing, as there was nothing to do: it asked for messages and was told to wait.
    Unneeded,
    /// Messages were begun, and none was answered.
    Failed,
    /// It served a message: the peer accepted it, or refused it by a reply to its own command other than 421.
    Served,
}

/// How the session of a message ended, if it did, for messages that were lost with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost<'a> {
    pub(super) closing: Option<&'a Closing>,
    /// The session had served a message.
    pub(super) proven: bool,
    /// The message is the oldest one that was lost: the peer owed its reply.
    pub(super) first: bool,
    /// Until when the site waits because of it.
    pub(super) held_until: Option<Timestamp>,
}

/// What a session's end says against its site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SiteFailure {
    /// The site wants fewer connections or messages; how long it is to be left alone at least.
    Limit(FailureClass, Duration),
    /// The session served nothing.
    Nothing(FailureClass),
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
pub(super) fn decide(sender: &Sender<'_>, taken: &Taken, end: &End, lost: &Lost<'_>) -> Decided {
    match end {
        End::Accepted(reply) => Decided::new(Outcome::Delivered, reply.to_string()),
        End::Refused { at, reply } => on_refusal(sender, taken, *at, reply),
        End::Unsuitable(cause) => {
            let class = FailureClass::Content;
            Decided::new(Outcome::Failed { class }, cause.to_string())
        }
        End::Interrupted { at } => on_interruption(sender, taken, *at, lost),
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
    let verdict = classify(&refused(at_of(at), reply));
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

const fn at_of(step: Step) -> At {
    match step {
        Step::Mail | Step::Rset | Step::Idle => At::Mail,
        Step::Rcpt => At::Rcpt,
        Step::Data => At::Data,
        Step::Body | Step::Dot => At::Dot,
        Step::Greeting => At::Connect,
        Step::Hello | Step::StartTls | Step::Quit => At::Hello,
    }
}

/// The session ended before the message's final dot.
///
/// If the peer had begun with this very message, the attempt counts, so that a message that ends every session does not
/// come first for ever. So it does if the session ended at the message's MAIL and had served nothing, or if that happened
/// to it some times in a row. Otherwise, or if it was we who ended it, the message is tried again as soon as its site is.
fn on_interruption(sender: &Sender<'_>, taken: &Taken, at: Step, lost: &Lost<'_>) -> Decided {
    let why = lost
        .closing
        .map_or_else(|| "interrupted".to_owned(), ToString::to_string);
    let class = lost.closing.map_or(FailureClass::Network, class_of);
    let ours = matches!(lost.closing, Some(Closing::Aborted | Closing::Quit) | None);
    let said = at == Step::Mail && !ours;
    let begun = matches!(at, Step::Rcpt | Step::Data | Step::Body) && !ours;
    let blamed = said && ((lost.first && !lost.proven) || taken.interrupted >= INTERRUPTIONS_UNCOUNTED);
    if begun || blamed {
        return later(sender, taken, class, None, &why);
    }
    let until = lost.held_until.unwrap_or(sender.now);
    let mut decided = Decided::new(Outcome::Deferred { until, class }, why);
    decided.settled = if said { Settled::Interrupted } else { Settled::Again };
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

/// Says whether a session's end is the site's failure.
///
/// One that has served a message proves the site's health, whatever ended it; one that was not needed, and idled until
/// the peer had enough, says nothing. Any other has the site wait: a peer that ends each session before it is of use
/// would otherwise be connected to without end.
pub(super) fn site_failure(closing: &Closing, evidence: Evidence) -> Option<SiteFailure> {
    let nothing = match evidence {
        Evidence::None | Evidence::Failed => Some(SiteFailure::Nothing(class_of(closing))),
        Evidence::Unneeded | Evidence::Served => None,
    };
    match closing {
        Closing::Quit | Closing::Aborted => None,
        // Announcing the end of a session that has done its work is no refusal of the next one, unless it says so. What is
        // said to a message is weighed with that message.
        Closing::Refused { at, reply } => {
            let between = matches!(at, Step::Idle | Step::Rset | Step::Mail | Step::Quit);
            let verdict = classify(&refused(if between { At::Mail } else { at_of(*at) }, reply));
            if verdict.hits == Hits::Site && (between || nothing.is_some()) {
                Some(SiteFailure::Limit(
                    verdict.class,
                    site_wait(verdict.class, verdict.wait),
                ))
            } else {
                nothing
            }
        }
        Closing::Closed { .. } | Closing::Timeout { .. } | Closing::Tls(_) | Closing::Protocol { .. } => nothing,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_session_that_served_or_was_not_needed_ends_without_a_wait() {
        let reply = |code, text: &str| Reply {
            code,
            enhanced: None,
            text: text.into(),
        };
        let at = Step::Idle;
        let harmless = [
            Closing::Closed { at },
            Closing::Timeout { at },
            Closing::Refused {
                at,
                reply: reply(421, "idle for too long, closing transmission channel"),
            },
            Closing::Protocol {
                at,
                fault: ProtocolFault::Unsolicited(reply(250, "one too many")),
            },
        ];
        for closing in &harmless {
            for evidence in [Evidence::Served, Evidence::Unneeded] {
                assert_eq!(site_failure(closing, evidence), None, "{closing:?} {evidence:?}");
            }
            for evidence in [Evidence::None, Evidence::Failed] {
                let failure = site_failure(closing, evidence);
                assert!(failure.is_some(), "{closing:?} {evidence:?}");
            }
        }
        let limit = Closing::Refused {
            at,
            reply: reply(421, "4.7.0 too many connections"),
        };
        for evidence in [Evidence::Served, Evidence::Unneeded, Evidence::None, Evidence::Failed] {
            let failure = site_failure(&limit, evidence);
            let class = FailureClass::ConnectionLimit;
            assert_eq!(
                failure,
                Some(SiteFailure::Limit(class, CONNECTIONS_WAIT)),
                "{evidence:?}"
            );
            assert_eq!(site_failure(&Closing::Quit, evidence), None);
        }
    }
}
