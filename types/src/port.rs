//! The ports through which crates of the same level meet without naming each other.

use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::event::{Origin, Plan};
use crate::id::{Attempt, EventId, MessageId, PartitionId};
use crate::order::{MessageRequest, Order};
use crate::text::HttpsUrl;
use crate::time::Timestamp;

/// What becomes of decisions to send: the mail engine, as the runners see it.
///
/// No call waits. The number of mails between decision and spool is bounded by admission, before an accept is journaled.
pub trait Outbox: Send + Sync + 'static {
    /// Takes a mail whose decision is in the journal (durable or about to be) to render, sign, spool and deliver it.
    fn submit(&self, mail: Mail);

    /// Takes a mail out of the queues if its final dot has not been sent; it ends as `Withdrawn`.
    fn withdraw(&self, message: MessageId);
}

/// Who calls the pages of shops that webhook steps name: the mail engine, as the runners see it.
///
/// No call waits. The answer, or that there was none, comes back through the intake as [`crate::event::WebhookEnded`], with the
/// instance and the epoch of the call. A call may be lost: its instance's own timer makes another.
pub trait Webhooks: Send + Sync + 'static {
    /// Takes a call whose cause is in the journal, durable or about to be. One too many is answered at once, with no status.
    fn call(&self, call: Call);
}

/// A call of a shop's page by a workflow's step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Whose page is called: with whose secret the call is signed.
    pub shop: crate::id::ShopNumber,
    /// Where the instance lives: where the answer goes.
    pub partition: PartitionId,
    /// Who calls.
    pub instance: EventId,
    /// Which step: with the instance it names the call, whatever attempt it is.
    pub step: crate::text::Slug,
    /// The instance's epoch when it waits for the answer: it says which call is answered.
    pub epoch: u32,
    /// Where to.
    pub url: HttpsUrl,
    /// What is posted: JSON.
    pub body: String,
}

/// A mail that is to be made: the decision and what it was decided on.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The partition that the mail's events go to: the person's.
    pub partition: PartitionId,
    /// The accepted event that caused it.
    pub cause: EventId,
    /// The decision.
    pub plan: Plan,
    /// What was asked for.
    pub request: Request,
    /// The catalogue of the version that the plan names.
    pub catalogue: Arc<Catalogue>,
    /// Whose shop it is.
    pub shop: crate::id::ShopNumber,
    /// When the cause was accepted: the start of the clock for the time from POST to the remote 250.
    pub accepted_at: Timestamp,
    /// What of our own asked for it; `None` if the shop did. Such mails go behind those that a shop asks for.
    pub origin: Option<Origin>,
    /// Whether a final dot of it has gone unanswered already, and the one repeat is begun: see [`Survivor::doubted`].
    pub doubted: bool,
    /// The place this mail holds until its bytes are in the spool; dropped, it lets another accept in.
    pub admission: Admission,
}

/// What a mail answers.
#[derive(Clone, Debug)]
pub enum Request {
    /// An order, with offers.
    Order(Arc<Order>),
    /// A plain send.
    Message(Arc<MessageRequest>),
}

/// A place among the mails that are accepted and not yet spooled. Dropping the last clone gives the place back.
///
/// Recovered mails hold an empty one: they were admitted before the restart.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    _place: Option<Arc<dyn Place>>,
}

/// Something that frees a place when it is dropped; a marker for what [`Admission`] holds.
pub trait Place: std::fmt::Debug + Send + Sync + 'static {}

impl Admission {
    /// Wraps what frees the place when dropped.
    pub fn holding(place: Arc<dyn Place>) -> Self {
        Self { _place: Some(place) }
    }
}

/// A mail that survived a restart: in the outbox of state, and maybe in the spool.
#[derive(Clone, Debug)]
pub struct Survivor {
    /// The partition that its events go to.
    pub partition: PartitionId,
    /// Its id.
    pub message: MessageId,
    /// Attempts that were claimed so far.
    pub attempts: Attempt,
    /// Not to be tried before.
    pub due: Timestamp,
    /// When it is no longer worth sending.
    pub expires: Timestamp,
    /// Its stream.
    pub stream: crate::order::Stream,
    /// When its cause was accepted.
    pub accepted_at: Timestamp,
    /// Whether a final dot of it has gone unanswered already: after the next such one it is not tried again.
    pub doubted: bool,
}

/// The queues as an operator sees and steers them: the mail engine, as the admin listener sees it.
pub trait Queues: Send + Sync + 'static {
    /// Returns the largest sites, biggest first, at most `limit`.
    fn sites(&self, limit: usize) -> Vec<SiteView>;

    /// Returns why a queued message waits, or `None` if it is in no queue.
    fn waiting(&self, message: MessageId) -> Option<String>;

    /// Changes a site's limits until the next restart; `None` fields stay as they are. False if there is no such site.
    fn adjust(&self, site: &str, limits: &SiteLimits) -> bool;

    /// Lets no attempt start at a site until resumed. False if there is no such site.
    fn suspend(&self, site: &str) -> bool;

    /// Lets attempts start again at once. False if there is no such site.
    fn resume(&self, site: &str) -> bool;
}

/// One destination site, at this moment.
#[derive(Clone, Debug, serde::Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SiteView {
    /// The site's name: its MX hosts rolled up, or the route.
    pub site: String,
    /// Messages that may be tried now.
    pub ready: usize,
    /// Messages that wait for their next attempt.
    pub deferred: usize,
    /// Open sessions.
    pub sessions: usize,
    /// `ready`, `throttled` or `suspended`, and why and until when, for people.
    pub state: String,
    /// The limits in force.
    pub limits: SiteLimits,
}

/// What may be changed about a site while running.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SiteLimits {
    /// Connections at once.
    pub connections_max: Option<u32>,
    /// Messages on one connection before it is closed.
    pub messages_per_connection_max: Option<u32>,
    /// Messages a second, over all connections.
    pub messages_per_second_max: Option<f64>,
}

/// A part of the service that knows whether it is well.
pub trait Health: Send + Sync {
    /// Returns what an operator must look at, each as the part concerned and what is wrong with it; empty when healthy.
    ///
    /// What mends itself by waiting is none of it: that Redis is away is a metric.
    fn findings(&self) -> Vec<(&'static str, String)>;
}
