//! An attempt to deliver, or the message's life, ended.

use minicbor::{Decode, Encode};
use serde::Serialize;

use super::payload::{About, Bearing, Duty, Life, NoMore, Payload};
use super::{FailureClass, Telling};
use crate::id::{Attempt, MessageId};
use crate::provider::Provider;
use crate::text::Line;
use crate::time::Timestamp;

/// How an attempt ended, or how the message's life did.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct AttemptEnded {
    /// Which message.
    #[n(0)]
    pub message: MessageId,
    /// Which attempt it was.
    #[n(1)]
    pub attempt: Attempt,
    /// What came of it.
    #[n(2)]
    pub outcome: Outcome,
    /// What the far side, the resolver or we ourselves said, printable ASCII, at most 512 bytes.
    #[n(3)]
    pub reply: Line<512>,
    /// Who was asked: host name and address; empty when nobody was reached.
    #[n(4)]
    pub peer: Line<300>,
    /// The TLS version, or `None` in the clear.
    #[n(5)]
    pub tls: Option<Line<16>>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    /// The receiver answered the final dot with 2xx. Terminal.
    #[n(0)]
    Delivered,
    /// To be tried again, not before `until`.
    #[n(1)]
    Deferred {
        /// The earliest next attempt.
        #[n(0)]
        until: Timestamp,
        /// Why.
        #[n(1)]
        class: FailureClass,
    },
    /// Never to be tried again. Terminal.
    #[n(2)]
    Failed {
        /// Why.
        #[n(0)]
        class: FailureClass,
    },
    /// The final dot was, or may have been, sent and no reply is known (RFC 1047). Offers stay here: terminal for them.
    /// Others are tried once more; the second time that this comes of them, it is terminal.
    #[n(3)]
    InDoubt {
        /// When it is tried once more with the same `Message-ID`; `None` means held.
        #[n(0)]
        retry: Option<Timestamp>,
    },
    /// Its time was over before anyone took it. Terminal.
    #[n(4)]
    Expired,
    /// Withdrawn while queued: the person unsubscribed or was suppressed. Terminal.
    #[n(5)]
    Withdrawn,
}

impl Outcome {
    /// Returns whether nothing more happens to the message.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Delivered | Self::Failed { .. } | Self::Expired | Self::Withdrawn | Self::InDoubt { retry: None } => {
                true
            }
            Self::Deferred { .. } | Self::InDoubt { retry: Some(_) } => false,
        }
    }

    /// Returns the outcome's name, as in API answers and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred { .. } => "deferred",
            Self::Failed { .. } => "failed",
            Self::InDoubt { .. } => "in_doubt",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// What the outside sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum PublicOutcome {
    /// The receiver took the mail.
    Delivered {
        /// Which attempt.
        attempt: u16,
        /// Who runs the receiver that was asked.
        provider: &'static str,
    },
    /// The attempt failed.
    Deferred {
        /// Which attempt.
        attempt: u16,
        /// Who runs the receiver that was asked.
        provider: &'static str,
        /// Why.
        class: &'static str,
        /// The next attempt comes after this.
        until: Timestamp,
    },
    /// It will not be tried again.
    Failed {
        /// Which attempt.
        attempt: u16,
        /// Who runs the receiver that was asked.
        provider: &'static str,
        /// Why.
        class: &'static str,
    },
    /// The receiver may have it.
    InDoubt {
        /// Which attempt.
        attempt: u16,
        /// Who runs the receiver that was asked.
        provider: &'static str,
        /// When it is tried once more; missing for mails that are held.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry: Option<Timestamp>,
    },
    /// It expired or was withdrawn.
    Over(NoMore),
}

impl AttemptEnded {
    /// Returns who runs the receiver that was asked.
    pub fn provider(&self) -> Provider {
        // The peer's host name comes first; what follows it is an address.
        let host = self.peer.split_ascii_whitespace().next().unwrap_or_default();
        Provider::of_host(&host.trim_end_matches('.').to_ascii_lowercase())
    }
}

impl Payload for AttemptEnded {
    type Public = PublicOutcome;

    fn name(&self) -> &'static str {
        match self.outcome {
            Outcome::Delivered => "message.delivered",
            Outcome::Deferred { .. } => "message.deferred",
            Outcome::Failed { .. } => "message.failed",
            Outcome::InDoubt { .. } => "message.in_doubt",
            Outcome::Expired => "message.expired",
            Outcome::Withdrawn => "message.withdrawn",
        }
    }

    fn about(&self) -> About {
        About {
            mail: Some(self.message),
            ..About::default()
        }
    }

    fn sentence(&self) -> String {
        let number = self.attempt.0;
        let peer = if self.peer.is_empty() {
            String::new()
        } else {
            let tls = self
                .tls
                .as_ref()
                .map_or_else(|| "in the clear".to_owned(), |version| format!("over {version}"));
            format!(" at {} {tls}", self.peer)
        };
        let reply = if self.reply.is_empty() {
            String::new()
        } else {
            format!(": {}", self.reply)
        };
        match self.outcome {
            Outcome::Delivered => format!("Attempt {number} was accepted{peer}{reply}"),
            Outcome::Deferred { until, class } => format!(
                "Attempt {number} did not succeed{peer} ({}), the next is not before {until}{reply}",
                class.sentence()
            ),
            Outcome::Failed { class } => {
                format!("Attempt {number} failed for good{peer} ({}){reply}", class.sentence())
            }
            Outcome::InDoubt { retry: Some(at) } => format!(
                "Attempt {number} ended without a reply to the final dot{peer}: the receiver may have the mail. It is \
                 tried once more at {at} with the same Message-ID{reply}"
            ),
            Outcome::InDoubt { retry: None } => format!(
                "Attempt {number} ended without a reply to the final dot{peer}: the receiver may have the mail. It is \
                 held and not tried again{reply}"
            ),
            Outcome::Expired => format!("The mail's time was over before it could be delivered{reply}"),
            Outcome::Withdrawn => {
                format!("The mail was withdrawn from the queue: the person unsubscribed or was suppressed{reply}")
            }
        }
    }

    fn public(&self, _telling: &Telling<'_>) -> Option<PublicOutcome> {
        let (attempt, provider) = (self.attempt.0, self.provider().as_str());
        Some(match self.outcome {
            Outcome::Delivered => PublicOutcome::Delivered { attempt, provider },
            Outcome::Deferred { until, class } => PublicOutcome::Deferred {
                attempt,
                provider,
                class: class.as_str(),
                until,
            },
            Outcome::Failed { class } => PublicOutcome::Failed {
                attempt,
                provider,
                class: class.as_str(),
            },
            Outcome::InDoubt { retry } => PublicOutcome::InDoubt {
                attempt,
                provider,
                retry,
            },
            Outcome::Expired | Outcome::Withdrawn => PublicOutcome::Over(NoMore {}),
        })
    }

    fn bearing(&self, _wall: Timestamp) -> Bearing<'_> {
        Bearing::Outcome(self)
    }

    fn life(&self) -> Option<Life> {
        self.outcome.is_terminal().then_some(Life::Ends(self.message))
    }

    fn duty(&self) -> Duty<'_> {
        Duty::Suppress(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peers_name_tells_the_provider() {
        for (peer, provider) in [
            ("gmail-smtp-in.l.google.com [192.0.2.1]", Provider::Google),
            ("MX.Libero.IT. [192.0.2.1]", Provider::Italiaonline),
            ("", Provider::Other),
        ] {
            let ended = AttemptEnded {
                message: MessageId::from_raw(1),
                attempt: Attempt(1),
                outcome: Outcome::Delivered,
                reply: Line::default(),
                peer: Line::try_from(peer).expect("a short line"),
                tls: None,
            };
            assert_eq!(ended.provider(), provider, "{peer}");
        }
    }
}
