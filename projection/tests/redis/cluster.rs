//! A real Cluster of three masters, and the loss of one.

use crate::support::{Exact, Rig, Server, until};

/// Three masters with all slots.
fn masters() -> Vec<Server> {
    let args = [
        "--cluster-enabled",
        "yes",
        "--cluster-node-timeout",
        "1000",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
    ];
    let nodes: Vec<_> = (0..3).map(|_| Server::start(&args)).collect();
    for (i, node) in nodes.iter().enumerate() {
        let (first, last) = (i * 16_384 / 3, (i + 1) * 16_384 / 3 - 1);
        node.command::<String>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}"));
        node.command::<String>(&format!("CLUSTER SET-CONFIG-EPOCH {}", i + 1));
    }
    for node in &nodes[1..] {
        node.command::<String>(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[0].port));
    }
    while !nodes.iter().all(is_ok) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    nodes
}

fn is_ok(node: &Server) -> bool {
    let info: String = node.command("CLUSTER INFO");
    info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
}

fn url(nodes: &[Server]) -> String {
    let hosts: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    format!("redis+cluster://{}", hosts.join(","))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_is_killed_and_comes_back() {
    let mut nodes = masters();
    let mut rig = Rig::open(url(&nodes));
    rig.load.make(3000);
    rig.exact(|| nodes.iter().map(Server::connect).collect()).await;
    nodes[0].kill();
    rig.load.make_at(2000, 4000).await;
    until("it is told that redis is down", || rig.metric("projection_up") < 0.5).await;
    nodes[0].restart();
    rig.exact(|| nodes.iter().map(Server::connect).collect()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_a_killed_masters_place() {
    let mut nodes = masters();
    let args = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
    let replica = Server::start(&args);
    replica.command::<String>(&format!("CLUSTER MEET 127.0.0.1 {}", nodes[1].port));
    let id: String = nodes[1].command("CLUSTER MYID");
    let mut connection = replica.connect();
    until("the replica knows its master", || {
        let mut command = redis::cmd("CLUSTER");
        command
            .arg("REPLICATE")
            .arg(&id)
            .query::<String>(&mut connection)
            .is_ok()
    })
    .await;
    let info = |part: &str| replica.command::<String>(part);
    until("the replica has caught up", || {
        info("INFO replication").contains("master_link_status:up")
    })
    .await;
    let mut rig = Rig::open(url(&nodes));
    rig.load.make_at(10_000, 4000).await;
    nodes[1].kill();
    rig.load.make_at(2000, 2000).await;
    until("the replica is a master", || {
        info("INFO replication").contains("role:master")
    })
    .await;
    rig.exact(|| vec![nodes[0].connect(), nodes[2].connect(), replica.connect()])
        .await;
}
