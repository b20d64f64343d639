//! Replies that mean "not now" or "not here", and replies that never come (row D7).

use crate::support::{Exact, Faulty, Reply, Rig, Server, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_redis_answers_is_tried_again() {
    let server = Server::start(&[]);
    let faulty = Faulty::start(server.port).await;
    let mut rig = Rig::open(format!("redis://127.0.0.1:{}", faulty.port));
    let errors = [
        ("READONLY You can't write against a read only replica.", "readonly"),
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("BUSY Redis is busy running a script.", "busy"),
        ("MOVED 3999 127.0.0.1:6381", "cluster"),
        ("ASK 3999 127.0.0.1:6381", "cluster"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "cluster"),
        ("CLUSTERDOWN The cluster is down", "cluster"),
        ("MASTERDOWN Link with MASTER is down", "cluster"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "memory"),
        ("NOSCRIPT No matching script.", "script"),
        ("NOPERM this user has no permissions", "denied"),
        ("MISCONF Redis is configured to save RDB snapshots", "other"),
    ];
    for (error, label) in errors {
        let before = rig.retries(label);
        // A batch of the session before may still come and take an answer with it, unseen.
        until(&format!("{error} is counted as {label}"), || {
            if faulty.is_through() {
                faulty.answer(&Reply::Error(error), 3);
                rig.load.make(400);
            }
            rig.retries(label) > before
        })
        .await;
    }
    for _ in 0..5 {
        faulty.answer(&Reply::Lost, 1);
        rig.load.make(400);
        until("a lost reply", || faulty.is_through()).await;
    }
    rig.exact(|| vec![server.connect()]).await;
}
