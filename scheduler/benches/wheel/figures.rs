//! One round of one peer.

use std::fmt;
use std::hint::black_box;
use std::str::FromStr;
use std::time::Instant;

use super::SPAN;

/// What a timer carries.
pub type Value = [u32; 2];

/// A structure that holds timers.
pub trait Peer {
    /// What names a timer; `()` where nothing does.
    type Handle: Copy;
    /// Whether `cancel` is there.
    const CANCELS: bool;
    fn insert(&mut self, due: u32, value: Value) -> Self::Handle;
    fn cancel(&mut self, handle: Self::Handle);
    /// Lets an hour pass. Returns how many timers fired, and the sum of the ticks at which they did.
    fn fire(&mut self) -> (usize, u64);
    /// What the peer says that it holds, where it says so.
    fn bytes(&self) -> Option<usize> {
        None
    }
}

/// Nanoseconds per timer and operation, and bytes per timer.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub insert: f64,
    pub cancel: Option<f64>,
    pub fire: f64,
    pub bytes: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cancel = self.cancel.unwrap_or(f64::NAN);
        write!(f, "{} {cancel} {} {}", self.insert, self.fire, self.bytes)
    }
}

impl FromStr for Figures {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers: Vec<f64> = text.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [insert, cancel, fire, bytes] = numbers[..] else {
            return Err("not four figures");
        };
        let cancel = Some(cancel).filter(|cancel| !cancel.is_nan());
        Ok(Self {
            insert,
            cancel,
            fire,
            bytes,
        })
    }
}

/// Due ticks, the same in each process.
pub fn due_ticks(timers: usize) -> Vec<u32> {
    let mut state = 0x5EED_u64;
    let mut next = || {
        // SplitMix64 (Steele, Lea and Flood 2014).
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    };
    (0..timers).map(|_| (next() % u64::from(SPAN)) as u32 + 1).collect()
}

/// The timers that are cancelled: a tenth, each once, far from one another.
pub fn cancelled(timers: usize) -> impl Iterator<Item = usize> {
    // A prime that does not divide the number of timers visits each timer at most once.
    (0..timers / 10).map(move |nth| nth * 7_368_787 % timers)
}

pub fn measure<P: Peer>(peer: &mut P, timers: usize) -> Figures {
    let due = due_ticks(timers);
    // Filled once, so that its pages are there before the first reading of memory.
    let handle = peer.insert(1, [0, 0]);
    let mut handles = vec![handle; timers];
    peer.fire();
    handles.clear();

    let before = resident();
    let started = Instant::now();
    for (id, due) in (0..).zip(&due) {
        handles.push(peer.insert(SPAN + *due, [id, *due]));
    }
    let insert = started.elapsed();
    let bytes = (resident() - before) as f64 / timers as f64;
    if let Some(counted) = peer.bytes() {
        let counted = counted as f64 / timers as f64;
        assert!(
            (counted - bytes).abs() < 1.0 || timers < 1_000_000,
            "{bytes} bytes resident, {counted} counted"
        );
    }

    let mut sum: u64 = due.iter().map(|due| u64::from(SPAN + *due)).sum();
    let mut count = timers;
    let started = Instant::now();
    if P::CANCELS {
        for nth in cancelled(timers) {
            peer.cancel(handles[nth]);
        }
    }
    let cancel = P::CANCELS.then(|| started.elapsed().as_nanos() as f64 / (timers / 10) as f64);
    if P::CANCELS {
        count -= timers / 10;
        sum -= cancelled(timers).map(|nth| u64::from(SPAN + due[nth])).sum::<u64>();
    }

    let started = Instant::now();
    let fired = black_box(peer.fire());
    let fire = started.elapsed();
    assert_eq!(fired, (count, sum), "each fires once, at its tick");
    Figures {
        insert: insert.as_nanos() as f64 / timers as f64,
        cancel,
        fire: fire.as_nanos() as f64 / count as f64,
        bytes,
    }
}

/// Bytes of this process that are in memory (`/proc/self/statm`, second field, pages of 4 KiB).
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
