//! A DNS server for one process: authoritative for what it is told, NXDOMAIN for the rest; UDP and TCP on loopback.
//!
//! The demo and the tests resolve against it, so that real packets are parsed and nothing leaves the machine.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, MX, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// How long resolvers may keep an answer.
const TTL_SECONDS: u32 = 60;
/// The largest UDP answer that all resolvers take without fragments (RFC 6891 §6.2.5, DNS flag day 2020).
const UDP_BYTES_MAX: usize = 1232;

/// What a name answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Mail exchangers: preference and host; `(0, ".")` is the null MX of RFC 7505.
    Mx(Vec<(u16, String)>),
    /// Addresses.
    A(Vec<Ipv4Addr>),
    /// One text record, split into strings of 255 bytes.
    Txt(String),
    /// The server fails.
    ServFail,
    /// The server never answers.
    Silent,
    /// The answer comes after a wait.
    Slow(Duration, Box<Answer>),
}

/// The names that the server knows; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Zone(Arc<RwLock<HashMap<String, Vec<Answer>>>>);

impl Zone {
    /// Adds an answer to a name.
    pub fn add(&self, name: &str, answer: Answer) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name.to_ascii_lowercase())
            .or_default()
            .push(answer);
    }

    /// Forgets all answers of a name.
    pub fn clear(&self, name: &str) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&name.to_ascii_lowercase());
    }

    fn answers(&self, name: &str) -> Option<Vec<Answer>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name.trim_end_matches('.'))
            .cloned()
    }
}

/// A running server; dropped, it stops.
#[derive(Debug)]
pub struct DnsServer {
    /// Where it listens, UDP and TCP.
    pub address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl DnsServer {
    /// Listens on an ephemeral loopback port and answers from `zone`.
    pub async fn start(zone: Zone) -> anyhow::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = tcp.local_addr()?;
        let udp = Arc::new(UdpSocket::bind(address).await?);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, zone.clone()));
        tasks.spawn(serve_tcp(tcp, zone));
        Ok(Self { address, _tasks: tasks })
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, zone: Zone) {
    let mut buffer = [0; 4096];
    let mut answering = JoinSet::new();
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Some(query) = buffer.get(..length).and_then(|bytes| Message::from_vec(bytes).ok()) else {
            continue;
        };
        let (socket, zone) = (Arc::clone(&socket), zone.clone());
        answering.spawn(async move {
            let Some(mut answer) = respond(query, &zone).await else {
                return;
            };
            let Ok(mut bytes) = answer.to_vec() else { return };
            if bytes.len() > UDP_BYTES_MAX {
                answer.answers.clear();
                answer.metadata.truncation = true;
                let Ok(truncated) = answer.to_vec() else { return };
                bytes = truncated;
            }
            // A resolver that went away misses its answer, as on any network.
            let _ = socket.send_to(&bytes, peer).await;
        });
        while answering.try_join_next().is_some() {}
    }
}

async fn serve_tcp(listener: TcpListener, zone: Zone) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let zone = zone.clone();
        connections.spawn(async move {
            // A resolver that hangs up ends its connection, nothing else.
            let _ = converse(stream, &zone).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers queries with their two-byte length prefix (RFC 1035 §4.2.2) until the peer closes.
async fn converse(mut stream: TcpStream, zone: &Zone) -> anyhow::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await?;
        let Some(answer) = respond(Message::from_vec(&bytes)?, zone).await else {
            return Ok(());
        };
        let bytes = answer.to_vec()?;
        stream.write_u16(u16::try_from(bytes.len())?).await?;
        stream.write_all(&bytes).await?;
    }
}

/// Returns the answer, or `None` where the server stays silent.
async fn respond(query: Message, zone: &Zone) -> Option<Message> {
    let question: Query = query.queries.first()?.clone();
    let mut response = query.into_response();
    response.metadata.message_type = MessageType::Response;
    response.metadata.authoritative = true;
    response.metadata.recursion_available = true;
    let Some(answers) = zone.answers(&question.name().to_ascii().to_ascii_lowercase()) else {
        response.metadata.response_code = ResponseCode::NXDomain;
        return Some(response);
    };
    for mut answer in answers {
        if let Answer::Slow(wait, late) = answer {
            tokio::time::sleep(wait).await;
            answer = *late;
        }
        match answer {
            Answer::Silent => return None,
            Answer::ServFail => response.metadata.response_code = ResponseCode::ServFail,
            answer => {
                for data in records(&answer, question.query_type()) {
                    response.add_answer(Record::from_rdata(question.name().clone(), TTL_SECONDS, data));
                }
            }
        }
    }
    Some(response)
}

/// Returns the record data that an answer holds for one type.
fn records(answer: &Answer, asked: RecordType) -> Vec<RData> {
    match (answer, asked) {
        (Answer::Mx(hosts), RecordType::MX) => hosts
            .iter()
            .filter_map(|(preference, host)| {
                Some(RData::MX(MX::new(
                    *preference,
                    Name::from_ascii(format!("{}.", host.trim_end_matches('.'))).ok()?,
                )))
            })
            .collect(),
        (Answer::A(addresses), RecordType::A) => addresses.iter().map(|address| RData::A(A(*address))).collect(),
        (Answer::Txt(text), RecordType::TXT) => {
            let strings = text
                .as_bytes()
                .chunks(255)
                .map(|chunk| String::from_utf8_lossy(chunk).into_owned())
                .collect();
            vec![RData::TXT(TXT::new(strings))]
        }
        _ => Vec::new(),
    }
}
