//! A name server on loopback that leads each provider's domains to its hosts here.
//!
//! MX answers with the names of the provider's real exchangers, by which a sender knows whom it deals with, and A with the address
//! at which the sink plays that provider. A domain of nobody is a small one with a host of its own name. UDP and TCP.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::rdata::{A, MX};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use types::provider::Provider;

use super::profile::Profile;

/// How long resolvers may keep an answer.
const TTL_SECONDS: u32 = 300;

/// What it knows.
pub(super) struct Names {
    /// Places in [`Provider::ALL`], by domain.
    providers: HashMap<String, usize>,
    /// By place.
    exchangers: Vec<Vec<String>>,
}

/// Returns the address at which a provider is played, by its place in [`Provider::ALL`].
pub(super) fn address(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(place + 1).unwrap_or(u8::MAX))
}

impl Names {
    /// Knows the domains of profiles, which are in the order of [`Provider::ALL`].
    pub(super) fn new(profiles: &[Profile]) -> Self {
        let domains = profiles.iter().enumerate();
        Self {
            providers: domains
                .flat_map(|(place, profile)| profile.domains.iter().map(move |domain| (domain.clone(), place)))
                .collect(),
            exchangers: profiles.iter().map(|profile| profile.exchangers.clone()).collect(),
        }
    }

    /// Returns the names of the exchangers of a domain in lower case, the best first.
    fn exchangers(&self, domain: &str) -> Vec<String> {
        let others = self.exchangers.len().saturating_sub(1);
        let place = self.providers.get(domain).copied().unwrap_or(others);
        let names = self.exchangers.get(place).into_iter().flatten();
        names
            .map(|name| {
                name.replace("{domain}", domain)
                    .replace("{dashed}", &domain.replace('.', "-"))
            })
            .collect()
    }

    fn answer(&self, query: Message) -> Option<Vec<u8>> {
        let question = query.queries.first()?.clone();
        let name = question.name().to_ascii().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        let mut response = query.into_response();
        response.metadata.message_type = MessageType::Response;
        response.metadata.authoritative = true;
        response.metadata.recursion_available = true;
        let mut add = |data| {
            response.add_answer(Record::from_rdata(question.name().clone(), TTL_SECONDS, data));
        };
        match question.query_type() {
            RecordType::MX => {
                for (place, host) in (1_u16..).zip(self.exchangers(name)) {
                    add(RData::MX(MX::new(
                        place * 5,
                        Name::from_ascii(format!("{host}.")).ok()?,
                    )));
                }
            }
            RecordType::A => {
                let place = usize::from(Provider::of_host(name).number());
                add(RData::A(A(address(place))));
            }
            // Nothing else is published.
            _ => {}
        }
        response.to_vec().ok()
    }
}

/// Listens at `address`, UDP and TCP, and returns where.
pub(super) async fn listen(address: SocketAddr) -> std::io::Result<(SocketAddr, UdpSocket, TcpListener)> {
    let tcp = TcpListener::bind(address).await?;
    let address = tcp.local_addr()?;
    Ok((address, UdpSocket::bind(address).await?, tcp))
}

/// Answers until it is dropped.
pub(super) async fn serve(udp: UdpSocket, tcp: TcpListener, names: Arc<Names>) {
    let over_tcp = async {
        let mut connections = JoinSet::new();
        loop {
            let Ok((stream, _)) = tcp.accept().await else { continue };
            let names = Arc::clone(&names);
            // A resolver that hangs up ends its connection, nothing else.
            connections.spawn(async move { converse(stream, &names).await });
            while connections.try_join_next().is_some() {}
        }
    };
    let over_udp = async {
        // No query is longer: it holds one name.
        let mut buffer = [0; 1500];
        loop {
            let Ok((length, peer)) = udp.recv_from(&mut buffer).await else {
                continue;
            };
            let query = buffer.get(..length).and_then(|bytes| Message::from_vec(bytes).ok());
            if let Some(answer) = query.and_then(|query| names.answer(query)) {
                // A resolver that went away misses its answer, as on any network.
                let _ = udp.send_to(&answer, peer).await;
            }
        }
    };
    tokio::join!(over_tcp, over_udp);
}

/// Answers queries with their two-byte length prefix (RFC 1035 §4.2.2) until the peer closes.
async fn converse(mut stream: TcpStream, names: &Names) -> anyhow::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await?;
        let Some(answer) = names.answer(Message::from_vec(&bytes)?) else {
            return Ok(());
        };
        stream.write_u16(u16::try_from(answer.len())?).await?;
        stream.write_all(&answer).await?;
    }
}
