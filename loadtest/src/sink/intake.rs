//! What is done with each mail that the sink has answered with 250: checked, told to the books, counted.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use smtp::server::Envelope;

use super::integrity;
use super::links::Links;
use super::roll::{Came, Roll};
use super::signature::Keys;
use super::tally::Tally;
use crate::books::Books;
use crate::ledger::{Kind, Tag, Taking};

/// Where it is noted which mails came.
pub(super) enum Keeping {
    /// In a run's books, which say which were to come.
    Books(Books),
    /// By itself, as nobody says.
    Roll(Mutex<Roll>),
}

impl Keeping {
    fn take(&self, tag: Tag, at: Instant) -> Taking {
        match self {
            Self::Books(books) => books.take(tag, at),
            Self::Roll(roll) => roll.lock().unwrap_or_else(PoisonError::into_inner).take(tag),
        }
    }
}

/// Takes mails. Only the sink's thread takes; others read the tally and tell keys.
pub(super) struct Intake {
    keeping: Keeping,
    pub(super) links: Links,
    keys: RwLock<Keys>,
    tally: Mutex<Tally>,
    first: OnceLock<Instant>,
    /// Every so-manieth mail is forgotten; 0: none.
    drop_one_in: u32,
    /// Of so many mails, one is verified whole; 0: of none.
    check_dkim_one_in: u32,
}

impl Intake {
    pub(super) fn new(keeping: Keeping, drop_one_in: u32, check_dkim_one_in: u32) -> Self {
        Self {
            keeping,
            links: Links::default(),
            keys: RwLock::default(),
            tally: Mutex::default(),
            first: OnceLock::new(),
            drop_one_in,
            check_dkim_one_in,
        }
    }

    /// Takes a mail that is answered with 250 at `at`.
    pub(super) fn take(&self, envelope: &Envelope, mail: &[u8], at: Instant) {
        let tags = envelope.to.iter().map(|recipient| Tag::of_recipient(recipient));
        let found = integrity::check(mail);
        let mut tally = self.tally();
        let turn = tally.mails;
        tally.mails += 1;
        let first = *self.first.get_or_init(|| at);
        tally.seconds = at.saturating_duration_since(first).as_secs_f64();
        tally.bytes += u64::try_from(mail.len()).unwrap_or_default();
        tally.unproven += u64::from(found.digests + found.body_hashes == 0);
        tally.digests += found.digests;
        tally.digests_wrong += found.digests_wrong;
        tally.body_hashes += found.body_hashes;
        tally.body_hashes_wrong += found.body_hashes_wrong;
        if self.drop_one_in > 0 && (turn + 1).is_multiple_of(u64::from(self.drop_one_in)) {
            tally.dropped.extend(tags.flatten());
            return;
        }
        let mut damaged = found.is_damaged();
        tally.damaged += u64::from(damaged);
        if self.check_dkim_one_in > 0 && turn.is_multiple_of(u64::from(self.check_dkim_one_in)) && found.body_hashes > 0
        {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            if !keys.is_empty() {
                let (checked, failed) = keys.verify(mail);
                tally.dkim_checked += checked;
                tally.dkim_failed += failed;
                tally.damaged += u64::from(failed > 0 && !damaged);
                damaged |= failed > 0;
            }
        }
        for tag in tags {
            let Some(tag) = tag else {
                tally.strangers += 1;
                continue;
            };
            match self.keeping.take(tag, at) {
                Taking::First(_) if tag.kind == Kind::Prepared => self.links.read(mail),
                Taking::First(_) => {}
                Taking::Again => tally.copies += 1,
                Taking::Stranger => tally.strangers += 1,
            }
            if let (true, Keeping::Books(books)) = (damaged, &self.keeping) {
                books.ledger.damage(tag);
            }
        }
    }

    /// Notes that a provider refused a recipient, or, without one, something else.
    pub(super) fn refuse(&self, provider: &'static str, code: u16, recipient: Option<&str>) {
        *self.tally().refused.entry((provider, code)).or_default() += 1;
        if let (Some(tag), Keeping::Books(books)) = (recipient.and_then(Tag::of_recipient), &self.keeping) {
            books.ledger.refuse(tag, code);
        }
    }

    /// Returns what came, where nobody said what was to come.
    pub(super) fn came(&self) -> Vec<Came> {
        match &self.keeping {
            Keeping::Books(_) => Vec::new(),
            Keeping::Roll(roll) => roll.lock().unwrap_or_else(PoisonError::into_inner).came(),
        }
    }

    /// Notes a connection.
    pub(super) fn note_session(&self) {
        self.tally().sessions += 1;
    }

    /// Adds public keys of signatures.
    pub(super) fn trust(&self, records: &[(String, String)]) -> anyhow::Result<()> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).add(records)
    }

    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
