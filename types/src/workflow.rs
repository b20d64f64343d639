//! Workflows: what a shop does with a contact over days and weeks, as `PUT /v1/workflows/{id}` takes it.
//!
//! A workflow is a start and a list of steps. A contact goes through the steps in their order; a branch, or a wait that ends the other
//! way, jumps to a later step, never back, so every way through ends. Filters are CEL expressions over the contact. Who is inside keeps
//! the version with which they entered.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::calendar::{SendRules, TimeOfDay, Wait, Zone};
use crate::text::{HttpsUrl, Line, Slug};

/// A workflow's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WorkflowSpec {
    /// What people call it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, min_length = 1, max_length = 128))]
    pub name: Line<128>,
    /// Notes for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, max_length = 2000))]
    pub description: Option<Line<2000>>,
    /// What brings a contact in.
    pub start: Start,
    /// What happens then, 1 to 64 steps. A draft may have none yet.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(max_items = 64))]
    pub steps: Vec<Step>,
    /// Who may enter, and be sent something.
    #[serde(default)]
    pub who: Who,
    /// How often one contact may enter.
    #[serde(default)]
    pub entry: Entry,
    /// When mails may go.
    #[serde(default)]
    pub send: SendRules,
    /// In whose local time: the contact's own zone, or this field's, else `zone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub zone_field: Option<Slug>,
    /// The zone of those of whom none is known, and of the active range. Default: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub zone: Option<Zone>,
    /// A step that is later than this, after an outage or while the workflow was off, is not done any more: the contact leaves. Default:
    /// 1 day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub late_after: Option<Wait>,
    /// A filter that ends the way of whoever comes to satisfy it: what the workflow is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// What else ends it early.
    #[serde(default)]
    pub exit: Exit,
    /// What happens to who comes to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_end: Option<GroupChange>,
    /// What happens to who leaves early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exit: Option<GroupChange>,
    /// Whether opens and clicks of machines count as the contact's.
    #[serde(default)]
    pub machine_opens: MachineOpens,
}

/// What brings a contact into a workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "on", rename_all = "snake_case", deny_unknown_fields)]
pub enum Start {
    /// A confirmed order.
    Order {
        /// Of these orders only; sees `order`.
        #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
    },
    /// An event that the shop reported (`POST /v1/events`).
    Event {
        /// Which.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        name: Slug,
        /// Of these only; sees `event`.
        #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
        filter: Option<String>,
    },
    /// The contact agreed to mail, for the first time or again.
    Subscription {
        /// How long after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        after: Option<Wait>,
    },
    /// A date in a field of the contact.
    Date {
        /// Which field.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        field: Slug,
        /// How many days after it; before it, if negative. -366 to 366.
        #[serde(default)]
        days: i32,
        /// At which local time, if the field has none of its own. Default: midnight.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        at: Option<TimeOfDay>,
        /// Whether it comes again each year.
        #[serde(default)]
        yearly: Yearly,
    },
    /// A filter that the contact comes to satisfy, or to satisfy no longer.
    Condition {
        /// The filter.
        #[serde(rename = "if")]
        filter: String,
        /// Which way.
        #[serde(default = "yes")]
        becomes: bool,
    },
    /// The contact entered or left a group.
    Group {
        /// Which group.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        group: Slug,
        /// Which way.
        #[serde(default)]
        change: Crossing,
    },
    /// The contact opened or clicked a mail, or was sent one.
    Activity {
        /// What it did.
        activity: Activity,
        /// In which mails.
        #[serde(default)]
        of: OfMails,
        /// How long after it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        after: Option<Wait>,
    },
    /// A cart of the contact was not touched for some time, and not bought.
    CartAbandoned {
        /// For how long, at most 48 hours.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        after: Wait,
    },
}

const fn yes() -> bool {
    true
}

/// Whether a date comes again each year.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Yearly {
    /// It comes once.
    #[default]
    No,
    /// It does; 29 February is 28 February in other years.
    Feb28,
    /// It does; 29 February is 1 March in other years.
    Mar01,
}

/// Which way a contact crosses a group's border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Crossing {
    /// In.
    #[default]
    Entered,
    /// Out.
    Left,
}

/// What a contact did with mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// Opened one.
    Opened,
    /// Followed a link.
    Clicked,
    /// Either.
    Engaged,
}

/// In which mails a contact's activity counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfMails {
    /// In any.
    #[default]
    Any,
    /// In the last five that were sent to this contact, as of the moment of the activity.
    LastFive,
    /// In those made with this template.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    Template(Slug),
}

/// One step. Ids are the workflow's own; statistics and timelines name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Sends a mail made with one of the shop's templates of kind `message`; it sees the contact's fields as `vars`.
    Send {
        /// The step's id.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        id: Slug,
        /// Which template.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        template: Slug,
    },
    /// Waits.
    Wait {
        /// The step's id.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        id: Slug,
        /// How long.
        #[serde(rename = "for")]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        duration: Wait,
        /// From when, or for what.
        #[serde(default)]
        after: After,
        /// The mail that it is about, by its step. Default: the last one sent before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        of: Option<Slug>,
        /// With `after: engagement`: how long it is waited for. Default: 30 days.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        limit: Option<Wait>,
        /// Where to go on if it ends the other way. Default: the contact leaves.
        #[serde(default, rename = "else", skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        otherwise: Option<Slug>,
    },
    /// Goes one way or the other.
    Branch {
        /// The step's id.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        id: Slug,
        /// The filter.
        #[serde(rename = "if")]
        filter: String,
        /// Where to go on if it holds. Default: the next step. `end` is the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
        then: Option<Slug>,
        /// Where to go on if it does not.
        #[serde(rename = "else")]
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        otherwise: Slug,
    },
    /// Changes the contact's groups.
    Group {
        /// The step's id.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        id: Slug,
        /// How.
        change: GroupChange,
    },
    /// Tells the shop by a POST to a page of its own; waits for its answer, and goes on whatever it is.
    Webhook {
        /// The step's id.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        id: Slug,
        /// Where to.
        #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = "^https://", max_length = 2000))]
        url: HttpsUrl,
    },
    /// Leaves.
    Exit {
        /// The step's id.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        id: Slug,
    },
}

impl Step {
    /// Returns the step's id.
    pub const fn id(&self) -> &Slug {
        match self {
            Self::Send { id, .. }
            | Self::Wait { id, .. }
            | Self::Branch { id, .. }
            | Self::Group { id, .. }
            | Self::Webhook { id, .. }
            | Self::Exit { id } => id,
        }
    }
}

/// From when, or for what, a step waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// From the moment at which the step is reached.
    #[default]
    Reached,
    /// From the moment at which the mail was sent: accepted for delivery by us.
    Send,
    /// For an open or a click of the mail, and from that moment.
    Engagement,
    /// From the moment at which the mail was sent, unless it is opened or clicked meanwhile.
    NoEngagement,
}

/// A change of a contact's groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GroupChange {
    /// Puts it into a group.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    Copy(Slug),
    /// Takes it from one group into another; who is not in the first is left alone.
    Move {
        /// Out of this one.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        from: Slug,
        /// Into this one.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        to: Slug,
    },
    /// Takes it out of a group.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    Leave(Slug),
}

/// Who may enter a workflow; asked again before each send.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Who {
    /// Members of any of these; empty means everybody. At most 64.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 64))]
    pub groups: Vec<Slug>,
    /// But of none of these. At most 64.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, max_items = 64))]
    pub not_groups: Vec<Slug>,
    /// Who satisfies any of these filters; empty means everybody. At most 16.
    #[cfg_attr(feature = "openapi", schema(max_items = 16))]
    pub filters: Vec<String>,
    /// But none of these. At most 16.
    #[cfg_attr(feature = "openapi", schema(max_items = 16))]
    pub not_filters: Vec<String>,
}

/// How often one contact may enter a workflow. Nobody is in it twice at once, except by key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Once, for ever; once each year if the start is a date that comes each year.
    #[default]
    Once,
    /// Again, after having left.
    AfterExit,
    /// Again, after having left and this many days after the last entry.
    EveryDays(u32),
    /// Once for each key: of an event, of an order, of a cart; at most 32 keys of one contact are remembered.
    PerKey,
}

/// What ends a contact's way early.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Exit {
    /// A confirmed order.
    pub on_order: bool,
    /// A filter that the contact comes to satisfy.
    #[serde(rename = "if", skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// No longer being in the groups, or satisfying the filters, of `who`.
    pub when_not_who: bool,
}

/// Whether opens and clicks of machines count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MachineOpens {
    /// They do not.
    #[default]
    Ignore,
    /// They do.
    Count,
}

/// Whether a workflow runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum WorkflowState {
    /// It never ran, and may be incomplete.
    #[default]
    #[n(0)]
    Draft,
    /// It runs.
    #[n(1)]
    On,
    /// Paused: nobody enters, nothing is sent, clocks go on.
    #[n(2)]
    Off,
}

impl WorkflowState {
    /// Returns the state's name, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

/// Whom switching a workflow on takes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Enrol {
    /// Only who comes to its start from now on.
    #[default]
    #[n(0)]
    Future,
    /// Also who is there already: in the group, with the date, satisfying the filter, subscribed.
    #[n(1)]
    ExistingAndFuture,
}
