//! A real Postfix that offers STARTTLS with a certificate nobody signed: the mail goes over TLS all the same, since
//! opportunistic TLS that insists on certificates would only fall back to the clear (RFC 7435).
//!
//! Postfix's master runs as root alone, and so does this story: told to anyone else, it ends at once and says so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state expectations by unwrapping"
)]

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use support::{PATIENCE, Plan, accepted, buyers_dns, furnish, in_state};

/// A Postfix with queue, data and log of its own that discards what it accepts; ended when dropped.
struct Postfix {
    script: Child,
    configuration: String,
    log: PathBuf,
    port: u16,
}

impl Postfix {
    fn start(folder: &Path) -> Self {
        let d = folder.display();
        for name in ["etc", "queue", "data", "log"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        run("chown", &["postfix", &format!("{d}/data")]);
        let certified = rcgen::generate_simple_self_signed(vec!["mx.example.it".to_owned()]).unwrap();
        let pem = format!("{}{}", certified.signing_key.serialize_pem(), certified.cert.pem());
        fs::write(folder.join("etc/tls.pem"), pem).unwrap();
        fs::set_permissions(folder.join("etc/tls.pem"), fs::Permissions::from_mode(0o600)).unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let main = format!(
            "compatibility_level = 3.6\nconfig_directory = {d}/etc\nqueue_directory = {d}/queue\ndata_directory = {d}/data\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nshlib_directory = /usr/lib/postfix\n\
             meta_directory = /etc/postfix\nmail_owner = postfix\nsetgid_group = postdrop\nmaillog_file = {d}/log/mail.log\n\
             maillog_file_prefixes = {d}\nmyhostname = mx.example.it\nmydestination =\nlocal_transport = error:no local mail\n\
             inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nrelay_domains = example.it\n\
             relay_transport = discard:\nalias_maps =\nalias_database =\nbiff = no\nsmtpd_peername_lookup = no\n\
             smtpd_recipient_restrictions = reject_unauth_destination\nsmtpd_relay_restrictions = reject_unauth_destination\n\
             smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {d}/etc/tls.pem\n"
        );
        fs::write(folder.join("etc/main.cf"), main).unwrap();
        let services = [
            format!("{port} inet n - n - - smtpd"),
            "cleanup unix n - n - 0 cleanup".to_owned(),
            "qmgr unix n - n 300 1 qmgr".to_owned(),
            "tlsmgr unix - - n 1000? 1 tlsmgr".to_owned(),
            "rewrite unix - - n - - trivial-rewrite".to_owned(),
            "bounce unix - - n - 0 bounce".to_owned(),
            "defer unix - - n - 0 bounce".to_owned(),
            "trace unix - - n - 0 bounce".to_owned(),
            "proxymap unix - - n - - proxymap".to_owned(),
            "discard unix - - n - - discard".to_owned(),
            "error unix - - n - - error".to_owned(),
            "retry unix - - n - - error".to_owned(),
            "anvil unix - - n - 1 anvil".to_owned(),
            "postlog unix-dgram n - n - 1 postlogd".to_owned(),
        ];
        fs::write(folder.join("etc/master.cf"), services.join("\n") + "\n").unwrap();
        fs::write(folder.join("etc/dynamicmaps.cf"), "").unwrap();
        let script = Command::new("/usr/sbin/postfix")
            .args(["-c", &format!("{d}/etc"), "start-fg"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("postfix is installed by `make setup`");
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(
                Instant::now() < end,
                "postfix did not start: {:?}",
                fs::read_to_string(folder.join("log/mail.log"))
            );
            std::thread::yield_now();
        }
        Self {
            script,
            configuration: format!("{d}/etc"),
            log: folder.join("log/mail.log"),
            port,
        }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // The script in the foreground does not pass a signal on to its master.
        let _ = Command::new("/usr/sbin/postfix")
            .args(["-c", &self.configuration, "stop"])
            .stderr(Stdio::null())
            .status();
        let _ = self.script.wait();
        if std::thread::panicking() {
            println!(
                "what Postfix logged:\n{}",
                fs::read_to_string(&self.log).unwrap_or_default()
            );
        }
    }
}

fn run(program: &str, arguments: &[&str]) {
    assert!(
        Command::new(program).args(arguments).status().unwrap().success(),
        "{program} {arguments:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_reaches_a_real_postfix_over_tls() {
    let user = Command::new("id").arg("-u").output().unwrap().stdout;
    if user != b"0\n" {
        eprintln!("not shown: Postfix starts as root alone");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let spool = tempfile::tempdir().unwrap();
    let postfix = Postfix::start(spool.path());
    let (dns, _) = buyers_dns().await;
    let node = Plan::new(folder.path(), dns.address, postfix.port).start();
    let shop = node.shop(&furnish(&node).await);

    accepted(&shop, "1", "mario@example.it").await;
    let story = in_state(&shop, "1", "delivered").await;

    let delivered = story["events"].as_array().unwrap().last().unwrap()["detail"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(delivered.contains("TLSv1.3"), "{delivered}");
    assert!(delivered.contains("queued as"), "{delivered}");
}
