//! Redis that comes late, and Redis that is killed again and again (rows D1 and D2).

use crate::support::{Exact, Rig, Server, setting};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_absent_at_the_start() {
    let port = Server::reserve();
    let mut rig = Rig::open(format!("redis://127.0.0.1:{port}"));
    rig.load.make(10_000);
    rig.load.folded().await;
    assert!(rig.metric("projection_up") < 0.5);
    let server = Server::spawn(port, crate::common::scratch(), &[]);
    server.ready();
    rig.exact(|| vec![server.connect()]).await;
    assert!(rig.metric("projection_up") > 0.5);
    rig.load.make(500);
    rig.exact(|| vec![server.connect()]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_again_and_again() {
    let mut server = Server::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut rig = Rig::open(server.url());
    for _ in 0..setting("REDIS_KILLS", 30) {
        rig.load.make_at(20_000, 2000).await;
        server.kill();
        rig.load.make(300);
        server.restart();
    }
    rig.exact(|| vec![server.connect()]).await;
    assert!(rig.retries("connection") > 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_is_restarted() {
    let server = Server::start(&[]);
    let mut rig = Rig::open(server.url());
    rig.load.make(100);
    rig.exact(|| vec![server.connect()]).await;
    for _ in 0..3 {
        rig.load.make(3000);
        rig.reopen().await;
    }
    rig.load.make(100);
    rig.exact(|| vec![server.connect()]).await;
    // Nothing was begun anew: what was missing was found in the journal.
    assert!(rig.metric("projection_rebuilds_total") < 0.5);
    server.signal("-STOP");
    rig.load.rest();
    rig.load.make(3000);
    rig.reopen().await;
    server.signal("-CONT");
    rig.exact(|| vec![server.connect()]).await;
}
