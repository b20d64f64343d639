//! One open or click, and what it changes in the counts.

use minicbor::{Decode, Encode};
use types::event::{AgentClass, Clicked, HitClass, HitKind, Opened, Visit};
use types::id::{CampaignNumber, EventId};
use types::network::Network;
use types::tally::{Hour, Measure};
use types::time::Timestamp;

/// An open or a click, as far as judging it needs.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hit {
    /// Its event.
    #[n(0)]
    pub id: EventId,
    /// When it was recorded.
    #[n(1)]
    pub at: Timestamp,
    /// An open or a click.
    #[n(2)]
    pub kind: HitKind,
    /// The offer's place in the mail; 0 for opens.
    #[n(3)]
    #[cbor(default)]
    pub place: u8,
    /// The offer that was clicked.
    #[n(4)]
    pub campaign: Option<CampaignNumber>,
    /// The click's own id, by which its landing is found.
    #[n(5)]
    pub click: Option<EventId>,
    /// What the agent says.
    #[n(6)]
    pub agent: AgentClass,
    /// Where it came from, truncated.
    #[n(7)]
    pub network: Option<Network>,
    /// Whether anything was seen or followed.
    #[n(8)]
    #[cbor(default)]
    pub visit: Visit,
    /// Whether bad tokens came from the same network shortly before.
    #[n(9)]
    #[cbor(default)]
    pub suspect: bool,
    /// Whether the token was signed with a key that others know.
    #[n(10)]
    #[cbor(default)]
    pub untrusted: bool,
}

/// What the recording of a hit means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It counts, raw.
    Counted(Change),
    /// It is kept as evidence and counts nowhere: made in advance, or a test.
    Evidence,
    /// Nothing happened: the mail is erased, or the hit was recorded before.
    Ignored,
}

/// What something changes in the counts of one hour: those of the mail's cell and, for clicks and landings, the offer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// What was counted.
    pub kind: HitKind,
    /// Which offer; `None` for opens.
    pub campaign: Option<CampaignNumber>,
    /// In which hour: that of the hit, whenever it was judged.
    pub hour: Hour,
    /// What is added to the raw count.
    pub raw: i8,
    /// What is added to the machine count.
    pub machine: i8,
    /// What is added to the qualified count.
    pub qualified: i8,
    /// What is added to the unique count.
    pub unique: i8,
}

impl Hit {
    /// Takes an open from its record: the event's id and wall time.
    pub fn opened(id: EventId, at: Timestamp, opened: &Opened) -> Self {
        Self {
            id,
            at,
            kind: HitKind::Open,
            place: 0,
            campaign: None,
            click: None,
            agent: opened.agent,
            network: opened.network,
            visit: opened.visit,
            suspect: opened.suspect,
            untrusted: false,
        }
    }

    /// Takes a click from its record: the event's id and wall time.
    pub fn clicked(id: EventId, at: Timestamp, clicked: &Clicked) -> Self {
        Self {
            id,
            at,
            kind: HitKind::Click,
            place: clicked.slot,
            campaign: (clicked.campaign != CampaignNumber::NONE).then_some(clicked.campaign),
            click: clicked.click,
            agent: clicked.agent,
            network: clicked.network,
            visit: clicked.visit,
            suspect: clicked.suspect,
            untrusted: clicked.untrusted,
        }
    }

    /// Returns what the hit adds to the counts before it is judged, or takes from them.
    pub(super) fn change(&self) -> Change {
        Change {
            kind: self.kind,
            campaign: self.campaign,
            hour: Hour::of(self.at),
            raw: 0,
            machine: 0,
            qualified: 0,
            unique: 0,
        }
    }
}

impl Change {
    /// Returns the measures that change, and by how much.
    pub fn measures(&self) -> impl Iterator<Item = (Measure, i64)> {
        let [machine, qualified, unique] = match self.kind {
            HitKind::Open => [Measure::OpensMachine, Measure::OpensQualified, Measure::OpensUnique],
            HitKind::Click => [Measure::ClicksMachine, Measure::ClicksQualified, Measure::ClicksUnique],
            // Landings are counted raw alone, so the other three add nothing.
            HitKind::Landing => [Measure::Landings; 3],
        };
        let by = [
            (Measure::raw(self.kind), self.raw),
            (machine, self.machine),
            (qualified, self.qualified),
            (unique, self.unique),
        ];
        by.into_iter()
            .filter(|(_, by)| *by != 0)
            .map(|(measure, by)| (measure, by.into()))
    }

    /// Makes this the change of a verdict, from one class to another.
    pub(super) fn judged(self, from: Option<HitClass>, to: HitClass) -> Self {
        let moves = |is: fn(HitClass) -> bool| i8::from(is(to)) - i8::from(from.is_some_and(is));
        Self {
            machine: moves(HitClass::is_machine),
            qualified: moves(HitClass::is_qualified),
            ..self
        }
    }

    pub(super) const fn is_nothing(&self) -> bool {
        matches!((self.raw, self.machine, self.qualified, self.unique), (0, 0, 0, 0))
    }
}
