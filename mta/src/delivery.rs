//! Queues and sessions as one thing: takes ready mails, delivers them, and is watched and steered.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::Registry;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use types::id::MessageId;
use types::port::{Queues, SiteLimits, SiteView, Survivor};
use types::time::Clock;

use crate::chance::Chance;
use crate::hosts::Hosts;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::queue::{Limits, Queue, Site, Waiting};
use crate::ready::Ready;
use crate::resolver::{Resolver, ResolverError};
use crate::settings::Settings;
use crate::shared::{Shared, Tasks};
use crate::tls;
use crate::world::{Place, World};

/// Survivors that are put back before others get a turn at the lock.
const RESTORED_AT_ONCE: usize = 256;

/// Delivery could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// DNS.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// TLS.
    #[error("setting up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Metrics of these names are registered already.
    #[error("registering metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The delivering half of the mail engine. Clones share it.
#[derive(Clone)]
pub struct Delivery {
    shared: Arc<Shared>,
    keeper: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").finish_non_exhaustive()
    }
}

impl Delivery {
    /// Starts queues without messages. `world` is what there is around them.
    pub fn start(
        settings: Settings,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
        runtime: &Handle,
        world: World,
    ) -> Result<Self, StartError> {
        let limits = Limits {
            connections: settings.connections_max,
            per_connection: settings.messages_per_connection_max,
            per_second: settings.messages_per_second_max,
            window: settings.window_max,
        };
        // The resolver's sockets belong to the runtime.
        let _inside = runtime.enter();
        let shared = Arc::new(Shared {
            ledger,
            resolver: Resolver::new(&settings)?,
            hosts: Hosts::default(),
            tls: tls::opportunistic()?,
            metrics: Metrics::new(registry)?,
            clock,
            chance: Chance::new(world.seed),
            world,
            tasks: Tasks::new(runtime.clone()),
            keeper: Notify::new(),
            queue: Mutex::new(Queue::new(limits, settings.fresh_bytes_max)),
            settings,
        });
        let keeper = runtime.spawn(Arc::clone(&shared).keep());
        Ok(Self {
            shared,
            keeper: Arc::new(Mutex::new(Some(keeper))),
        })
    }

    /// Queues a mail that may be delivered. Never waits; may be called from any thread.
    pub fn ready(&self, ready: Ready) {
        self.shared.with(|queue, now| queue.push(ready, now));
    }

    /// Puts mails that survived a restart back into their queues, in the background.
    ///
    /// Those whose bytes are not in the spool are left out: they are made again from their decisions.
    pub fn resume(&self, survivors: Vec<Survivor>) {
        let shared = Arc::clone(&self.shared);
        let restoring = move || restore(&shared, &survivors);
        match self.shared.world.place {
            Place::Threads => drop(
                self.shared
                    .tasks
                    .tracker
                    .spawn_blocking_on(restoring, &self.shared.tasks.runtime),
            ),
            Place::Caller => restoring(),
        }
    }

    /// Takes a message out of the queues if its final dot was not sent; it ends as withdrawn.
    pub fn withdraw(&self, message: MessageId) {
        self.shared.with(|queue, _| queue.withdraw(message));
    }

    /// Lets running transactions end, and nothing start, until `deadline`; then drops what is left, without a dot.
    ///
    /// What is not delivered stays in the spool and comes back by [`Self::resume`] after the restart.
    pub async fn drain(&self, deadline: Instant) {
        self.shared.with(|queue, _| queue.drain());
        self.shared.tasks.stop.cancel();
        self.shared.tasks.tracker.close();
        if timeout_at(deadline, self.shared.tasks.tracker.wait()).await.is_err() {
            self.shared.tasks.abort.cancel();
            self.shared.tasks.tracker.wait().await;
        }
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper
            && let Err(error) = keeper.await
        {
            tracing::error!(%error, "the keeper of the queues ended badly");
        }
        // What the last sessions brought back after the keeper had gone: mails withdrawn under their hands.
        let (ended, _) = self.shared.with(Queue::keep);
        for (partition, provider, ended) in ended {
            self.shared.tell(partition, provider, ended).await;
        }
    }
}

impl Queues for Delivery {
    fn sites(&self, limit: usize) -> Vec<SiteView> {
        self.shared.with(|queue, _| queue.view().sites(limit))
    }

    fn waiting(&self, message: MessageId) -> Option<String> {
        self.shared.with(|queue, _| queue.view().why(message))
    }

    fn adjust(&self, site: &str, limits: &SiteLimits) -> bool {
        self.shared
            .with(|queue, now| queue.change_site(site, now, |site| site.adjust(limits)))
    }

    fn suspend(&self, site: &str) -> bool {
        self.shared
            .with(|queue, now| queue.change_site(site, now, Site::suspend))
    }

    fn resume(&self, site: &str) -> bool {
        self.shared
            .with(|queue, now| queue.change_site(site, now, |site| site.resume(now)))
    }
}

fn waiting(survivor: &Survivor) -> Waiting {
    Waiting {
        partition: survivor.partition,
        message: survivor.message,
        attempts: survivor.attempts.0,
        due: survivor.due,
        expires: survivor.expires,
        stream: survivor.stream,
        accepted_at: survivor.accepted_at,
        doubted: survivor.doubted,
    }
}

/// Puts survivors into their queues, some at a time.
fn restore(shared: &Arc<Shared>, survivors: &[Survivor]) {
    for some in survivors.chunks(RESTORED_AT_ONCE) {
        // What is not restored by then comes with the next start.
        if shared.tasks.stop.is_cancelled() {
            return;
        }
        let found: Vec<_> = some
            .iter()
            .map(|survivor| (survivor, shared.ledger.domain(survivor.message)))
            .collect();
        shared.with(|queue, now| {
            for (survivor, domain) in found {
                if let Some(domain) = domain {
                    queue.restore(&waiting(survivor), &domain, now);
                } else {
                    tracing::error!(mail = ?survivor.message, "a survivor is not in the spool");
                }
            }
        });
    }
}
