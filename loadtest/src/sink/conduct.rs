//! What a provider's host decides: whom it lets in, whom it refuses, how long it takes.
//!
//! Everything is decided by the profile, the moment and a number drawn from the seed and the recipient's address, so that a run
//! can be repeated: the same recipients are unknown, full or greylisted each time, whichever order they come in. Limits and storms
//! go by the clock.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::profile::{Lot, Profile, Reply};

/// How many recipients a host remembers as full or greylisted. Beyond it, it forgets them all, and they begin anew.
const REMEMBERED_MAX: usize = 1_000_000;

/// One provider's hosts.
pub(super) struct Site {
    /// The provider's name.
    pub(super) name: &'static str,
    pub(super) profile: Profile,
    seed: u64,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connections: HashMap<IpAddr, u32>,
    /// By client: how many recipients are free at once, and when that was so.
    tokens: HashMap<IpAddr, (f64, Instant)>,
    /// By the hash of who was refused: when first.
    refused: HashMap<u64, Instant>,
}

/// A connection that was let in. Dropped, it gives its place back.
pub(super) struct Visit<'a> {
    site: &'a Site,
    client: IpAddr,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.site.state().connections.get_mut(&self.client) {
            *count -= 1;
        }
    }
}

impl Site {
    pub(super) fn new(name: &'static str, profile: Profile, seed: u64, started: Instant) -> Self {
        Self {
            name,
            profile,
            seed,
            started,
            state: Mutex::default(),
        }
    }

    /// Lets a client in, or tells why not.
    pub(super) fn enter(&self, client: IpAddr) -> Result<Visit<'_>, &Reply> {
        let mut state = self.state();
        let count = state.connections.entry(client).or_default();
        if *count >= self.profile.connections.max {
            return Err(&self.profile.connections.reply);
        }
        *count += 1;
        Ok(Visit { site: self, client })
    }

    /// Tells why a recipient is refused at `now`. None: it is not.
    pub(super) fn refusal(&self, client: IpAddr, from: &str, to: &str, now: Instant) -> Option<&Reply> {
        let profile = &self.profile;
        let since = now.saturating_duration_since(self.started).as_secs_f64();
        if let Some(storm) = &profile.storm
            && since % storm.every_seconds >= storm.every_seconds - storm.seconds
            && self.draw("storm", to) < storm.share
        {
            return Some(&storm.reply);
        }
        if let Some(rate) = &profile.rate {
            let mut state = self.state();
            let (tokens, at) = state.tokens.entry(client).or_insert((rate.burst, now));
            let more = now.saturating_duration_since(*at).as_secs_f64() * rate.per_minute / 60.0;
            (*tokens, *at) = ((*tokens + more).min(rate.burst), now);
            if *tokens < 1.0 {
                return Some(&rate.reply);
            }
            *tokens -= 1.0;
        }
        // As postgrey does, the sender counts by its domain: the local part is another one for each mail.
        let (_, sender) = from.rsplit_once('@').unwrap_or_default();
        let (_, domain) = to.rsplit_once('@').unwrap_or_default();
        self.fallen(profile.unknown.as_ref(), "unknown", to, to, now)
            .or_else(|| self.fallen(profile.full.as_ref(), "full", to, to, now))
            .or_else(|| {
                let triplet = format!("{client} {sender} {to}");
                self.fallen(profile.greylist.as_ref(), "greylist", domain, &triplet, now)
            })
    }

    /// Returns how long the host takes between a final dot and its 250.
    pub(super) fn latency(&self, to: &str) -> Duration {
        let (u, v) = (self.draw("latency", to), self.draw("latency too", to));
        // Box and Muller: two uniform numbers make a normal one. Far tails would hold a connection for minutes.
        let normal = (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos();
        self.profile.reply_ms.at(normal.clamp(-3.5, 3.5))
    }

    /// Returns a lot's reply if it has fallen on `drawn`, and is not over for `remembered` since that was first refused.
    fn fallen<'a>(
        &self,
        lot: Option<&'a Lot>,
        purpose: &str,
        drawn: &str,
        remembered: &str,
        now: Instant,
    ) -> Option<&'a Reply> {
        let lot = lot?;
        if self.draw(purpose, drawn) >= lot.share {
            return None;
        }
        if lot.seconds.is_some() {
            let mut state = self.state();
            if state.refused.len() >= REMEMBERED_MAX {
                state.refused.clear();
            }
            let first = *state.refused.entry(self.hash(purpose, remembered)).or_insert(now);
            if lot.is_over(now.saturating_duration_since(first)) {
                return None;
            }
        }
        Some(&lot.reply)
    }

    /// Returns a number from 0 to below 1: always the same for one purpose, text and seed.
    fn draw(&self, purpose: &str, text: &str) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "of 53 bits nothing is lost")]
        let number = (self.hash(purpose, text) >> 11) as f64;
        number * 2_f64.powi(-53)
    }

    /// FNV-1a, stirred as splitmix64 ends: stable over versions and machines, as std's hashers are not.
    fn hash(&self, purpose: &str, text: &str) -> u64 {
        let bytes = purpose.bytes().chain([b' ']).chain(text.bytes());
        let mut hash = bytes.fold(0xcbf2_9ce4_8422_2325 ^ self.seed, |hash, byte| {
            (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0000_01b3)
        });
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^ (hash >> 31)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::profile::profiles;
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const FROM: &str = "b-123@shop.test";

    /// The host of a profile's number with changes, and when it started.
    fn site(number: usize, changes: &str, seed: u64) -> (Site, Instant) {
        let profile = profiles(&toml::from_str(changes).unwrap()).unwrap().swap_remove(number);
        let started = Instant::now();
        (Site::new("test", profile, seed, started), started)
    }

    fn code(site: &Site, to: &str, now: Instant) -> Option<u16> {
        site.refusal(CLIENT, FROM, to, now).map(|reply| reply.code)
    }

    #[test]
    fn shares_are_kept_and_drawn_from_the_seed_and_the_recipient() {
        let (other, now) = site(
            7,
            "[other.unknown]\nshare = 0.2\n[other.full]\nshare = 0\n[other.greylist]\nshare = 0",
            1,
        );
        let refused = |site: &Site| -> Vec<u32> {
            (0..2000)
                .filter(|number| code(site, &format!("o{number}@a.test"), now) == Some(550))
                .collect()
        };
        let first = refused(&other);
        assert!((300..500).contains(&first.len()), "{}", first.len());
        assert_eq!(first, refused(&other));
        let (again, _) = site(
            7,
            "[other.unknown]\nshare = 0.2\n[other.full]\nshare = 0\n[other.greylist]\nshare = 0",
            1,
        );
        assert_eq!(first, refused(&again));
        let (another, _) = site(
            7,
            "[other.unknown]\nshare = 0.2\n[other.full]\nshare = 0\n[other.greylist]\nshare = 0",
            2,
        );
        assert_ne!(first, refused(&another));
    }

    #[test]
    fn the_greylisted_and_the_full_are_taken_once_their_time_is_over() {
        let nothing = "[other.unknown]\nshare = 0\n";
        for (section, expected) in [
            (
                "[other.greylist]\nshare = 1.0\nseconds = 10\n[other.full]\nshare = 0",
                451,
            ),
            (
                "[other.full]\nshare = 1.0\nseconds = 10\n[other.greylist]\nshare = 0",
                452,
            ),
        ] {
            let (other, now) = site(7, &format!("{nothing}{section}"), 1);
            let later = now + Duration::from_secs(11);
            assert_eq!(code(&other, "o1@a.test", now), Some(expected));
            assert_eq!(code(&other, "o1@a.test", now + Duration::from_secs(9)), Some(expected));
            assert_eq!(code(&other, "o1@a.test", later), None);
            // Another recipient begins anew.
            assert_eq!(code(&other, "o2@a.test", later), Some(expected));
        }
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_its_pace() {
        let (google, now) = site(
            0,
            "[google.rate]\nper_minute = 60\nburst = 5\n[google.unknown]\nshare = 0\n[google.full]\nshare = 0",
            1,
        );
        let taken = |now: Instant| (0..20).filter(|_| code(&google, "o1@gmail.com", now).is_none()).count();
        assert_eq!(taken(now), 5);
        assert_eq!(taken(now + Duration::from_secs(3)), 3);
        assert_eq!(code(&google, "o1@gmail.com", now + Duration::from_secs(3)), Some(421));
        // Another client has its own.
        let other = IpAddr::from([127, 0, 0, 2]);
        assert!(google.refusal(other, FROM, "o1@gmail.com", now).is_none());
    }

    #[test]
    fn connections_beyond_the_limit_are_refused_until_one_ends() {
        let (libero, _) = site(4, "[italiaonline.connections]\nmax = 2", 1);
        let first = libero.enter(CLIENT).ok().unwrap();
        let _second = libero.enter(CLIENT).ok().unwrap();
        let refused = libero.enter(CLIENT).err().unwrap();
        assert_eq!(refused.code, 421);
        assert!(refused.text.contains("Too many connections, slow down"));
        drop(first);
        assert!(libero.enter(CLIENT).is_ok());
    }

    #[test]
    fn a_storm_passes() {
        let (microsoft, now) = site(
            1,
            "[microsoft.storm]\nevery_seconds = 60\nseconds = 5\nshare = 1.0\n[microsoft.unknown]\nshare = 0\n[microsoft.full]\nshare = 0",
            1,
        );
        let at = |seconds| code(&microsoft, "o1@outlook.it", now + Duration::from_secs(seconds));
        assert_eq!([at(0), at(54), at(56), at(61)], [None, None, Some(451), None]);
    }

    #[test]
    fn latencies_have_the_percentiles_of_the_profile() {
        let (apple, _) = site(3, "", 1);
        let mut latencies: Vec<_> = (0..2000)
            .map(|n| apple.latency(&format!("o{n}@icloud.com")).as_millis())
            .collect();
        latencies.sort_unstable();
        assert!((350..450).contains(&latencies[1000]), "{}", latencies[1000]);
        assert!((1800..3500).contains(&latencies[1980]), "{}", latencies[1980]);
    }
}
