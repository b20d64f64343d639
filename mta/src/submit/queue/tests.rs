//! Who is next, with costs that are written down: no clock, no thread.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::*;

const A: ShopNumber = ShopNumber(1);
const B: ShopNumber = ShopNumber(2);

/// What a mail of these tests costs.
const fn ms(cost: u64) -> Duration {
    Duration::from_millis(cost)
}

/// A queue of costs, and so many threads that take from it.
///
/// Time goes on only when a thread is done: the next is the one whose mail ends first.
struct Threads {
    queue: Queue<Duration>,
    idle: usize,
    now: Duration,
    busy: BinaryHeap<Reverse<(Duration, u64)>>,
    made: BTreeMap<u64, (Turn, Duration)>,
    taken: u64,
}

impl Threads {
    fn new(idle: usize) -> Self {
        Self {
            queue: Queue::new(),
            idle,
            now: Duration::ZERO,
            busy: BinaryHeap::new(),
            made: BTreeMap::new(),
            taken: 0,
        }
    }

    fn push(&self, lane: Lane, shop: ShopNumber, mails: usize, cost: Duration) {
        for _ in 0..mails {
            self.queue.push(lane, shop, cost).unwrap();
        }
    }

    /// Gives a mail to each idle thread that can have one.
    fn start(&mut self) {
        while self.idle > 0
            && let Some((turn, cost)) = self.queue.lock().take()
        {
            self.idle -= 1;
            self.taken += 1;
            self.busy.push(Reverse((self.now + cost, self.taken)));
            self.made.insert(self.taken, (turn, cost));
        }
    }

    /// Waits until the next mail is made, and says whose it is; `None` once all are.
    fn next(&mut self) -> Option<(Lane, ShopNumber, Duration)> {
        self.start();
        let Reverse((now, number)) = self.busy.pop()?;
        let (turn, cost) = self.made.remove(&number)?;
        self.now = now;
        self.idle += 1;
        let made = (turn.lane, turn.shop, cost);
        self.queue.done(turn, cost);
        Some(made)
    }

    /// Returns what each shop's mails took that end before a moment, and the one that ends after it.
    fn shares(&mut self, until: Duration) -> BTreeMap<(Lane, ShopNumber), Duration> {
        let mut shares = BTreeMap::new();
        while self.now < until
            && let Some((lane, shop, cost)) = self.next()
        {
            *shares.entry((lane, shop)).or_default() += cost;
        }
        shares
    }
}

#[test]
fn one_shop_has_its_mails_in_the_order_they_came() {
    let queue = Queue::new();
    for mail in 0..100 {
        queue.push(Lane::Messages, A, mail).unwrap();
    }
    for mail in 0..100 {
        let (turn, taken) = queue.pop().unwrap();
        assert_eq!(taken, mail);
        queue.done(turn, ms(mail % 7));
    }
}

#[test]
fn shops_with_one_mail_each_have_them_made_in_the_order_they_came() {
    let mut threads = Threads::new(1);
    for shop in [7, 3, 9, 1, 5] {
        threads.push(Lane::Orders, ShopNumber(shop), 1, ms(1));
    }
    let made: Vec<u32> = std::iter::from_fn(|| threads.next())
        .map(|(_, shop, _)| shop.0)
        .collect();
    assert_eq!(made, [7, 3, 9, 1, 5]);
}

#[test]
fn a_shop_that_comes_is_next_behind_five_hundred_heavy_mails_of_another() {
    for lane in Lane::ALL {
        let mut threads = Threads::new(1);
        threads.push(lane, A, 500, ms(1_000));
        for _ in 0..10 {
            assert_eq!(threads.next(), Some((lane, A, ms(1_000))));
        }
        threads.push(lane, B, 1, ms(1));
        assert_eq!(threads.next(), Some((lane, B, ms(1))), "{lane:?}");
        assert_eq!(threads.next(), Some((lane, A, ms(1_000))));
    }
}

#[test]
fn light_and_heavy_mails_have_equal_shares_of_the_time() {
    for count in 1..=4 {
        let mut threads = Threads::new(count);
        threads.push(Lane::Messages, A, 5_000, ms(1));
        threads.push(Lane::Messages, B, 500, ms(50));
        let shares = threads.shares(ms(1_000));
        let (light, heavy) = (shares[&(Lane::Messages, A)], shares[&(Lane::Messages, B)]);
        // One mail's time apart, for each thread.
        let apart = ms(50) * u32::try_from(count).unwrap();
        assert!(
            light.abs_diff(heavy) <= apart,
            "{count} threads: {light:?} and {heavy:?}"
        );
        // What is left is made by all threads.
        let rest = threads.shares(Duration::MAX);
        assert_eq!(light + rest[&(Lane::Messages, A)], ms(5_000));
        assert_eq!(heavy + rest[&(Lane::Messages, B)], ms(25_000));
    }
}

#[test]
fn twenty_light_shops_and_a_heavy_one_have_equal_shares() {
    let mut threads = Threads::new(3);
    threads.push(Lane::Messages, A, 1_000, ms(40));
    for shop in 10..30 {
        threads.push(Lane::Messages, ShopNumber(shop), 1_000, ms(2));
    }
    let shares = threads.shares(ms(7_000));
    assert_eq!(shares.len(), 21);
    for share in shares.values() {
        // 3 threads, 7 s, 21 shops.
        assert!(share.abs_diff(ms(1_000)) <= ms(60), "{shares:?}");
    }
}

#[test]
fn no_shop_has_a_second_thread_while_another_waits_for_its_first() {
    let queue = Queue::new();
    for _ in 0..10 {
        queue.push(Lane::Messages, A, ()).unwrap();
    }
    let (first, ()) = queue.pop().unwrap();
    queue.push(Lane::Messages, B, ()).unwrap();
    queue.push(Lane::Messages, B, ()).unwrap();
    // Nothing is charged yet, and A would be before B by its time and by its age.
    let (second, ()) = queue.pop().unwrap();
    assert_eq!((first.shop, second.shop), (A, B));
    // Each has one: the account decides.
    let (third, ()) = queue.pop().unwrap();
    assert_eq!(third.shop, A);
    for turn in [first, second, third] {
        queue.done(turn, ms(1));
    }
}

#[test]
fn a_shop_that_sends_one_heavy_mail_after_the_other_is_not_new_each_time() {
    let mut threads = Threads::new(1);
    threads.push(Lane::Messages, B, 10_000, ms(1));
    let mut took = BTreeMap::from([(A, Duration::ZERO), (B, Duration::ZERO)]);
    threads.push(Lane::Messages, A, 1, ms(100));
    while threads.now < ms(4_000) {
        let (_, shop, cost) = threads.next().unwrap();
        *took.get_mut(&shop).unwrap() += cost;
        if shop == A {
            // It has nothing waiting at any moment when one is made.
            threads.push(Lane::Messages, A, 1, ms(100));
        }
    }
    assert!(took[&A].abs_diff(took[&B]) <= ms(100), "{took:?}");
}

#[test]
fn new_shops_without_end_do_not_starve_one_that_had_much() {
    let mut threads = Threads::new(1);
    threads.push(Lane::Messages, A, 2, ms(100));
    threads.push(Lane::Messages, B, 1, ms(1));
    threads.start();
    // Fifty shops, each with one mail at a time and more than one thread can make.
    let mut others = (10..60).cycle();
    let mut made_of_a = 0;
    // They need 5 s to have had as much.
    for _ in 0..800 {
        for _ in 0..2 {
            threads.push(Lane::Messages, ShopNumber(others.next().unwrap()), 1, ms(10));
        }
        made_of_a += usize::from(threads.next().unwrap().1 == A);
    }
    assert_eq!(made_of_a, 2);
}

#[test]
fn time_in_which_a_shop_wanted_nothing_gives_it_no_right() {
    let mut threads = Threads::new(1);
    threads.push(Lane::Messages, A, 1_000, ms(10));
    threads.shares(ms(5_000));
    threads.push(Lane::Messages, B, 1_000, ms(10));
    let shares = threads.shares(ms(6_000));
    let (a, b) = (shares[&(Lane::Messages, A)], shares[&(Lane::Messages, B)]);
    assert!(a.abs_diff(b) <= ms(20), "{shares:?}");
}

#[test]
fn orders_go_before_messages_and_these_before_what_is_of_our_own_making() {
    use Lane::{Messages, Orders, Own};

    let mut threads = Threads::new(1);
    // Nothing is charged, so nothing is owed.
    threads.push(Lane::Own, A, 2, ms(0));
    threads.push(Lane::Messages, A, 2, ms(0));
    threads.push(Lane::Orders, B, 2, ms(0));
    let made: Vec<Lane> = std::iter::from_fn(|| threads.next()).map(|(lane, ..)| lane).collect();
    assert_eq!(made, [Orders, Orders, Messages, Messages, Own, Own]);
}

#[test]
fn a_lane_that_waits_has_a_sixteenth_of_the_time_of_those_before_it() {
    for (count, heavy) in [(1, 1), (1, 200), (4, 1), (4, 200)] {
        let mut threads = Threads::new(count);
        threads.push(Lane::Orders, A, 100_000, ms(2));
        threads.push(Lane::Messages, B, 10_000, ms(heavy));
        threads.push(Lane::Own, B, 10_000, ms(2));
        let mut shares = BTreeMap::<Lane, Duration>::new();
        for ((lane, _), share) in threads.shares(ms(20_000)) {
            *shares.entry(lane).or_default() += share;
        }
        let orders = shares[&Lane::Orders];
        for (behind, owed) in [
            (Lane::Messages, orders / SHARE),
            (Lane::Own, (orders + shares[&Lane::Messages]) / SHARE),
        ] {
            // A mail more, and what was owed when the last one ended.
            let apart = ms(heavy.max(2)) * 2;
            assert!(
                shares[&behind].abs_diff(owed) <= apart,
                "{count} threads, {heavy} ms, {behind:?}: {shares:?}"
            );
        }
    }
}

#[test]
fn one_thread_at_a_time_is_lent_to_a_lane() {
    let mut threads = Threads::new(1);
    threads.push(Lane::Orders, A, 10, ms(10));
    threads.push(Lane::Messages, B, 10, ms(1_000));
    assert_eq!(threads.next(), Some((Lane::Orders, A, ms(10))));
    let lanes: Vec<Lane> = (0..3).map(|_| threads.queue.pop().unwrap().0.lane).collect();
    assert_eq!(lanes, [Lane::Messages, Lane::Orders, Lane::Orders]);
}

#[test]
fn a_lane_is_owed_nothing_for_the_time_in_which_it_had_nothing() {
    let mut threads = Threads::new(1);
    threads.push(Lane::Orders, A, 1_000, ms(10));
    threads.shares(ms(1_000));
    threads.push(Lane::Messages, B, 10, ms(1));
    assert_eq!(threads.next(), Some((Lane::Orders, A, ms(10))));
    assert_eq!(threads.next(), Some((Lane::Messages, B, ms(1))));
    assert_eq!(threads.next(), Some((Lane::Orders, A, ms(10))));
}

#[test]
fn accounts_go_with_their_mails() {
    let mut threads = Threads::new(2);
    let accounts = |threads: &Threads| threads.queue.lock().messages.turns.accounts();
    for shop in 0..1_000 {
        threads.push(Lane::Messages, ShopNumber(shop), 1, ms(1));
    }
    threads.push(Lane::Messages, ShopNumber(0), 500, ms(1));
    assert_eq!(accounts(&threads), 1_000);
    while threads.next().is_some_and(|_| threads.now < ms(510)) {}
    // The level has come up to what the others had: one mail each.
    threads.shares(ms(600));
    assert!(accounts(&threads) <= 2, "{}", accounts(&threads));
    while threads.next().is_some() {}
    assert_eq!(accounts(&threads), 0);
}

#[test]
fn a_closed_queue_gives_out_all_lanes_and_takes_nothing() {
    let queue = Queue::new();
    queue.push(Lane::Own, A, 3).unwrap();
    queue.push(Lane::Messages, B, 2).unwrap();
    queue.push(Lane::Orders, A, 1).unwrap();
    queue.close();
    assert_eq!(queue.push(Lane::Orders, A, 4), Err(4));
    let taken: Vec<_> = (0..3).map_while(|_| Some(queue.pop()?.1)).collect();
    assert_eq!(taken, [1, 2, 3]);
    assert!(queue.pop().is_none());
}
