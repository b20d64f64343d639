//! Others who write where only the projector does.

use redis::Commands;

use crate::support::{Exact, Rig, Server, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_put_in_the_place_of_ours_has_its_slots_built_anew() {
    let server = Server::start(&[]);
    let mut rig = Rig::open(server.url());
    rig.load.make(3000);
    rig.exact(|| vec![server.connect()]).await;
    let mut redis = server.connect();
    for key in redis.keys::<_, Vec<String>>("{s09}:*").unwrap() {
        redis.del::<_, ()>(&key).unwrap();
        redis.lpush::<_, _, ()>(&key, "not ours").unwrap();
    }
    server.command::<String>("XADD {s11}:events * e not-ours");
    server.command::<String>("XADD {s12}:events 18446744073709551615-18446744073709551615 e not-ours");
    rig.load.make(3000);
    rig.exact(|| vec![server.connect()]).await;
    assert!(rig.retries("foreign") > 2.5);
    assert!(
        rig.metric("projection_rebuilds_total") < 64.0 + 8.0,
        "the other slots go on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_at_one_redis_are_told() {
    let server = Server::start(&[]);
    let (mut first, mut second) = (Rig::open(server.url()), Rig::open(server.url()));
    let red = |rig: &Rig| {
        let health = rig.health();
        health
            .iter()
            .any(|(part, what)| *part == "redis" && what.contains("another node"))
    };
    until("both know", || {
        first.load.make(100);
        second.load.make(100);
        red(&first) && red(&second)
    })
    .await;
    second.load.folded().await;
    second.close().await;
    first.load.make(1000);
    first.exact(|| vec![server.connect()]).await;
}
