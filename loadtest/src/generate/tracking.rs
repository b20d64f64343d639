//! Opens, clicks and landings, of links of mails that were delivered before the run.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::lane::{Made, Make, Maker};
use super::pacer::{Leg, Tick};
use super::visitors;
use crate::http::{self, Answer};
use crate::service::TRACKING_HOST;
use crate::sink::Links;

/// Of so many visits one is of a link that was visited a moment before: a reload, a second look.
const AGAIN_ONE_IN: u32 = 6;
/// How many visited links are remembered for that.
const REMEMBERED: usize = 64;
const NO_LINKS: &str = "no mail with links was delivered";

/// A chance that goes on: which visit is whose matters to nobody.
#[derive(Debug)]
struct Chance(RefCell<SmallRng>);

impl Chance {
    fn new(seed: usize) -> Self {
        Self(RefCell::new(SmallRng::seed_from_u64(seed as u64)))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut SmallRng) -> T) -> T {
        draw(&mut self.0.borrow_mut())
    }
}

/// What was visited a moment before.
#[derive(Debug, Default)]
struct Recent {
    paths: RefCell<Vec<Arc<str>>>,
    next: Cell<usize>,
}

impl Recent {
    /// Returns one of them now and then, otherwise a new one, which it remembers.
    fn or(&self, chance: &Chance, new: impl FnOnce() -> Option<Arc<str>>) -> Option<Arc<str>> {
        let mut paths = self.paths.borrow_mut();
        if !paths.is_empty() && chance.with(|dice| dice.random_range(0..AGAIN_ONE_IN)) == 0 {
            let at = chance.with(|dice| dice.random_range(0..paths.len()));
            return paths.get(at).cloned();
        }
        let path = new()?;
        if paths.len() < REMEMBERED {
            paths.push(Arc::clone(&path));
        } else if let Some(oldest) = paths.get_mut(self.next.get() % REMEMBERED) {
            *oldest = Arc::clone(&path);
            self.next.set(self.next.get() + 1);
        }
        Some(path)
    }
}

/// Fetches pixels, or follows links.
#[derive(Debug)]
pub(super) struct Visits {
    links: Links,
    what: What,
    chance: Chance,
    recent: Recent,
}

/// What is visited.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Pixels,
    Links,
}

impl Visits {
    pub(super) fn new(lane: usize, what: What, links: Links) -> Self {
        Self {
            links,
            what,
            chance: Chance::new(lane),
            recent: Recent::default(),
        }
    }
}

impl Maker for Visits {
    fn make(&self, _: &Tick) -> Make {
        let path = self.recent.or(&self.chance, || match self.what {
            What::Pixels => self.links.next_open(),
            What::Links => self.links.next_click(),
        });
        let Some(path) = path else {
            return Make::Nothing(NO_LINKS);
        };
        let headers = self.chance.with(match self.what {
            What::Pixels => visitors::who_opens,
            What::Links => visitors::who_clicks,
        });
        Make::Request(get(&path, &headers))
    }
}

fn get(path: &str, headers: &str) -> Made {
    Made {
        bytes: http::request("GET", path, TRACKING_HOST, headers, b""),
        mail: None,
    }
}

/// Follows a link and, a second later, reports the landing as the snippet on the page does.
#[derive(Debug)]
pub(super) struct Landings {
    links: Links,
    chance: Chance,
    /// Those under way, by number.
    journeys: RefCell<HashMap<u32, Journey>>,
}

/// Somebody on the way to a page.
#[derive(Debug)]
struct Journey {
    /// The same browser at both ends.
    headers: String,
    page: Page,
}

#[derive(Debug)]
enum Page {
    /// The click is not answered yet.
    Awaited,
    /// The redirect led here.
    Reached { origin: String, click_id: String },
    /// It led nowhere.
    Missed,
}

impl Landings {
    pub(super) fn new(lane: usize, links: Links) -> Self {
        Self {
            links,
            chance: Chance::new(lane),
            journeys: RefCell::default(),
        }
    }

    fn arrive(&self, number: u32, page: Page) {
        if let Some(journey) = self.journeys.borrow_mut().get_mut(&number) {
            journey.page = page;
        }
    }

    fn click(&self, number: u32) -> Make {
        let headers = self.chance.with(visitors::person);
        let path = self.links.next_click();
        let page = if path.is_some() { Page::Awaited } else { Page::Missed };
        let made = path.map(|path| get(&path, &headers));
        self.journeys.borrow_mut().insert(number, Journey { headers, page });
        made.map_or(Make::Nothing(NO_LINKS), Make::Request)
    }

    fn land(&self, number: u32) -> Make {
        let mut journeys = self.journeys.borrow_mut();
        let is_awaited = journeys
            .get(&number)
            .is_none_or(|journey| matches!(journey.page, Page::Awaited));
        if is_awaited {
            return Make::NotYet;
        }
        let Some(Journey {
            headers,
            page: Page::Reached { origin, click_id },
        }) = journeys.remove(&number)
        else {
            return Make::Nothing("its click led nowhere");
        };
        let headers =
            format!("{headers}content-type: text/plain;charset=UTF-8\r\norigin: {origin}\r\nreferer: {origin}/\r\n");
        let body = format!("c={click_id}&n=1");
        Make::Request(Made {
            bytes: http::request("POST", "/l", TRACKING_HOST, &headers, body.as_bytes()),
            mail: None,
        })
    }
}

impl Maker for Landings {
    fn make(&self, tick: &Tick) -> Make {
        match tick.leg {
            Leg::Click => self.click(tick.number),
            Leg::Main => self.land(tick.number),
        }
    }

    fn answered(&self, tick: &Tick, answer: &Answer) {
        if tick.leg == Leg::Click {
            let page = answer.location.as_deref().and_then(page_of);
            self.arrive(tick.number, page.unwrap_or(Page::Missed));
        }
    }

    fn failed(&self, tick: &Tick) {
        if tick.leg == Leg::Click {
            self.arrive(tick.number, Page::Missed);
        }
    }
}

/// Reads where a redirect led, and the click id that it handed on.
fn page_of(location: &str) -> Option<Page> {
    let (page, query) = location.split_once('?')?;
    let (scheme, rest) = page.split_once("://")?;
    let host = rest.split('/').next()?;
    let click_id = query.split('&').find_map(|field| field.strip_prefix("c="))?;
    Some(Page::Reached {
        origin: format!("{scheme}://{host}"),
        click_id: click_id.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_tells_page_and_click_id() {
        let Some(Page::Reached { origin, click_id }) = page_of("https://advertiser-0.example/?a=1&c=FwG_x-9&b=2")
        else {
            panic!("it told nothing");
        };
        assert_eq!(
            (origin.as_str(), click_id.as_str()),
            ("https://advertiser-0.example", "FwG_x-9")
        );
        assert!(page_of("https://advertiser-0.example/").is_none());
    }

    #[test]
    fn a_share_of_visits_comes_again() {
        let (chance, recent) = (Chance::new(1), Recent::default());
        let mut new = 0;
        for _ in 0..6000 {
            recent.or(&chance, || {
                new += 1;
                Some(format!("/c/{new}").into())
            });
        }
        assert!((4850..5150).contains(&new), "{new} of 6,000 are new");
        assert_eq!(recent.paths.borrow().len(), REMEMBERED);
    }
}
