//! TLS with an authority of one's own, and a user who may do no more than `docs/formats/redis.md` asks for.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use redis::{Connection, TlsCertificates};
use tempfile::TempDir;

use crate::support::{Exact, Rig, Server, until};

/// The rights that the documentation names.
const ACL: &str = "user staffetta on >hunter2 resetkeys ~{s??}:* resetchannels -@all +get +set +del +unlink +hset +hdel \
                   +expire +xadd +evalsha +script|load +scan +info +select +ping";

/// A server with TLS, whose authority is in a file of its folder.
struct Secured {
    dir: TempDir,
    server: Server,
    tls: u16,
    authority: String,
}

fn secured() -> Secured {
    let dir = crate::common::scratch();
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &issuer).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    file("ca.pem", &authority_pem);
    let cert = file("cert.pem", &certificate.pem());
    let key = file("key.pem", &key.serialize_pem());
    let acl = file("users.acl", &format!("{ACL}\nuser default on nopass ~* +@all\n"));
    let (tls, spare) = (Server::reserve(), Server::reserve());
    let tls_port = tls.to_string();
    let args = [
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        cert.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-auth-clients",
        "no",
        "--aclfile",
        acl.to_str().unwrap(),
    ];
    let server = Server::spawn(spare, crate::common::scratch(), &args);
    server.ready();
    Secured {
        dir,
        server,
        tls,
        authority: authority_pem,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_a_user_with_few_rights() {
    let Secured {
        dir,
        server,
        tls,
        authority,
    } = secured();
    let password = dir.path().join("password");
    fs::write(&password, "hunter2\n").unwrap();
    let section = projection::Config {
        ca_file: Some(dir.path().join("ca.pem")),
        password_file: Some(password),
        ..projection::Config::default()
    };
    let mut rig = Rig::open_with(format!("rediss://staffetta@localhost:{tls}"), section);
    let nodes = || -> Vec<Connection> {
        let client = redis::Client::build_with_tls(
            format!("rediss://localhost:{tls}"),
            TlsCertificates {
                client_tls: None,
                root_cert: Some(authority.clone().into_bytes()),
            },
        );
        vec![client.unwrap().get_connection().unwrap()]
    };
    rig.load.make(3000);
    rig.exact(nodes).await;
    // A slot of unknown origin is emptied with the same rights.
    server.command::<String>("SET {s09}:watermark something");
    rig.exact(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_a_strange_certificate_are_told() {
    let server = Server::start(&["--requirepass", "right"]);
    let rig = Rig::open(format!("redis://:wrong@127.0.0.1:{}", server.port));
    until("the password is told", || rig.retries("denied") > 0.5).await;
    let secured = secured();
    let rig = Rig::open(format!("rediss://localhost:{}", secured.tls));
    until("the certificate is told", || rig.retries("connection") > 0.5).await;
    assert_eq!(secured.server.command::<Vec<String>>("KEYS *"), Vec::<String>::new());
}
