//! How it is measured, as the report tells it; docs/comparison.md says more.

/// A paragraph for each thing that somebody may object to.
pub(super) const METHOD: [&str; 10] = [
    "Everything runs on loopback of one machine: servers, injector, sink. They share its cores, so a rate is what the whole machine \
     does; CPU is the server's own (user and system seconds of its control group, children included, start-up excluded) and is the \
     figure to compare.",
    "Delivery: the same mail for all, one that the service made for an order, 16 sessions, eight recipient domains, one recipient \
     each, no TLS, no DNS. The clock runs from the first injection to the last mail in the sink, after a warm-up. Every mail is \
     accounted for: a run in which one is missing, comes twice, has another body or a bad signature is no figure but a fault. \
     Relays are fed over SMTP, the service over HTTP, which costs it more than a relay's session costs the relay.",
    "Rounds, not blocks: each contender once as it is and once with slow flushes, then all again. A machine that drifts drifts for \
     all alike, and ratios are of pairs of one round. Figures are medians, with the least and the most.",
    "Durability is measured: a preloaded library counts fsync, fdatasync, sync_file_range, msync and syncfs while 50 mails come one \
     after the other. Whoever flushes less than once for a mail then says 250 before the mail is safe. The same library makes each \
     flush longer by a sleep, which costs no CPU. A slow run in which it was not loaded, or flushes were not longer, is a fault.",
    "Postfix is an instance of its own, tuned (100 clients, 50 deliveries at once, sessions kept), with OpenDKIM on a Unix socket. \
     Exim delivers at once, a process for each mail, and runs as its own user from the start, because a program that is setuid \
     root drops what is preloaded. Haraka is one process, warmed up for 1,500 mails. OpenSMTPD does not sign, does not flush, and \
     keeps to one session for its one smart host: its rate says nothing of what it could do.",
    "Not fair to the peers: they spend on what the service does not have (queues as files that any tool reads, filters, many users); \
     their settings are ours, and somebody else may know better ones. Not fair to the service: by orders it also decides, renders \
     and makes links, and its figures include HTTP, JSON, its journal, its statistics and its queue.",
    "Tracking: real links of mails that were delivered, each recorded durably by the service; nginx answers 302 or a pixel to \
     anything and writes a line of its log. Beside nginx stands the service's CPU from the listener to the append; folding and \
     state, which nginx has nothing of, are told apart. The two TLS libraries differ, and so do their costs.",
    "Timers: Redis is a sorted set with appendfsync always, pipelines of 32 ZADD, one reader that looks every 2 ms and takes what is due with \
     ZPOPMIN. The service takes an event over HTTP (32 in a request), makes the contact, writes where it stands in its workflow, \
     waits, and goes on: its figure includes all of that, and a minute of idling. What is the same is the promise: once \
     acknowledged, it fires, whatever crashes. Lateness of the service is read from its histogram: its p99 is a bucket's bound.",
    "Scraping: instructions of the service's process (perf stat, user and kernel) for a message, with /metrics read every second and \
     with nobody reading; instructions, because the effect is far below what a shared machine's clock shows.",
    "One size of mail, one recipient, nothing deferred or bounced, no deep queue: the sink is never slow. Other load on the machine \
     is told beside the figures; above a twentieth, do not believe the rates.",
];
