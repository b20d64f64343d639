//! Making and delivering together: what the runners and the admin listener see.

use std::fmt;
use std::sync::Arc;

use prometheus::Registry;
use store::Store;
use tokio::runtime::Handle;
use tokio::time::Instant;
use types::id::MessageId;
use types::port::{Call, Mail, Outbox, Queues, SiteLimits, SiteView, Survivor, Webhooks};
use types::time::Clock;
use types::token::{TokenKeys, VerpKey};

use crate::chance::Chance;
use crate::delivery::{self, Delivery};
use crate::settings::Settings;
use crate::submit::{self, Submit};
use crate::webhook::{self, Caller};
use crate::world::World;

/// What the mail engine needs.
pub struct Deps {
    /// How mails are delivered.
    pub settings: Settings,
    /// How mails are made.
    pub submit: submit::Settings,
    /// How shops' pages are called.
    pub webhooks: webhook::Settings,
    /// Where mails are spooled, and claims and outcomes recorded.
    pub store: Store,
    /// The keys of links and pixels.
    pub tokens: Arc<TokenKeys>,
    /// The key of return paths.
    pub verp: Arc<VerpKey>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Where sessions and look-ups run.
    pub runtime: Handle,
    /// What there is around it.
    pub world: World,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The mail engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// What delivers.
    #[error(transparent)]
    Delivery(#[from] delivery::StartError),
    /// What makes mails.
    #[error(transparent)]
    Submit(#[from] submit::StartError),
    /// What calls shops' pages.
    #[error(transparent)]
    Webhooks(#[from] webhook::StartError),
}

/// The mail engine. Clones share it.
#[derive(Clone, Debug)]
pub struct Mta {
    delivery: Delivery,
    submit: Arc<Submit>,
    webhooks: Arc<Caller>,
}

impl Mta {
    /// Starts the signing threads, and queues without messages.
    pub fn start(deps: Deps) -> Result<Self, StartError> {
        let seeds = Chance::new(deps.world.seed);
        let ledger = Arc::new(deps.store.clone());
        let calling = webhook::Deps {
            settings: deps.webhooks,
            store: deps.store.clone(),
            tokens: Arc::clone(&deps.tokens),
            clock: Arc::clone(&deps.clock),
            runtime: deps.runtime.clone(),
            registry: deps.registry.clone(),
            seed: seeds.seed(),
        };
        let webhooks = Caller::start(calling, &deps.settings)?;
        let (clock, registry, runtime) = (deps.clock, &deps.registry, &deps.runtime);
        let world = World {
            seed: seeds.seed(),
            ..deps.world
        };
        let place = world.place;
        let delivery = Delivery::start(deps.settings, ledger, clock, registry, runtime, world)?;
        let queued = delivery.clone();
        let submit = Submit::start(submit::Deps {
            settings: deps.submit,
            store: deps.store,
            tokens: deps.tokens,
            verp: deps.verp,
            runtime: deps.runtime,
            registry: deps.registry,
            place,
            ready: Box::new(move |ready| queued.ready(ready)),
        })?;
        Ok(Self {
            delivery,
            submit: Arc::new(submit),
            webhooks,
        })
    }

    /// Makes the next mail that waits, on this thread: for a world without threads for that ([`crate::world::Place::Caller`]). False if
    /// none waits.
    pub fn make_next(&self) -> bool {
        self.submit.make_next()
    }

    /// Puts mails that survived a restart back into their queues, in the background.
    ///
    /// Those whose bytes are not in the spool are left out: they are made again from their decisions, by
    /// [`Outbox::submit`].
    pub fn resume(&self, survivors: Vec<Survivor>) {
        self.delivery.resume(survivors);
    }

    /// Lets what is being made be spooled and running transactions end, and nothing start, until `deadline`; then drops
    /// the sessions that are left, without a dot. What is not delivered stays in the spool.
    pub async fn drain(&self, deadline: Instant) {
        let submit = Arc::clone(&self.submit);
        if submit.is_called() {
            submit.close();
        }
        let making = tokio::task::spawn_blocking(move || submit.close());
        self.delivery.drain(deadline).await;
        // A call that is cut is made again after the restart.
        let _ = tokio::time::timeout_at(deadline, self.webhooks.drain()).await;
        match tokio::time::timeout_at(deadline, making).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the signing threads ended badly"),
            Err(_) => tracing::warn!("mails were still being made at the deadline; the next start makes them"),
        }
    }
}

impl Outbox for Mta {
    fn submit(&self, mail: Mail) {
        self.submit.submit(mail);
    }

    fn withdraw(&self, message: MessageId) {
        self.delivery.withdraw(message);
    }
}

impl Webhooks for Mta {
    fn call(&self, call: Call) {
        self.webhooks.call(call);
    }
}

impl Queues for Mta {
    fn sites(&self, limit: usize) -> Vec<SiteView> {
        self.delivery.sites(limit)
    }

    fn waiting(&self, message: MessageId) -> Option<String> {
        self.delivery.waiting(message)
    }

    fn adjust(&self, site: &str, limits: &SiteLimits) -> bool {
        self.delivery.adjust(site, limits)
    }

    fn suspend(&self, site: &str) -> bool {
        self.delivery.suspend(site)
    }

    fn resume(&self, site: &str) -> bool {
        Queues::resume(&self.delivery, site)
    }
}
