//! How a contact stands with one workflow.

use minicbor::{Decode, Encode};
use types::event::{Did, MoveCause, Moved, Place};
use types::id::{EventId, WorkflowNumber};
use types::text::Line;
use types::time::Timestamp;

/// How many keys of one contact and workflow are remembered, and how many instances may be live at once.
pub const KEYS_MAX: usize = 32;

/// How a contact stands with one workflow. It stays when the contact has left, so that "once" is for ever.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Enrolment {
    /// Which workflow.
    #[n(0)]
    pub workflow: WorkflowNumber,
    /// How often the contact entered.
    #[n(1)]
    #[cbor(default)]
    pub entries: u32,
    /// When it last did: when the event came, or when the start's time was due.
    #[n(2)]
    pub entered_at: Option<Timestamp>,
    /// When it last left, having entered.
    #[n(3)]
    pub left_at: Option<Timestamp>,
    /// The activation that last offered the contact to the workflow and made it enter, or be armed; 0 is none.
    #[n(4)]
    #[cbor(default)]
    pub activation: u64,
    /// What is not over.
    #[n(5)]
    #[cbor(default)]
    pub live: Vec<Live>,
    /// The keys of the last entries, oldest first.
    #[n(6)]
    #[cbor(default)]
    pub keys: Vec<Line<128>>,
}

/// How a contact stands with each workflow it ever had to do with, by workflow in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct Enrolments(#[n(0)] Vec<Enrolment>);

/// An instance that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Live {
    /// The event by which it was begun.
    #[n(0)]
    pub instance: EventId,
    /// What it is about.
    #[n(1)]
    pub key: Option<Line<128>>,
    /// How far it is.
    #[n(2)]
    pub stage: Stage,
}

/// How far a live instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Stage {
    /// It waits for the time of its start: the contact has not entered.
    #[n(0)]
    Armed,
    /// The contact has entered.
    #[n(1)]
    Entered,
}

impl Enrolments {
    /// Returns all of them.
    pub fn as_slice(&self) -> &[Enrolment] {
        &self.0
    }

    /// Returns how the contact stands with one workflow.
    pub fn of(&self, workflow: WorkflowNumber) -> Option<&Enrolment> {
        let at = self.0.binary_search_by_key(&workflow, |own| own.workflow).ok()?;
        self.0.get(at)
    }

    /// Returns every instance that is not over, armed or under way.
    pub fn live(&self) -> impl Iterator<Item = (WorkflowNumber, &Live)> {
        let enrolments = self.0.iter();
        enrolments.flat_map(|own| own.live.iter().map(move |live| (own.workflow, live)))
    }

    /// Follows what an instance did, by the record of this id that says `wall`.
    pub(super) fn moved(&mut self, id: EventId, wall: Timestamp, moved: &Moved) {
        let at = match self.0.binary_search_by_key(&moved.workflow, |own| own.workflow) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, Enrolment::new(moved.workflow));
                at
            }
        };
        if let Some(enrolment) = self.0.get_mut(at) {
            enrolment.moved(moved.instance.unwrap_or(id), wall, moved);
        }
    }
}

impl Enrolment {
    const fn new(workflow: WorkflowNumber) -> Self {
        Self {
            workflow,
            entries: 0,
            entered_at: None,
            left_at: None,
            activation: 0,
            live: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Returns the instance that waits for the time of its start, with this key.
    pub fn armed(&self, key: Option<&Line<128>>) -> Option<&Live> {
        self.live
            .iter()
            .find(|live| live.stage == Stage::Armed && live.key.as_ref() == key)
    }

    /// Returns whether the contact is inside.
    pub fn is_inside(&self) -> bool {
        self.live.iter().any(|live| live.stage == Stage::Entered)
    }

    fn moved(&mut self, instance: EventId, wall: Timestamp, moved: &Moved) {
        let enters = moved.did.contains(&Did::Entered);
        if enters {
            self.entries = self.entries.saturating_add(1);
            let at = match moved.cause {
                MoveCause::Timer(due) => due,
                _ => wall,
            };
            self.entered_at = self.entered_at.max(Some(at));
            if let Some(key) = &moved.key
                && !self.keys.contains(key)
            {
                self.keys.push(key.clone());
                let surplus = self.keys.len().saturating_sub(KEYS_MAX);
                self.keys.drain(..surplus);
            }
        }
        if let MoveCause::Activation(version) = moved.cause {
            self.activation = self.activation.max(version);
        }
        let known = self.live.iter().position(|live| live.instance == instance);
        let was_inside = known
            .and_then(|at| self.live.get(at))
            .is_some_and(|live| live.stage == Stage::Entered);
        match (&moved.place, known) {
            (Place::Left(_), _) => {
                self.live.retain(|live| live.instance != instance);
                if was_inside || enters {
                    self.left_at = self.left_at.max(Some(wall));
                }
            }
            (Place::Waits(_), None) => self.live.push(Live {
                instance,
                key: moved.key.clone(),
                stage: if enters { Stage::Entered } else { Stage::Armed },
            }),
            (Place::Waits(_), Some(at)) => {
                if let Some(live) = self.live.get_mut(at)
                    && enters
                {
                    live.stage = Stage::Entered;
                }
            }
        }
    }
}
