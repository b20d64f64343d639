//! The hosts that a sink plays: one that takes everything, or one for each provider and the name server before them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use types::provider::Provider;

use super::Listen;
use super::conduct::Site;
use super::intake::Intake;
use super::names::{self, Names};
use super::profile::Profile;
use super::session;
use crate::service::Route;

/// How many free ports are tried until one is free at every address.
const PORTS_TRIED: u32 = 50;

/// Listens as one host.
pub(super) async fn plain(address: SocketAddr, intake: &Arc<Intake>) -> anyhow::Result<(JoinSet<()>, Route)> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listening on {address}"))?;
    let route = Route::Host(listener.local_addr()?);
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, None, Arc::clone(intake)));
    Ok((tasks, route))
}

/// Listens as every provider, each at an address of its own and all at one port, and for names.
pub(super) async fn providers(
    profiles: Vec<Profile>,
    seed: u64,
    listen: Listen,
    intake: &Arc<Intake>,
) -> anyhow::Result<(JoinSet<()>, Route)> {
    let (listeners, smtp_port) = listeners(listen.mail.port()).await?;
    let (nameserver, udp, tcp) = again(|| names::listen(listen.names))
        .await
        .context("listening for names")?;
    let mut tasks = JoinSet::new();
    tasks.spawn(names::serve(udp, tcp, Arc::new(Names::new(&profiles))));
    let started = Instant::now();
    for ((provider, profile), listener) in Provider::ALL.into_iter().zip(profiles).zip(listeners) {
        let site = Site::new(provider.as_str(), profile, seed, started);
        tasks.spawn(serve(listener, Some(Arc::new(site)), Arc::clone(intake)));
    }
    Ok((tasks, Route::Exchangers { nameserver, smtp_port }))
}

async fn listeners(port: u16) -> anyhow::Result<(Vec<TcpListener>, u16)> {
    again(async || {
        let mut port = port;
        let mut listeners = Vec::new();
        for place in 0..Provider::ALL.len() {
            let listener = TcpListener::bind((names::address(place), port)).await?;
            port = listener.local_addr()?.port();
            listeners.push(listener);
        }
        Ok((listeners, port))
    })
    .await
    .context("listening at 127.0.1.1 and the addresses behind it")
}

/// Tries again while a port that is free at one address is taken at another.
async fn again<T>(listen: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
    let mut tried = 1;
    loop {
        match listen().await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < PORTS_TRIED => tried += 1,
            other => return other,
        }
    }
}

async fn serve(listener: TcpListener, site: Option<Arc<Site>>, intake: Arc<Intake>) {
    let mut sessions = JoinSet::new();
    loop {
        // What cannot be accepted now, for want of files, may be later.
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (site, intake) = (site.clone(), Arc::clone(&intake));
        let client: IpAddr = peer.ip();
        sessions.spawn(async move {
            let _ = stream.set_nodelay(true);
            // A client that goes away in the middle, or is killed, ends its session and nothing else.
            let _ = session::converse(stream, client, site.as_deref(), &intake).await;
        });
        while sessions.try_join_next().is_some() {}
    }
}
