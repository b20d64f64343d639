//! Who opens and clicks: people with their browsers and phones, the proxies that mailboxes fetch pictures through, and scanners.

use rand::RngExt;
use rand::rngs::SmallRng;

/// What a visitor says of itself, and the network that it comes from.
struct Visitor {
    weight: u32,
    agent: &'static str,
    network: Network,
}

#[derive(Clone, Copy)]
enum Network {
    /// Homes and phones, anywhere.
    Anywhere,
    /// The first two numbers of its addresses.
    Own(u8, u8),
}

const PEOPLE: [Visitor; 5] = [
    Visitor {
        weight: 30,
        agent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1",
        network: Network::Anywhere,
    },
    Visitor {
        weight: 30,
        agent: "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
        network: Network::Anywhere,
    },
    Visitor {
        weight: 25,
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        network: Network::Anywhere,
    },
    Visitor {
        weight: 10,
        agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
        network: Network::Anywhere,
    },
    Visitor {
        weight: 5,
        agent: "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
        network: Network::Anywhere,
    },
];

/// What fetches pictures for people, or before them.
const PROXIES: [Visitor; 3] = [
    Visitor {
        weight: 55,
        agent: "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
        network: Network::Own(66, 249),
    },
    Visitor {
        weight: 40,
        agent: "Mozilla/5.0",
        network: Network::Own(17, 58),
    },
    Visitor {
        weight: 5,
        agent: "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
        network: Network::Own(87, 248),
    },
];

/// What follows links before their reader does.
const SCANNERS: [Visitor; 3] = [
    Visitor {
        weight: 50,
        agent: "python-requests/2.32",
        network: Network::Own(198, 51),
    },
    Visitor {
        weight: 30,
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        network: Network::Own(67, 231),
    },
    Visitor {
        weight: 20,
        agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 Safari/537.36",
        network: Network::Own(150, 70),
    },
];

/// Returns the headers of somebody who opens a mail: proxies fetch most pictures.
pub(super) fn who_opens(dice: &mut SmallRng) -> String {
    match dice.random_range(0..100) {
        0..58 => one_of(&PROXIES, dice),
        58..97 => one_of(&PEOPLE, dice),
        _ => one_of(&SCANNERS, dice),
    }
}

/// Returns the headers of somebody who follows a link.
pub(super) fn who_clicks(dice: &mut SmallRng) -> String {
    if dice.random_range(0..100) < 85 {
        one_of(&PEOPLE, dice)
    } else {
        one_of(&SCANNERS, dice)
    }
}

/// Returns the headers of a person.
pub(super) fn person(dice: &mut SmallRng) -> String {
    one_of(&PEOPLE, dice)
}

fn one_of(visitors: &[Visitor], dice: &mut SmallRng) -> String {
    let sum: u32 = visitors.iter().map(|visitor| visitor.weight).sum();
    let mut drawn = dice.random_range(0..sum);
    let chosen = visitors.iter().find(|visitor| {
        let is_it = drawn < visitor.weight;
        drawn = drawn.saturating_sub(visitor.weight);
        is_it
    });
    let (agent, network) = chosen.map_or(("", Network::Anywhere), |visitor| (visitor.agent, visitor.network));
    let (a, b) = match network {
        Network::Own(a, b) => (a, b),
        // Public addresses, few of them those of a proxy or scanner.
        Network::Anywhere => (dice.random_range(78..=95), dice.random_range(0..=255)),
    };
    let (c, d): (u8, u8) = (dice.random_range(0..=255), dice.random_range(1..=254));
    format!("user-agent: {agent}\r\nx-forwarded-for: {a}.{b}.{c}.{d}\r\n")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn count(who: impl Fn(&mut SmallRng) -> String, what: &str) -> usize {
        let mut dice = SmallRng::seed_from_u64(1);
        (0..10_000).filter(|_| who(&mut dice).contains(what)).count()
    }

    #[test]
    fn proxies_fetch_most_pictures_and_scanners_follow_some_links() {
        assert!((2900..3500).contains(&count(who_opens, "GoogleImageProxy")));
        assert!((600..900).contains(&count(who_clicks, "python-requests")));
        assert_eq!(count(person, "python"), 0);
    }

    #[test]
    fn addresses_differ_and_are_public() {
        let mut dice = SmallRng::seed_from_u64(1);
        let mut seen: Vec<String> = (0..1000).map(|_| person(&mut dice)).collect();
        assert!(
            seen.iter()
                .all(|headers| headers.ends_with("\r\n") && headers.lines().count() == 2)
        );
        seen.sort();
        seen.dedup();
        assert!(seen.len() > 990, "{}", seen.len());
    }
}
