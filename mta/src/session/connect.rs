//! Getting a session: exchangers in order of preference, addresses, TCP, greeting, EHLO, STARTTLS.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use policy::reply::At;
use rustls::pki_types::ServerName;
use smtp::client::{self, Closing, Envelopes, Event, Step, Tls};
use tokio::time::timeout;
use types::event::FailureClass;

use super::link::{Conn, Link};
use super::outcome;
use crate::address::is_forbidden;
use crate::chance::Chance;
use crate::queue::Target;
use crate::shared::Shared;
use crate::world::Socket;

/// How many addresses of one site are tried for one session.
const ADDRESSES_MAX: usize = 8;
/// How long a TLS handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// No session could be had at any host.
#[derive(Debug)]
pub(super) struct OpenFault {
    pub(super) class: FailureClass,
    pub(super) why: String,
    /// The least time that the site should be left alone.
    pub(super) wait: Duration,
}

impl OpenFault {
    pub(super) fn new(class: FailureClass, why: impl Into<String>) -> Self {
        Self {
            class,
            why: why.into(),
            wait: Duration::ZERO,
        }
    }

    pub(super) fn aborted() -> Self {
        Self::new(FailureClass::Network, "the service stops")
    }
}

/// Opens a session at the first host that gives one.
pub(super) async fn open(shared: &Arc<Shared>, target: &Target) -> Result<Link, OpenFault> {
    let (hosts, port, fixed) = match target {
        Target::Fixed(host, port) => (vec![host.clone()], *port, true),
        Target::Exchangers(hosts) => (by_preference(hosts, &shared.chance), shared.settings.smtp_port, false),
    };
    let allowed = fixed || shared.settings.allow_private_destinations;
    let now = shared.now();
    let alive: Vec<String> = hosts
        .iter()
        .filter(|host| !shared.hosts.is_dead(host, now))
        .cloned()
        .collect();
    // If all were found dead lately, they are all tried: there is nothing to lose.
    let hosts = if alive.is_empty() { hosts } else { alive };
    let mut fault = OpenFault::new(FailureClass::Network, "no host to connect to");
    let mut forbidden = 0;
    let mut tried = 0;
    for host in &hosts {
        let addresses = match shared.resolver.addresses(host, port, shared.chance.draw()).await {
            Ok(addresses) => addresses,
            Err(cause) => {
                fault = OpenFault::new(FailureClass::Dns, format!("{host}: {cause}"));
                continue;
            }
        };
        let outside: Vec<SocketAddr> = addresses
            .iter()
            .copied()
            .filter(|a| allowed || !is_forbidden(a.ip()))
            .collect();
        if outside.is_empty() {
            shared.metrics.connects.with_label_values(&["forbidden"]).inc();
            forbidden += 1;
            continue;
        }
        for address in outside {
            if tried == ADDRESSES_MAX {
                return Err(fault);
            }
            tried += 1;
            match at(shared, host, address).await {
                Ok(link) => return Ok(link),
                Err(cause) => fault = cause,
            }
        }
        if fault.class == FailureClass::Network {
            shared
                .hosts
                .failed(host, shared.now(), shared.settings.dead_host_memory);
        }
    }
    if forbidden == hosts.len() {
        let why = format!("{} has only addresses that are never connected to", hosts.join(", "));
        return Err(OpenFault::new(FailureClass::ForbiddenAddress, why));
    }
    Err(fault)
}

/// Orders hosts by preference, equals in random order (RFC 5321 §5.1).
fn by_preference(hosts: &[(u16, String)], chance: &Chance) -> Vec<String> {
    let mut order: Vec<(u16, u32, &String)> = hosts
        .iter()
        .map(|(preference, host)| (*preference, chance.draw(), host))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, host)| host.clone()).collect()
}

/// Opens a session at one address; once more in the clear if TLS fails.
async fn at(shared: &Arc<Shared>, host: &str, address: SocketAddr) -> Result<Link, OpenFault> {
    let plain = shared.hosts.is_plain(host, shared.now());
    if plain {
        shared.metrics.tls.with_label_values(&["skipped"]).inc();
    }
    match establish(
        shared,
        host,
        address,
        if plain { Tls::Never } else { Tls::Opportunistic },
    )
    .await
    {
        Err(fault) if fault.class == FailureClass::Tls => {
            tracing::info!(host, why = %fault.why, "TLS failed; going on in the clear");
            shared.metrics.tls.with_label_values(&["failed"]).inc();
            shared
                .hosts
                .tls_failed(host, shared.now(), shared.settings.tls_failure_memory);
            establish(shared, host, address, Tls::Never).await
        }
        other => other,
    }
}

async fn establish(shared: &Arc<Shared>, host: &str, address: SocketAddr, tls: Tls) -> Result<Link, OpenFault> {
    let stream = connect(shared, host, address).await?;
    let settings = client::Settings {
        helo: shared.settings.helo.clone(),
        tls,
        timeouts: shared.settings.timeouts,
        envelopes: if shared.hosts.is_in_turn(host, shared.now()) {
            Envelopes::InTurn
        } else {
            Envelopes::Ahead
        },
    };
    let mut link = Link::new(settings, stream, host, address.ip());
    loop {
        while let Some(event) = link.client.poll_event() {
            match event {
                Event::StartTls => handshake(shared, host, &mut link).await,
                Event::Ready(_) => {
                    if tls == Tls::Opportunistic {
                        let result = if matches!(link.conn, Conn::Tls(_)) {
                            "ok"
                        } else {
                            "not_offered"
                        };
                        shared.metrics.tls.with_label_values(&[result]).inc();
                    }
                    shared.hosts.answered(host);
                    return Ok(link);
                }
                Event::Closed(closing) => return Err(refused(&link.peer, &closing)),
                Event::Ended { .. } | Event::AheadRefused(_) => {}
            }
        }
        poll_fn(|cx| link.poll(cx, None)).await;
    }
}

async fn connect(shared: &Arc<Shared>, host: &str, address: SocketAddr) -> Result<Box<dyn Socket>, OpenFault> {
    let limit = if shared.hosts.is_known(host) {
        shared.settings.connect_timeout_known
    } else {
        shared.settings.connect_timeout
    };
    let (result, connected) = match timeout(limit, shared.world.net.connect(address)).await {
        Err(_) => (
            "timeout",
            Err(format!(
                "connecting to {host} [{}] timed out after {limit:?}",
                address.ip()
            )),
        ),
        Ok(Err(cause)) => {
            let refused = cause.kind() == std::io::ErrorKind::ConnectionRefused;
            let result = if refused { "refused" } else { "other" };
            (result, Err(format!("connecting to {host} [{}]: {cause}", address.ip())))
        }
        Ok(Ok(stream)) => ("ok", Ok(stream)),
    };
    shared.metrics.connects.with_label_values(&[result]).inc();
    connected.map_err(|why| OpenFault::new(FailureClass::Network, why))
}

async fn handshake(shared: &Arc<Shared>, host: &str, link: &mut Link) {
    let Conn::Plain(stream) = std::mem::replace(&mut link.conn, Conn::Gone) else {
        return;
    };
    let name = ServerName::try_from(host.to_owned())
        .unwrap_or(ServerName::IpAddress(std::net::IpAddr::from([0, 0, 0, 0]).into()));
    match timeout(HANDSHAKE_LIMIT, shared.tls.connect(name, stream)).await {
        Ok(Ok(stream)) => {
            link.conn = Conn::Tls(Box::new(stream));
            link.client.tls_established(tokio::time::Instant::now().into_std());
        }
        Ok(Err(cause)) => link.client.tls_failed(&cause.to_string()),
        Err(_) => link.client.tls_failed("the handshake timed out"),
    }
}

/// Says what a session that was not established means.
fn refused(peer: &str, closing: &Closing) -> OpenFault {
    let why = format!("{peer}: {closing}");
    match closing {
        Closing::Refused { at, reply } => {
            let at = if *at == Step::Greeting { At::Connect } else { At::Hello };
            let verdict = policy::reply::classify(&outcome::refused(at, reply));
            OpenFault {
                class: verdict.class,
                why,
                wait: verdict.wait.unwrap_or_default(),
            }
        }
        Closing::Closed { at: Step::StartTls } | Closing::Timeout { at: Step::StartTls } | Closing::Tls(_) => {
            OpenFault::new(FailureClass::Tls, why)
        }
        Closing::Protocol { .. } => OpenFault::new(FailureClass::Protocol, why),
        Closing::Closed { .. } | Closing::Timeout { .. } | Closing::Quit | Closing::Aborted => {
            OpenFault::new(FailureClass::Network, why)
        }
    }
}
