//! Where mail goes, by real DNS packets from a small server in this process.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, MX};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use mta::Settings;
use tokio::net::UdpSocket;
use types::event::{FailureClass, Outcome};
use types::id::MessageId;
use types::port::Queues;
use types::time::Clock;

use crate::server::{Do, Receiver};
use crate::support::Engine;

/// What the server says of a name.
#[derive(Clone)]
enum Says {
    Records(Vec<RData>),
    Code(ResponseCode),
    Nothing,
    Slowly(Vec<RData>),
}

struct Dns {
    address: SocketAddr,
    names: Arc<Mutex<HashMap<(String, RecordType), Says>>>,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
}

fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, Name::from_ascii(host).unwrap()))
}

fn a(address: [u8; 4]) -> RData {
    RData::A(A(Ipv4Addr::from(address)))
}

impl Dns {
    async fn start(names: impl IntoIterator<Item = (&str, RecordType, Says)>) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let dns = Self {
            address: socket.local_addr().unwrap(),
            names: Arc::new(Mutex::new(
                names
                    .into_iter()
                    .map(|(name, kind, says)| ((name.to_owned(), kind), says))
                    .collect(),
            )),
            asked: Arc::default(),
        };
        let (names, asked) = (Arc::clone(&dns.names), Arc::clone(&dns.asked));
        tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                let Ok(query) = Message::from_vec(&buffer[..count]) else {
                    continue;
                };
                let question = query.queries[0].clone();
                let name = question.name().to_ascii().trim_end_matches('.').to_lowercase();
                let key = (name, question.query_type());
                asked.lock().unwrap().push(key.clone());
                let says = names
                    .lock()
                    .unwrap()
                    .get(&key)
                    .cloned()
                    .unwrap_or(Says::Records(Vec::new()));
                let mut answer = Message::response(query.metadata.id, OpCode::Query);
                answer.metadata.recursion_available = true;
                answer.add_query(question.clone());
                let slow = matches!(says, Says::Slowly(_));
                match says {
                    Says::Nothing => continue,
                    Says::Code(code) => answer.metadata.response_code = code,
                    Says::Records(records) | Says::Slowly(records) => {
                        for data in records {
                            answer.add_answer(Record::from_rdata(question.name().clone(), 300, data));
                        }
                    }
                }
                let (socket, bytes) = (Arc::clone(&socket), answer.to_vec().unwrap());
                tokio::spawn(async move {
                    if slow {
                        tokio::time::sleep(Duration::from_millis(700)).await;
                    }
                    socket.send_to(&bytes, from).await.ok();
                });
            }
        });
        dns
    }

    fn settings(&self, port: u16) -> Settings {
        Settings {
            nameserver: Some(self.address),
            smtp_port: port,
            allow_private_destinations: true,
            ..Settings::default()
        }
    }

    fn set(&self, name: &str, kind: RecordType, says: Says) {
        self.names.lock().unwrap().insert((name.to_owned(), kind), says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_best_exchanger_is_used_and_the_next_when_it_is_dead() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let dns = Dns::start([
        (
            "dest.example",
            RecordType::MX,
            Says::Records(vec![mx(20, "mx2.dest.example."), mx(10, "mx1.dest.example.")]),
        ),
        // Nothing listens there.
        (
            "mx1.dest.example",
            RecordType::A,
            Says::Records(vec![a([127, 0, 0, 9])]),
        ),
        (
            "mx2.dest.example",
            RecordType::A,
            Says::Records(vec![a([127, 0, 0, 1])]),
        ),
    ])
    .await;
    let mut engine = Engine::start(Settings {
        messages_per_connection_max: 1,
        ..dns.settings(receiver.address.port())
    });
    for id in 1..=3 {
        engine.send(engine.mail(id, "r@dest.example"));
        let ended = engine.end().await;
        assert_eq!(ended.outcome, Outcome::Delivered, "{ended:?}");
        assert_eq!(&*ended.peer, "mx2.dest.example [127.0.0.1]");
    }
    assert_eq!(
        engine.metric("mta_connects_total", "refused"),
        1.0,
        "the dead host was remembered"
    );
    assert_eq!(engine.delivery.sites(9)[0].site, "mx1.dest.example,mx2.dest.example");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn domains_with_the_same_exchangers_share_a_site() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let exchanger = || Says::Records(vec![mx(10, "mx.host.example.")]);
    let dns = Dns::start([
        ("one.example", RecordType::MX, exchanger()),
        ("two.example", RecordType::MX, exchanger()),
        ("mx.host.example", RecordType::A, Says::Records(vec![a([127, 0, 0, 1])])),
    ])
    .await;
    let mut engine = Engine::start(dns.settings(receiver.address.port()));
    for (id, recipient) in [(1, "r@one.example"), (2, "r@two.example"), (3, "r@one.example")] {
        engine.send(engine.mail(id, recipient));
        assert_eq!(engine.end().await.outcome, Outcome::Delivered);
    }
    assert_eq!(engine.delivery.sites(9).len(), 1);
    assert_eq!(receiver.connections(), 1);
    let routes = dns
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, kind)| *kind == RecordType::MX)
        .count();
    assert_eq!(routes, 2, "a route is asked for once while it is believed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_without_mx_is_its_own_exchanger() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let dns = Dns::start([("dest.example", RecordType::A, Says::Records(vec![a([127, 0, 0, 1])]))]).await;
    let mut engine = Engine::start(dns.settings(receiver.address.port()));
    engine.send(engine.mail(1, "r@dest.example"));
    assert_eq!(engine.end().await.outcome, Outcome::Delivered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_null_mx_is_final_at_once() {
    let dns = Dns::start([("dest.example", RecordType::MX, Says::Records(vec![mx(0, ".")]))]).await;
    let mut engine = Engine::start(dns.settings(1));
    engine.send(engine.mail(1, "r@dest.example"));
    engine.send(engine.mail(2, "r@dest.example"));
    for _ in 0..2 {
        let ended = engine.end().await;
        assert_eq!(
            ended.outcome,
            Outcome::Failed {
                class: FailureClass::BadDomain
            }
        );
        assert!(ended.reply.contains("null MX"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_domain_is_believed_the_second_time() {
    let missing = |kind| ("dest.example", kind, Says::Code(ResponseCode::NXDomain));
    let dns = Dns::start([
        missing(RecordType::MX),
        missing(RecordType::A),
        missing(RecordType::AAAA),
    ])
    .await;
    let mut engine = Engine::start(dns.settings(1));
    engine.send(engine.mail(1, "r@dest.example"));
    let ended = engine.end().await;
    let Outcome::Deferred {
        until,
        class: FailureClass::Dns,
    } = ended.outcome
    else {
        panic!("{ended:?}")
    };
    assert!(until.since(engine.clock.now()) > Duration::from_mins(14));
    assert!(
        engine
            .delivery
            .waiting(MessageId::from_raw(1))
            .unwrap()
            .contains("does not exist")
    );
    engine.clock.advance(Duration::from_mins(16));
    assert_eq!(
        engine.end().await.outcome,
        Outcome::Failed {
            class: FailureClass::BadDomain
        }
    );
    let asked = dns
        .asked
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, kind)| *kind == RecordType::MX)
        .count();
    assert_eq!(asked, 2, "the second answer came from DNS, not from memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servfail_and_silence_defer_and_never_bounce() {
    let receiver = Receiver::start(|_| Do::Go).await;
    let dns = Dns::start([
        ("dest.example", RecordType::MX, Says::Code(ResponseCode::ServFail)),
        ("mx.dest.example", RecordType::A, Says::Records(vec![a([127, 0, 0, 1])])),
        ("silent.example", RecordType::MX, Says::Nothing),
    ])
    .await;
    let mut engine = Engine::start(dns.settings(receiver.address.port()));
    engine.send(engine.mail(1, "r@dest.example"));
    for _ in 0..3 {
        let ended = engine.end().await;
        assert!(
            matches!(
                ended.outcome,
                Outcome::Deferred {
                    class: FailureClass::Dns,
                    ..
                }
            ),
            "{ended:?}"
        );
        assert_eq!(ended.attempt.0, 0);
        engine.clock.advance(Duration::from_mins(20));
    }
    dns.set(
        "dest.example",
        RecordType::MX,
        Says::Slowly(vec![mx(10, "mx.dest.example.")]),
    );
    assert_eq!(
        engine.terminal().await.outcome,
        Outcome::Delivered,
        "slow, but an answer"
    );
    engine.send(engine.mail(2, "r@silent.example"));
    let ended = engine.end().await;
    assert!(
        matches!(
            ended.outcome,
            Outcome::Deferred {
                class: FailureClass::Dns,
                ..
            }
        ),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchangers_inside_are_never_connected_to() {
    let receiver = Receiver::start(|_| Do::Go).await;
    for inside in [
        [127, 0, 0, 1],
        [10, 0, 0, 1],
        [169, 254, 169, 254],
        [192, 168, 0, 1],
        [100, 64, 0, 1],
    ] {
        let dns = Dns::start([
            (
                "dest.example",
                RecordType::MX,
                Says::Records(vec![mx(10, "mx.dest.example.")]),
            ),
            ("mx.dest.example", RecordType::A, Says::Records(vec![a(inside)])),
        ])
        .await;
        let settings = Settings {
            allow_private_destinations: false,
            ..dns.settings(receiver.address.port())
        };
        let mut engine = Engine::start(settings);
        engine.send(engine.mail(1, "r@dest.example"));
        let ended = engine.end().await;
        assert_eq!(
            ended.outcome,
            Outcome::Failed {
                class: FailureClass::ForbiddenAddress
            },
            "{inside:?}"
        );
        assert_eq!(engine.metric("mta_connects_total", "ok"), 0.0);
    }
    assert_eq!(receiver.connections(), 0);
}
