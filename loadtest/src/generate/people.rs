//! Who is written to and who reads: names, addresses and domains, each a function of the mail's tag alone.

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::ledger::Tag;
use crate::scenario::Mails;

/// Small domains that come again, the first ones more often.
const SMALL_DOMAINS: u32 = 400;
/// Of so many mails to small domains, one goes to a domain that nobody has seen before.
const NEW_ONE_IN: u32 = 50;

const FIRST: [&str; 32] = [
    "Mario",
    "Giulia",
    "Luca",
    "Sofia",
    "Alessandro",
    "Aurora",
    "Francesco",
    "Chiara",
    "Matteo",
    "Martina",
    "Lorenzo",
    "Anna",
    "Andrea",
    "Elena",
    "Niccolò",
    "Beatrice",
    "Davide",
    "Giorgia",
    "Riccardo",
    "Camilla",
    "Tommaso",
    "Federica",
    "Simone",
    "Valentina",
    "Gabriele",
    "Ilaria",
    "Edoardo",
    "Noemi",
    "Filippo",
    "Margherita",
    "Pietro",
    "Lucia",
];
const LAST: [&str; 32] = [
    "Rossi", "Russo", "Ferrari", "Esposito", "Bianchi", "Romano", "Colombo", "Ricci", "Marino", "Greco", "Bruno",
    "Gallo", "Conti", "De Luca", "Mancini", "Costa", "Giordano", "Rizzo", "Lombardi", "Moretti", "Barbieri", "Fontana",
    "Santoro", "Mariani", "Rinaldi", "Caruso", "Ferrara", "Galli", "Martini", "Leone", "Longo", "D'Angelo",
];

/// The recipients of a run.
#[derive(Clone, Debug)]
pub(super) struct People {
    /// With the sum of all weights up to each.
    domains: Vec<(String, u32)>,
    each_its_own: bool,
}

impl People {
    pub(super) fn of(mails: &Mails) -> Self {
        let mut sum = 0;
        let domains = mails.domains.iter().map(|(name, weight)| {
            sum += weight;
            (name.clone(), sum)
        });
        Self {
            domains: domains.collect(),
            each_its_own: mails.domains_each_its_own,
        }
    }

    /// Returns a mail's recipient; the local part is the tag.
    pub(super) fn address(&self, tag: Tag) -> String {
        if self.each_its_own {
            return format!("{tag}@of-{tag}.example");
        }
        let mut dice = dice(tag, 1);
        let sum = self.domains.last().map_or(1, |(_, sum)| *sum);
        let drawn = dice.random_range(0..sum.max(1));
        match self.domains.iter().find(|(_, upto)| drawn < *upto) {
            Some((name, _)) if name != "*" => format!("{tag}@{name}"),
            _ if dice.random_range(0..NEW_ONE_IN) == 0 => format!("{tag}@new-{tag}.example"),
            // The lower of two: near the first ones it is denser.
            _ => {
                let small = dice
                    .random_range(0..SMALL_DOMAINS)
                    .min(dice.random_range(0..SMALL_DOMAINS));
                format!("{tag}@small-{small}.example")
            }
        }
    }
}

/// Returns how a recipient is called.
pub(super) fn name(dice: &mut SmallRng) -> (&'static str, &'static str) {
    let mut one = |names: [&'static str; 32]| {
        let [first, ..] = names;
        names.get(dice.random_range(0..names.len())).copied().unwrap_or(first)
    };
    (one(FIRST), one(LAST))
}

/// Returns the chance of one mail: the same in each run, and for each retry. `use_` keeps two uses apart.
pub(super) fn dice(tag: Tag, use_: u64) -> SmallRng {
    SmallRng::seed_from_u64(u64::from(tag.number) << 16 | u64::from(u32::from(tag.kind.letter())) << 4 | use_)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::ledger::Kind;

    fn tag(number: u32) -> Tag {
        Tag {
            kind: Kind::Order,
            number,
        }
    }

    #[test]
    fn domains_come_as_they_are_weighted_and_small_ones_are_new_now_and_then() {
        let people = People::of(&Mails::default());
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for number in 0..10_000 {
            let address = people.address(tag(number));
            assert_eq!(Tag::of_recipient(&address), Some(tag(number)));
            *counts.entry(address.split_once('@').unwrap().1.to_owned()).or_default() += 1;
        }
        assert!((3800..4200).contains(&counts["gmail.com"]), "{}", counts["gmail.com"]);
        assert!((1350..1650).contains(&counts["libero.it"]), "{}", counts["libero.it"]);
        let new = counts.keys().filter(|name| name.starts_with("new-")).count();
        assert!((20..90).contains(&new), "{new} of about 50");
        let small = counts.keys().filter(|name| name.starts_with("small-")).count();
        assert!(small > 300, "{small}");
        assert_eq!(people.address(tag(5)), people.address(tag(5)));
    }

    #[test]
    fn every_recipient_may_have_a_domain_of_its_own() {
        let people = People::of(&Mails {
            domains_each_its_own: true,
            ..Mails::default()
        });
        let domains: BTreeSet<String> = (0..1000)
            .map(|number| people.address(tag(number)).split_once('@').unwrap().1.to_owned())
            .collect();
        assert_eq!(domains.len(), 1000);
    }
}
