//! Failovers that lose writes which were acknowledged (row D3).

use redis::Connection;

use crate::support::{Exact, Rig, Server, sentinel, until};

/// A master, and a replica that has caught up.
fn pair() -> (Server, Server) {
    let master = Server::start(&["--repl-diskless-sync-delay", "0"]);
    let port = master.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let synced = || {
        let info: String = replica.command("INFO replication");
        info.contains("master_link_status:up")
    };
    while !synced() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    (master, replica)
}

/// Lets the master take writes that the replica does not get, then ends it. Returns what the replica got.
async fn lose(rig: &mut Rig, master: &mut Server, replica: &Server) {
    rig.load.make(3000);
    rig.exact(|| vec![master.connect()]).await;
    rig.load.rest();
    replica.signal("-STOP");
    // Nothing may wait in the sockets between them: the replica cannot come back for it while it is stopped.
    master.command::<u64>("CLIENT KILL TYPE replica");
    rig.load.make(20_000);
    rig.load.folded().await;
    until("the master has it", || rig.metric("projection_lag_records") < 0.5).await;
    master.kill();
    rig.load.make(1000);
    replica.signal("-CONT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_promoted_by_hand() {
    let (mut master, replica) = pair();
    let mut rig = Rig::open(master.url());
    lose(&mut rig, &mut master, &replica).await;
    replica.command::<String>("REPLICAOF NO ONE");
    let lost = held(&replica);
    // The name now leads to the promoted one.
    let _proxy = crate::support::Proxy::start_on(master.port, replica.port).await;
    let nodes = || -> Vec<Connection> { vec![replica.connect()] };
    rig.exact(nodes).await;
    assert!(lost < 23_000, "nothing was lost: {lost}");
    assert!(rig.metric("projection_lost_records_total") > 1000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_promoted_by_a_sentinel() {
    let (mut master, replica) = pair();
    let sentinel = sentinel(&master);
    until("the sentinel knows the replica", || {
        let info: String = sentinel.command("INFO sentinel");
        info.contains("slaves=1")
    })
    .await;
    let mut rig = Rig::open(format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port));
    lose(&mut rig, &mut master, &replica).await;
    rig.exact(|| vec![replica.connect()]).await;
    assert!(rig.metric("projection_lost_records_total") > 1000.0);
}

/// Returns how many events a server holds.
fn held(server: &Server) -> u64 {
    let mut connection = server.connect();
    let lengths = (0..64).map(|slot| {
        let mut command = redis::cmd("XLEN");
        command
            .arg(format!("{{s{slot:02}}}:events"))
            .query::<u64>(&mut connection)
            .unwrap()
    });
    lengths.sum()
}
