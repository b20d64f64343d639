//! Random histories: people who do all that people and machines do, in any order.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use types::event::{
    AgentClass, AggregateCounted, AggregateHit, Clicked, Event, HitClass, HitKind, Landed, LandingVia, Opened, Outcome,
    PersonErased, Preference, PreferenceChanged, SuppressionCause, SuppressionChanged, Visit,
};
use types::id::EventId;
use types::network::Network;
use types::order::Stream;

use crate::fixture::{CAMPAIGNS, Node, PUBLISHER, SECOND_PUBLISHER, Sent};

/// The last one is of the shop's own people.
const PEOPLE: [&str; 5] = [
    "a@gmail.com",
    "b@libero.it",
    "c@example.it",
    "d@example.it",
    "own@shop.example",
];
/// Fewer than a mail keeps in detail: what happens beyond is the policy's own test.
const HITS_MAX: usize = 60;
const LANDINGS_MAX: usize = 15;

pub struct History {
    random: StdRng,
    mails: Vec<Known>,
}

struct Known {
    sent: Sent,
    ended: bool,
    hits: usize,
    clicks: Vec<(EventId, u8)>,
    landings: usize,
}

impl Known {
    /// Nobody sees a mail before it has arrived. (Its provider is told by its delivery, so that its counts move then.)
    fn may_be_hit(&self) -> bool {
        self.ended && self.hits < HITS_MAX
    }
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            mails: Vec::new(),
        }
    }

    pub async fn run(&mut self, node: &Node, steps: usize) {
        for _ in 0..steps {
            match self.random.random_range(0..20) {
                0..3 => self.order(node).await,
                3..6 => self.end(node).await,
                6..9 => self.open(node).await,
                9..13 => self.click(node).await,
                13..16 => self.land(node).await,
                16 => self.say(node).await,
                17 => self.add_up(node).await,
                18 if self.random.random_ratio(1, 4) => self.erase(node).await,
                _ => self.wait(node).await,
            }
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn mail(&mut self) -> Option<&mut Known> {
        let count = self.mails.len();
        (count > 0).then(|| &mut self.mails[self.random.random_range(0..count)])
    }

    async fn order(&mut self, node: &Node) {
        let (shop, person) = (self.pick(&[PUBLISHER, SECOND_PUBLISHER]), self.pick(&PEOPLE));
        let sent = node.accept(shop, person).await;
        self.mails.extend(sent.map(|sent| Known {
            sent,
            ended: false,
            hits: 0,
            clicks: Vec::new(),
            landings: 0,
        }));
    }

    async fn end(&mut self, node: &Node) {
        let outcomes = [
            Outcome::Delivered,
            Outcome::Delivered,
            Outcome::Delivered,
            Outcome::InDoubt { retry: None },
            Outcome::Expired,
        ];
        let (outcome, twice) = (self.pick(&outcomes), self.random.random_ratio(1, 5));
        let Some(mail) = self.mail().filter(|mail| twice || !mail.ended) else {
            return;
        };
        mail.ended = true;
        node.submit(mail.sent.partition, mail.sent.ended(1, outcome)).await;
    }

    fn network(&mut self) -> Network {
        let last = self.random.random_range(0..3);
        Network::V4([192, 0, last])
    }

    fn agent(&mut self) -> AgentClass {
        self.pick(&[
            AgentClass::Client,
            AgentClass::Client,
            AgentClass::Client,
            AgentClass::GmailProxy,
            AgentClass::ApplePrivacy,
            AgentClass::Machine,
        ])
    }

    fn seen(&mut self) -> Visit {
        self.pick(&[
            Visit::Real,
            Visit::Real,
            Visit::Real,
            Visit::Real,
            Visit::Head,
            Visit::Prefetch,
        ])
    }

    async fn open(&mut self, node: &Node) {
        let (agent, network, visit) = (self.agent(), Some(self.network()), self.seen());
        let Some(mail) = self.mail().filter(|mail| mail.may_be_hit()) else {
            return;
        };
        mail.hits += 1;
        let (message, shop) = (mail.sent.message, mail.sent.shop);
        let opened = Opened {
            message,
            shop,
            agent,
            network,
            visit,
            suspect: false,
        };
        let partition = mail.sent.partition;
        // Refused if the person withdrew.
        let _ = node.try_submit(partition, Event::Opened(opened)).await;
    }

    async fn click(&mut self, node: &Node) {
        let (agent, network, visit) = (self.agent(), Some(self.network()), self.seen());
        let place = self.random.random_range(0..3);
        let untrusted = self.random.random_ratio(1, 10);
        let Some(mail) = self.mail().filter(|mail| mail.may_be_hit()) else {
            return;
        };
        mail.hits += 1;
        let click = node.store.journal().mint();
        mail.clicks.push((click, place));
        let clicked = Clicked {
            agent,
            network,
            visit,
            untrusted,
            ..mail.sent.clicked(click, place)
        };
        let _ = node.try_submit(mail.sent.partition, Event::Clicked(clicked)).await;
    }

    async fn land(&mut self, node: &Node) {
        let via = self.pick(&[
            LandingVia::Snippet,
            LandingVia::Snippet,
            LandingVia::Server,
            LandingVia::Image,
        ]);
        let new_visitor = self.pick(&[None, Some(true), Some(true), Some(false)]);
        let which = self.random.random_range(0..100);
        let Some(mail) = self
            .mail()
            .filter(|mail| !mail.clicks.is_empty() && mail.landings < LANDINGS_MAX)
        else {
            return;
        };
        mail.landings += 1;
        let (click, place) = mail.clicks[which % mail.clicks.len()];
        let landed = Landed {
            via,
            new_visitor,
            ..mail.sent.landed(click, place)
        };
        let _ = node
            .try_submit(mail.sent.partition, Event::Landed(Box::new(landed)))
            .await;
    }

    /// A person unsubscribes, changes a preference, or complains.
    async fn say(&mut self, node: &Node) {
        let what = self.random.random_range(0..6);
        let Some(mail) = self.mail() else {
            return;
        };
        let Sent {
            partition,
            person,
            message,
            shop,
            ..
        } = mail.sent;
        let prefer = |preference| {
            Event::PreferenceChanged(PreferenceChanged {
                message,
                shop,
                preference,
            })
        };
        let event = match what {
            0 => mail.sent.unsubscribed(),
            1 => prefer(Preference::StopTracking),
            2 => Event::SuppressionChanged(SuppressionChanged {
                person,
                shop: Some(shop),
                stream: Some(Stream::Promotional),
                cause: Some(SuppressionCause::Complaint),
            }),
            _ => prefer(Preference::ResumeOffers),
        };
        node.submit(partition, event).await;
    }

    async fn add_up(&mut self, node: &Node) {
        let kind = self.pick(&[HitKind::Open, HitKind::Click, HitKind::Landing]);
        let hit = AggregateHit {
            shop: self.pick(&[PUBLISHER, SECOND_PUBLISHER]),
            campaign: (kind != HitKind::Open).then(|| self.pick(&CAMPAIGNS)),
            kind,
            class: HitClass::Human,
            count: self.random.random_range(1..5),
        };
        let partition = node.person(PEOPLE[0]).partition();
        node.submit(partition, Event::AggregateCounted(AggregateCounted { hits: vec![hit] }))
            .await;
    }

    async fn erase(&mut self, node: &Node) {
        let person = self.pick(&PEOPLE);
        let person = node.person(person);
        let shop = self.pick(&[None, Some(PUBLISHER), Some(SECOND_PUBLISHER)]);
        node.submit(person.partition(), Event::PersonErased(PersonErased { person, shop }))
            .await;
    }

    async fn wait(&mut self, node: &Node) {
        let seconds = self.pick(&[1, 3, 20, 60, 120, 600, 1_800, 3_600, 2 * 86_400]);
        node.clock.advance(Duration::from_secs(seconds));
        if self.random.random() {
            node.tick().await;
        }
    }
}
