//! The signing threads: each takes a mail, makes it, spools it and hands it on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use prometheus::Registry;
use store::{Spooled, Store};
use tokio::runtime::Handle;
use types::event::{AttemptEnded, Event, FailureClass, Outcome};
use types::id::Attempt;
use types::port::{Mail, Request};
use types::text::Line;
use types::token::{TokenKeys, VerpKey};

use super::compose::{ComposeError, Composer, SignedMessage};
use super::dkim::DkimKeys;
use super::metrics::Metrics;
use super::queue::{Lane, Queue};
use super::settings::Settings;
use crate::ready::Ready;
use crate::world::Place;

/// What making mails needs.
pub struct Deps {
    /// How mails are made.
    pub settings: Settings,
    /// Where they are spooled, failures recorded, and keys kept.
    pub store: Store,
    /// The keys of links and pixels.
    pub tokens: Arc<TokenKeys>,
    /// The key of return paths.
    pub verp: Arc<VerpKey>,
    /// Where failures are recorded from: the threads themselves wait for nothing.
    pub runtime: Handle,
    /// Where the metrics are registered.
    pub registry: Registry,
    /// Whether there are threads for it, or it is done by [`Submit::make_next`].
    pub place: Place,
    /// Takes what is spooled; called on a signing thread, must not wait.
    pub ready: Box<dyn Fn(Ready) + Send + Sync>,
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Why the signing threads did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A metric of that name is there already.
    #[error("registering the metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The system makes no thread.
    #[error("starting a signing thread: {0}")]
    Thread(#[from] io::Error),
}

/// The signing threads.
#[derive(Debug)]
pub struct Submit {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// What makes mails where there are no threads for it.
    called: Option<Mutex<Composer>>,
}

struct Shared {
    queue: Queue<Mail>,
    store: Store,
    runtime: Handle,
    metrics: Metrics,
    ready: Box<dyn Fn(Ready) + Send + Sync>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Submit {
    /// Starts the threads, named `mta-sign-0` and so on.
    pub fn start(deps: Deps) -> Result<Self, StartError> {
        let keys = Arc::new(DkimKeys::new(
            deps.store.secrets().clone(),
            deps.settings.selectors.clone(),
        ));
        let settings = Arc::new(deps.settings);
        let shared = Arc::new(Shared {
            queue: Queue::new(),
            store: deps.store,
            runtime: deps.runtime,
            metrics: Metrics::register(&deps.registry)?,
            ready: deps.ready,
        });
        let composer = || {
            Composer::new(
                Arc::clone(&settings),
                Arc::clone(&deps.tokens),
                Arc::clone(&deps.verp),
                Arc::clone(&keys),
            )
        };
        if deps.place == Place::Caller {
            return Ok(Self {
                shared,
                threads: Mutex::default(),
                called: Some(Mutex::new(composer())),
            });
        }
        let threads = (0..settings.threads.get())
            .map(|number| {
                let composer = composer();
                let shared = Arc::clone(&shared);
                thread::Builder::new()
                    .name(format!("mta-sign-{number}"))
                    // Shops' templates run here.
                    .stack_size(policy::STACK_BYTES)
                    .spawn(move || shared.run(composer))
            })
            .collect::<io::Result<_>>();
        match threads {
            Ok(threads) => Ok(Self {
                shared,
                threads: Mutex::new(threads),
                called: None,
            }),
            Err(error) => {
                shared.queue.close();
                Err(error.into())
            }
        }
    }

    /// Takes a mail to be made: orders' mails first, then messages, then what is of our own making, and within each the
    /// shops by turns. Never waits: the mail's admission bounds how many are here.
    ///
    /// After [`Submit::close`] the mail is dropped: its decision is in the journal, and the next start makes it.
    pub fn submit(&self, mail: Mail) {
        self.shared.metrics.queued.inc();
        if self.shared.queue.push(lane(&mail), mail.shop, mail).is_err() {
            self.shared.metrics.queued.dec();
        }
    }

    /// Makes the next mail that waits, where there are no threads for it. False if none waits.
    pub fn make_next(&self) -> bool {
        let Some(composer) = &self.called else { return false };
        let Some((turn, mail)) = self.shared.queue.try_pop() else {
            return false;
        };
        let mut composer = composer.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.finish(&mut composer, mail);
        // One costs as much as any other: what it really took is not the same each time.
        self.shared.queue.done(turn, Duration::from_millis(1));
        true
    }

    /// Returns whether mails are made by [`Submit::make_next`] alone.
    pub(crate) const fn is_called(&self) -> bool {
        self.called.is_some()
    }

    /// Lets nothing more in, and waits until what is there is made. Blocks; call it before the store is closed.
    pub fn close(&self) {
        self.shared.queue.close();
        while self.make_next() {}
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a signing thread had panicked");
            }
        }
    }
}

impl Drop for Submit {
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

impl Shared {
    fn run(&self, mut composer: Composer) {
        while let Some((turn, mail)) = self.queue.pop() {
            // Shops are charged for this time: the clock is tokio's, which a simulation can stop.
            let taken = tokio::time::Instant::now();
            self.finish(&mut composer, mail);
            self.queue.done(turn, taken.elapsed());
        }
    }

    /// Makes a mail and spools it, or tells why not.
    fn finish(&self, composer: &mut Composer, mail: Mail) {
        self.metrics.queued.dec();
        // A mail that breaks the renderer must not take the thread, and with it everybody's mail.
        let made = catch_unwind(AssertUnwindSafe(|| self.make(composer, &mail)));
        match made {
            Ok(Ok(signed)) => self.spool(mail, signed),
            Ok(Err(error)) => self.fail(&mail, cause(&error), &error.to_string()),
            Err(_) => {
                composer.forget();
                self.fail(&mail, "panic", "the renderer panicked");
            }
        }
    }

    fn make(&self, composer: &mut Composer, mail: &Mail) -> Result<SignedMessage, ComposeError> {
        let timer = self.metrics.render_seconds.start_timer();
        composer.render(mail)?;
        timer.observe_duration();
        let timer = self.metrics.sign_seconds.start_timer();
        let signed = composer.sign(mail)?;
        timer.observe_duration();
        Ok(signed)
    }

    fn spool(&self, mail: Mail, signed: SignedMessage) {
        let spooled = Spooled {
            message: mail.plan.message,
            partition: mail.partition,
            reverse_path: Some(signed.reverse_path),
            recipient: signed.recipient,
            bytes: signed.bytes,
        };
        if self.store.spool().append(&spooled).is_err() {
            // The node is going down. The decision is in the journal: the next start makes the mail again.
            tracing::debug!(mail = ?spooled.message, "not spooled: the store is closed");
            return;
        }
        let ready = Ready {
            message: spooled.message,
            partition: spooled.partition,
            recipient_domain: spooled.recipient.domain().to_owned(),
            reverse_path: spooled.reverse_path,
            recipient: spooled.recipient,
            bytes: spooled.bytes,
            stream: mail.plan.stream,
            expires: mail.plan.expires,
            accepted_at: mail.accepted_at,
            attempts: 0,
            doubted: mail.doubted,
        };
        drop(mail.admission);
        (self.ready)(ready);
    }

    /// Ends the mail's life: what its plan names will not be there next time either.
    fn fail(&self, mail: &Mail, cause: &'static str, detail: &str) {
        self.metrics.failures.with_label_values(&[cause]).inc();
        tracing::error!(mail = ?mail.plan.message, shop = mail.shop.0, detail, "mail not made");
        let reply: String = detail
            .chars()
            .map(|c| if matches!(c, ' '..='~') { c } else { '?' })
            .take(512)
            .collect();
        let ended = AttemptEnded {
            message: mail.plan.message,
            attempt: Attempt(0),
            outcome: Outcome::Failed {
                class: FailureClass::Internal,
            },
            reply: Line::try_from(reply).unwrap_or_default(),
            peer: Line::default(),
            tls: None,
        };
        let (store, partition) = (self.store.clone(), mail.partition);
        let told = self.runtime.block_on(async move {
            let event = Event::AttemptEnded(Box::new(ended));
            store.intake().tell(partition, event).await
        });
        if let Err(error) = told {
            // The next start makes the mail again, and fails again.
            tracing::warn!(mail = ?mail.plan.message, %error, "the failure was not recorded");
        }
    }
}

/// Returns where a mail waits.
const fn lane(mail: &Mail) -> Lane {
    match (&mail.origin, &mail.request) {
        (Some(_), _) => Lane::Own,
        (None, Request::Order(_)) => Lane::Orders,
        (None, Request::Message(_)) => Lane::Messages,
    }
}

const fn cause(error: &ComposeError) -> &'static str {
    match error {
        ComposeError::NoShop | ComposeError::NoSender(_) | ComposeError::NoCreative(..) => "catalogue",
        ComposeError::NoTemplate(_) | ComposeError::Template(_) => "template",
        ComposeError::Key(_) | ComposeError::ReturnPath(_) => "key",
    }
}
