//! The sink before senders that we did not write for it: Postfix's smtp-source, Python's smtplib, and the service itself.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::*;
use crate::generate::{self, Target};
use crate::ledger::Kind;
use crate::process;
use crate::scenario::Scenario;
use crate::service::{Setup, Staffetta};

fn address(sink: &Sink) -> String {
    match sink.route() {
        Route::Host(address) => address.to_string(),
        Route::Exchangers { .. } => panic!("{:?}", sink.route()),
    }
}

#[test]
fn smtp_sources_mails_arrive_as_they_were() {
    let program = process::installed("smtp-source").expect("the package postfix brings smtp-source");
    let books = books();
    let sink = Sink::start(&Settings::default(), books.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mail");
    // It writes CRLF for LF, stuffs dots, and ends each mail with an empty line of its own.
    let mail = String::from_utf8(digested(b".\r\n..dots\r\nend\r\n\r\n")).unwrap();
    let mail = mail.strip_suffix("\r\n").unwrap().replace("\r\n", "\n");
    std::fs::write(&file, mail).unwrap();
    for kept in [&["-d"][..], &[]] {
        let sent = Command::new(&program)
            .args(["-s", "5", "-m", "50", "-f", "a@shop.test", "-t", "o1@x.test", "-F"])
            .arg(&file)
            .args(kept)
            .arg(address(&sink))
            .output()
            .unwrap();
        assert!(sent.status.success(), "{sent:?}");
    }
    let tally = sink.tally();
    assert_eq!(
        (tally.mails, tally.copies, tally.digests, tally.damaged),
        (100, 99, 100, 0)
    );
    assert_eq!(tally.sessions, 5 + 50);
    assert_eq!(books.ledger.account(Kind::Order).twice, [1]);
}

/// Sends ten mails, each to its own recipient, of which the last was altered after its digest was taken.
const SMTPLIB: &str = r#"
import hashlib, smtplib, sys
host, port = sys.argv[1].rsplit(":", 1)
with smtplib.SMTP(host, int(port)) as client:
    for number in range(10):
        body = (".\r\n..\r\n" + f"riga {number} perché no\r\n" * 50 * number).encode()
        digest = hashlib.sha256(body).hexdigest()
        if number == 9:
            body = body.replace("perché".encode(), "perche".encode(), 1)
        head = f"From: a@shop.test\r\nTo: o{number}@x.test\r\nX-Load-Digest: {digest}\r\n\r\n"
        client.sendmail("a@shop.test", [f"o{number}@x.test"], head.encode() + body, ["BODY=8BITMIME"])
"#;

#[test]
fn smtplibs_mails_are_told_apart_and_the_altered_one_is_found() {
    let books = books();
    let sink = Sink::start(&Settings::default(), books.clone()).unwrap();
    let sent = Command::new("python3")
        .args(["-c", SMTPLIB, &address(&sink)])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{sent:?}");
    let account = books.ledger.account(Kind::Order);
    assert_eq!((account.taken, account.damaged), (10, vec![9]));
    assert_eq!((sink.tally().digests, sink.tally().digests_wrong), (10, 1));
}

/// The service's program, of the same build as this test.
fn staffetta() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|folder| folder.parent()).unwrap();
    let path = folder.join("staffetta");
    assert!(path.is_file(), "`cargo build -p edge` makes {}", path.display());
    path
}

/// Has the service deliver what a scenario says, and returns the sink and the books once nothing is outstanding.
fn deliver(text: &str) -> (Sink, Books) {
    let scenario = Scenario::parse(text).unwrap();
    let books = Books::new(scenario.counts(), Instant::now());
    let sink = Sink::start(&scenario.sink, books.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup {
        binary: staffetta(),
        folder: folder.path().to_owned(),
        route: sink.route(),
        dkim: scenario.service.dkim,
        settings: scenario.service.settings.clone(),
        environment: Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut service = runtime.block_on(Staffetta::start(setup)).unwrap();
    sink.trust(service.dkim_records()).unwrap();
    let target = Target {
        addresses: service.addresses(),
        key: service.shop_key().to_owned(),
    };
    let generation = generate::start(&scenario, &target, &books, &sink.links()).unwrap();
    let end = Instant::now() + Duration::from_mins(2);
    while !generation.is_finished() || books.ledger.outstanding(Kind::Order) > 0 {
        let open = books.ledger.outstanding(Kind::Order);
        assert!(
            Instant::now() < end,
            "{open} are outstanding: {:?}\n{}",
            sink.tally(),
            service.log_tail()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    generation.finish().unwrap();
    service.stop().unwrap();
    (sink, books)
}

#[test]
fn the_service_delivers_every_order_once_and_each_signature_is_good() {
    for dkim in ["rsa", "ed25519"] {
        let (sink, books) = deliver(&format!(
            "title = \"x\"\nseconds = 1\nwarm_up_seconds = 0\n[service]\ndkim = \"{dkim}\"\n[sink]\ncheck_dkim_one_in = 1\n\
             [mails]\nprepared = 0\n[[load]]\nsend = \"orders\"\nrate = 200.0\n"
        ));
        let account = books.ledger.account(Kind::Order);
        let exact = Account {
            asked: 200,
            acknowledged: 200,
            taken: 200,
            ..Account::default()
        };
        assert_eq!(account, exact);
        let tally = sink.tally();
        assert_eq!((tally.mails, tally.body_hashes, tally.dkim_checked), (200, 200, 200));
        assert_eq!((tally.damaged, tally.dkim_failed, tally.strangers), (0, 0, 0));
        assert_eq!(
            books.meters.read(crate::meter::Measure::OrderDelivered).micros.len(),
            200
        );
    }
}

#[test]
fn the_service_gets_along_with_providers_that_refuse_and_put_off() {
    let (sink, books) = deliver(
        r#"
        title = "x"
        seconds = 2
        warm_up_seconds = 0
        [service.settings.delivery]
        retry_waits = ["1s"]
        greylist_wait = "2s"
        [sink]
        as = "providers"
        [sink.providers.google]
        reply_ms = { p50 = 20, p99 = 100 }
        unknown.share = 0.2
        full.seconds = 1
        [sink.providers.microsoft]
        reply_ms = { p50 = 20, p99 = 100 }
        full = { share = 0.3, seconds = 1, reply = "452 4.2.2 full" }
        [sink.providers.yahoo]
        reply_ms = { p50 = 20, p99 = 100 }
        messages.max = 3
        full.seconds = 1
        [sink.providers.italiaonline]
        reply_ms = { p50 = 100, p99 = 200 }
        messages.max = 4
        full.seconds = 1
        [sink.providers.other]
        full.seconds = 1
        greylist = { share = 1.0, seconds = 1, reply = "451 4.7.1 Greylisted" }
        [mails]
        prepared = 0
        domains = { "gmail.com" = 30, "outlook.it" = 20, "yahoo.it" = 20, "libero.it" = 15, "*" = 15 }
        [[load]]
        send = "orders"
        rate = 100.0
        "#,
    );
    let account = books.ledger.account(Kind::Order);
    let tally = sink.tally();
    assert_eq!((account.asked, account.acknowledged), (200, 200));
    assert_eq!(account.taken + account.refused, 200, "{tally:?}");
    assert_eq!(
        (&account.missing, &account.deferred, &account.twice),
        (&vec![], &vec![], &vec![])
    );
    let refused = |provider: &str, code: u16| {
        let of = tally.refused.iter();
        of.filter(|((name, its), _)| *name == provider && *its == code)
            .map(|(_, count)| *count)
            .sum::<u64>()
    };
    assert!(refused("google", 550) > 3, "{tally:?}");
    assert!(refused("microsoft", 452) > 3, "{tally:?}");
    assert!(refused("other", 451) > 3, "{tally:?}");
    let for_good = tally.refused.iter().filter(|((_, code), _)| *code >= 500);
    assert_eq!(
        for_good.map(|(_, count)| *count).sum::<u64>(),
        account.refused,
        "none is tried again"
    );
    assert_eq!((tally.mails, tally.damaged, tally.copies), (account.taken, 0, 0));
}
