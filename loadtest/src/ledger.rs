//! Who was to get a mail, and who got one: the generator writes what it asked for and what was acknowledged, the sink what it took,
//! and what does not match is found mail by mail.
//!
//! Each mail is a [`Tag`]: a kind and a number, which stand in the recipient's local part (`o17@…`), so that a sink knows a mail
//! whatever it says. Numbers are dense, so all of it is a few flat arrays that two threads write without a lock.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The length of the ids that the service gives.
const ID_BYTES: usize = 16;

/// What a mail came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// `POST /v1/orders`: decided, rendered and sent with offers.
    Order,
    /// `POST /v1/messages`: sent as it came.
    Message,
    /// A workflow's wait that ended: due when the wait is over.
    Timer,
    /// Mails before the run, of whom links are followed.
    Prepared,
}

impl Kind {
    /// Every one, in the order of its number.
    pub(crate) const ALL: [Self; 4] = [Self::Order, Self::Message, Self::Timer, Self::Prepared];

    /// Returns the letter that recipients of it begin with.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Order => 'o',
            Self::Message => 'm',
            Self::Timer => 't',
            Self::Prepared => 'p',
        }
    }

    /// Returns its name in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "orders",
            Self::Message => "messages",
            Self::Timer => "timers",
            Self::Prepared => "prepared",
        }
    }
}

/// One mail that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag {
    pub(crate) kind: Kind,
    pub(crate) number: u32,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind.letter(), self.number)
    }
}

impl Tag {
    /// Reads it back from a recipient's address.
    pub(crate) fn of_recipient(recipient: &str) -> Option<Self> {
        let (local, _) = recipient.split_once('@')?;
        let kind = Kind::ALL.into_iter().find(|kind| local.starts_with(kind.letter()))?;
        let number = local.get(1..)?.parse().ok()?;
        Some(Self { kind, number })
    }
}

/// All mails of a run.
#[derive(Debug)]
pub(crate) struct Ledger {
    started: Instant,
    columns: [Vec<Row>; Kind::ALL.len()],
}

/// One mail. Moments are microseconds since the ledger began, plus one; 0 is "not yet".
#[derive(Debug, Default)]
struct Row {
    due: AtomicU64,
    acknowledged: AtomicU64,
    taken: AtomicU64,
    copies: AtomicU32,
    /// The code of the receiver's last refusal.
    refused: AtomicU16,
    damaged: AtomicU8,
    /// By which the service knows it.
    id: OnceLock<[u8; ID_BYTES]>,
}

/// What the sink made of a mail that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taking {
    /// It is the first of its tag; so long after it was due.
    First(Duration),
    /// It came before.
    Again,
    /// Nobody asked for it.
    Stranger,
}

/// What came of the mails of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Account {
    /// Asked for.
    pub(crate) asked: u64,
    /// Acknowledged as durable.
    pub(crate) acknowledged: u64,
    /// Taken by the sink, each once.
    pub(crate) taken: u64,
    /// Acknowledged, and neither taken nor refused by the receiver.
    pub(crate) missing: Vec<u32>,
    /// Acknowledged, and refused for good by the receiver (5xx): they are the sender's to report, not lost.
    pub(crate) refused: u64,
    /// Acknowledged, and not taken: the receiver's last word was to come again later (4xx). The sender must still have them.
    pub(crate) deferred: Vec<u32>,
    /// Taken more than once.
    pub(crate) twice: Vec<u32>,
    /// Taken with other bytes than were sent.
    pub(crate) damaged: Vec<u32>,
    /// Taken although never acknowledged: the answer was lost, the order was not.
    pub(crate) unacknowledged: u64,
}

impl Ledger {
    /// A ledger for so many mails of each kind, in the order of [`Kind::ALL`].
    pub(crate) fn new(counts: [u32; Kind::ALL.len()]) -> Self {
        Self {
            started: Instant::now(),
            columns: counts.map(|count| (0..count).map(|_| Row::default()).collect()),
        }
    }

    /// Notes that a mail is asked for, and when it is due to be asked for: latencies count from there.
    pub(crate) fn ask(&self, tag: Tag, due: Instant) {
        if let Some(row) = self.row(tag) {
            row.due.store(self.stamp(due), Ordering::Release);
        }
    }

    /// Notes that a mail was acknowledged as durable.
    pub(crate) fn acknowledge(&self, tag: Tag, at: Instant) {
        if let Some(row) = self.row(tag) {
            row.acknowledged.store(self.stamp(at), Ordering::Release);
        }
    }

    /// Notes by which id the service knows what it acknowledged.
    pub(crate) fn name(&self, tag: Tag, id: &[u8]) {
        if let (Some(row), Ok(id)) = (self.row(tag), id.try_into()) {
            row.id.get_or_init(|| id);
        }
    }

    /// Returns the id by which the service knows a mail, if it told one.
    pub(crate) fn id(&self, tag: Tag) -> Option<String> {
        let id = self.row(tag)?.id.get()?;
        Some(String::from_utf8_lossy(id).into_owned())
    }

    /// Notes that the sink answered a mail with 250 at `at`.
    pub(crate) fn take(&self, tag: Tag, at: Instant) -> Taking {
        let row = self.row(tag).filter(|row| row.due.load(Ordering::Acquire) > 0);
        let Some(row) = row else {
            return Taking::Stranger;
        };
        if row.copies.fetch_add(1, Ordering::AcqRel) > 0 {
            return Taking::Again;
        }
        let at = self.stamp(at);
        row.taken.store(at, Ordering::Release);
        Taking::First(Duration::from_micros(
            at.saturating_sub(row.due.load(Ordering::Acquire)),
        ))
    }

    /// Notes that the receiver refused a mail with this code. The last refusal counts, and none once the mail was taken.
    pub(crate) fn refuse(&self, tag: Tag, code: u16) {
        if let Some(row) = self.row(tag) {
            row.refused.store(code, Ordering::Release);
        }
    }

    /// Notes that a mail came with other bytes than were sent.
    pub(crate) fn damage(&self, tag: Tag) {
        if let Some(row) = self.row(tag) {
            row.damaged.store(1, Ordering::Release);
        }
    }

    /// Returns how many mails of a kind were acknowledged and may yet come: not taken, and not refused for good.
    pub(crate) fn outstanding(&self, kind: Kind) -> usize {
        self.column(kind)
            .iter()
            .filter(|row| row.acknowledged.load(Ordering::Acquire) > 0)
            .filter(|row| row.taken.load(Ordering::Acquire) == 0 && row.refused.load(Ordering::Acquire) < 500)
            .count()
    }

    /// Returns what came of the mails of one kind.
    pub(crate) fn account(&self, kind: Kind) -> Account {
        let mut account = Account::default();
        for (number, row) in (0_u32..).zip(self.column(kind)) {
            let acknowledged = row.acknowledged.load(Ordering::Acquire) > 0;
            let copies = row.copies.load(Ordering::Acquire);
            account.asked += u64::from(row.due.load(Ordering::Acquire) > 0);
            account.acknowledged += u64::from(acknowledged);
            account.taken += u64::from(copies > 0);
            account.unacknowledged += u64::from(copies > 0 && !acknowledged);
            if acknowledged && copies == 0 {
                match row.refused.load(Ordering::Acquire) {
                    0 => account.missing.push(number),
                    1..500 => account.deferred.push(number),
                    500.. => account.refused += 1,
                }
            }
            if copies > 1 {
                account.twice.push(number);
            }
            if row.damaged.load(Ordering::Acquire) > 0 {
                account.damaged.push(number);
            }
        }
        account
    }

    fn column(&self, kind: Kind) -> &[Row] {
        let [orders, messages, timers, prepared] = &self.columns;
        match kind {
            Kind::Order => orders,
            Kind::Message => messages,
            Kind::Timer => timers,
            Kind::Prepared => prepared,
        }
    }

    fn row(&self, tag: Tag) -> Option<&Row> {
        self.column(tag.kind).get(usize::try_from(tag.number).ok()?)
    }

    fn stamp(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.started).as_micros();
        u64::try_from(since).unwrap_or(u64::MAX - 1) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_came_twice_or_unasked_is_told_by_number() {
        let ledger = Ledger::new([4, 0, 0, 0]);
        let tag = |number| Tag {
            kind: Kind::Order,
            number,
        };
        let now = Instant::now();
        for number in 0..4 {
            ledger.ask(tag(number), now);
        }
        for number in 0..3 {
            ledger.acknowledge(tag(number), now);
        }
        let late = now + Duration::from_millis(7);
        assert_eq!(ledger.take(tag(0), late), Taking::First(Duration::from_millis(7)));
        assert_eq!(ledger.take(tag(1), late), Taking::First(Duration::from_millis(7)));
        assert_eq!(ledger.take(tag(1), late), Taking::Again);
        assert_eq!(ledger.take(tag(3), late), Taking::First(Duration::from_millis(7)));
        assert_eq!(ledger.take(tag(9), late), Taking::Stranger);
        assert_eq!(ledger.outstanding(Kind::Order), 1);
        ledger.damage(tag(0));
        ledger.name(tag(2), b"abcdefghijklmnop");
        ledger.name(tag(2), b"too short");
        assert_eq!(ledger.id(tag(2)).as_deref(), Some("abcdefghijklmnop"));
        assert_eq!(ledger.id(tag(1)), None);
        let told = Account {
            asked: 4,
            acknowledged: 3,
            taken: 3,
            missing: vec![2],
            twice: vec![1],
            damaged: vec![0],
            unacknowledged: 1,
            ..Account::default()
        };
        assert_eq!(ledger.account(Kind::Order), told);
    }

    #[test]
    fn what_the_receiver_refused_is_not_missing() {
        let ledger = Ledger::new([5, 0, 0, 0]);
        let tag = |number| Tag {
            kind: Kind::Order,
            number,
        };
        for number in 0..5 {
            ledger.ask(tag(number), Instant::now());
            ledger.acknowledge(tag(number), Instant::now());
        }
        ledger.refuse(tag(0), 550);
        ledger.refuse(tag(1), 451);
        ledger.refuse(tag(2), 451);
        ledger.refuse(tag(3), 451);
        ledger.refuse(tag(3), 550);
        ledger.take(tag(2), Instant::now());
        let account = ledger.account(Kind::Order);
        assert_eq!((account.taken, account.refused, account.deferred.len()), (1, 2, 1));
        assert_eq!(account.missing, [4]);
        // What is deferred may yet come; what was refused will not.
        assert_eq!(ledger.outstanding(Kind::Order), 2);
    }

    #[test]
    fn recipients_tell_their_tag() {
        let tag = Tag {
            kind: Kind::Message,
            number: 17,
        };
        assert_eq!(Tag::of_recipient(&format!("{tag}@gmail.com")), Some(tag));
        assert_eq!(Tag::of_recipient("x1@gmail.com"), None);
        assert_eq!(Tag::of_recipient("o@gmail.com"), None);
    }
}
