//! `/admin/v1/verdicts`: what other rules would say of opens and clicks that were judged already.
//!
//! The journal tells which mails had hits in a time, their histories tell what was known of each, and `policy::hits` judges
//! it all anew: the same functions that gave the verdicts, by other data. Nothing is written; what was decided stands. It reaches
//! as far back as the journal does (`store.journal_retention`); erased mails are left out, since nothing is known of them.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::State;
use policy::hits::{Hit, Landing, MailState, Rules};
use serde::{Deserialize, Serialize};
use store::{StateError, StoredEvent, TailError};
use types::event::{Event, HitClass, HitReason, HitVerdict, Outcome, Verdict};
use types::id::{EventId, MessageId, PartitionId, PublicId};
use types::provider::Provider;
use types::time::Timestamp;

use crate::app::{App, internal};
use crate::auth::Operator;
use crate::body::Json;
use crate::problem::{Fault, Problem};

/// The most mails that are judged at once: some 50 MB of ids.
const MAILS_MAX: usize = 1_000_000;
/// The most mails that are listed.
const DIFFERENCES_MAX: usize = 1000;
/// Records, and mails, that are worked on at a time.
const PORTION: usize = 1024;

/// Which rules, and which hits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerdictsRequest {
    /// The rules: TOML, as `policy/rules/verdicts.toml`.
    rules: String,
    /// From when on; the beginning of the journal if it is missing.
    from: Option<Timestamp>,
    /// Until when; now if it is missing.
    to: Option<Timestamp>,
}

/// How the verdicts compare.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Comparison {
    /// The version of the rules that were tried.
    rules: u32,
    /// Mails with hits in that time.
    mails: usize,
    /// Their hits that were judged, and are known in detail.
    hits: usize,
    /// By class, how many hits it was given to, and how many it would be given to.
    classes: BTreeMap<&'static str, Counted>,
    /// How many mails would be judged otherwise.
    mails_differ: usize,
    /// The first of them.
    differences: Vec<Difference>,
}

/// Hits of one class.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Counted {
    given: usize,
    tried: usize,
}

/// A mail that would be judged otherwise.
#[derive(Debug, Serialize)]
struct Difference {
    message: String,
    hits: Vec<HitDifference>,
}

/// A hit that would be judged otherwise.
#[derive(Debug, Serialize)]
struct HitDifference {
    hit: String,
    at: Timestamp,
    given: HitClass,
    tried: HitClass,
    given_reasons: Vec<HitReason>,
    tried_reasons: Vec<HitReason>,
}

/// Judges anew.
pub(crate) async fn compare(
    State(app): State<App>,
    _operator: Operator,
    Json(request): Json<VerdictsRequest>,
) -> Result<axum::Json<Comparison>, Problem> {
    let rules = Rules::parse(&request.rules).map_err(|faults| {
        let faults = faults.0.into_iter().map(|fault| Fault::new("/rules", fault));
        Problem::invalid(faults.collect())
    })?;
    let (from, to) = (
        request.from.unwrap_or_default(),
        request.to.unwrap_or_else(|| app.now()),
    );
    if from >= to {
        return Err(Problem::invalid(vec![Fault::new("/from", "is not before `to`")]));
    }
    app.fold().await;
    let mails = mails(&app, from, to).await?;
    let (now, mut comparison) = (app.now(), Comparison::default());
    comparison.rules = rules.version();
    comparison.mails = mails.len();
    let mut mails = mails.into_iter().peekable();
    let rules = std::sync::Arc::new(rules);
    while mails.peek().is_some() {
        let (portion, rules) = (
            mails.by_ref().take(PORTION).collect::<Vec<_>>(),
            std::sync::Arc::clone(&rules),
        );
        let judged = app.apart(move |app| {
            let mail = |(partition, message)| {
                let history = app.store.state().histories().of(partition, MessageId::event(message))?;
                Ok::<_, StateError>(Judgement::of(partition, message, &history, &rules, (from, to), now))
            };
            portion.into_iter().map(mail).collect::<Result<Vec<_>, _>>()
        });
        let judged = judged.await?.map_err(|error| internal("reading state", &error))?;
        for judgement in judged {
            comparison.add(judgement);
        }
    }
    Ok(axum::Json(comparison))
}

/// Returns the mails that had hits in a time.
async fn mails(app: &App, from: Timestamp, to: Timestamp) -> Result<BTreeSet<(PartitionId, MessageId)>, Problem> {
    let failed = |error: TailError| internal("reading the journal", &error);
    let mut mails = BTreeSet::new();
    let durable = app.store.journal().durable().borrow().0;
    let mut next = app.store.position_at(from).await.map_err(failed)?;
    let mut tail = app.store.tail(next);
    while next.0 <= durable {
        let records = match tail.next(PORTION).await {
            // Reclaimed since the position was looked up.
            Err(TailError::Gone { first }) => {
                (next, tail) = (first, app.store.tail(first));
                continue;
            }
            read => read.map_err(failed)?,
        };
        for record in &records {
            next.0 = record.position.0 + 1;
            let message = match &record.event {
                Event::Opened(opened) => opened.message,
                Event::Clicked(clicked) => clicked.message,
                _ => continue,
            };
            if (from..to).contains(&record.wall) {
                mails.insert((record.partition, message));
            }
        }
        if mails.len() > MAILS_MAX {
            let fault = format!("holds hits of more than {MAILS_MAX} mails: ask for less time");
            return Err(Problem::invalid(vec![Fault::new("/from", fault)]));
        }
    }
    Ok(mails)
}

/// One mail, judged anew.
struct Judgement {
    partition: PartitionId,
    message: MessageId,
    /// Verdicts given and tried on the same hit, and when it was made.
    pairs: Vec<(HitVerdict, HitVerdict, Timestamp)>,
}

impl Judgement {
    fn of(
        partition: PartitionId,
        message: MessageId,
        history: &[StoredEvent],
        rules: &Rules,
        (from, to): (Timestamp, Timestamp),
        now: Timestamp,
    ) -> Self {
        let (mut mail, mut given, mut times) = (None, BTreeMap::new(), BTreeMap::new());
        for stored in history {
            match (&stored.event, mail.as_mut()) {
                (Event::Decided(decided), None) => {
                    if let Verdict::Send(plan) = &decided.verdict {
                        // Who runs the mailbox is counted by, and says nothing about hits.
                        mail = Some(MailState::new(decided, plan, Provider::Other));
                    }
                }
                (Event::AttemptEnded(ended), Some(mail)) if ended.outcome == Outcome::Delivered => {
                    mail.delivered(stored.wall, Provider::Other);
                }
                (Event::Opened(opened), Some(mail)) => {
                    mail.record(Hit::opened(stored.id, stored.wall, opened));
                    times.insert(stored.id, stored.wall);
                }
                (Event::Clicked(clicked), Some(mail)) => {
                    mail.record(Hit::clicked(stored.id, stored.wall, clicked));
                    times.insert(stored.id, stored.wall);
                }
                (Event::Landed(landed), Some(mail)) => {
                    mail.land(Landing::reported(stored.id, stored.wall, landed));
                }
                // The last verdict on a hit stands.
                (Event::Judged(judged), _) => {
                    given.extend(judged.hits.iter().map(|verdict| (verdict.hit, verdict.clone())));
                }
                _ => {}
            }
        }
        let tried = mail.map(|mail| mail.judge(rules, now)).unwrap_or_default();
        let pairs = tried.into_iter().filter_map(|tried| {
            let at = *times.get(&tried.hit)?;
            let given = given.remove(&tried.hit)?;
            (from..to).contains(&at).then_some((given, tried, at))
        });
        Self {
            partition,
            message,
            pairs: pairs.collect(),
        }
    }
}

impl Comparison {
    fn add(&mut self, judgement: Judgement) {
        let partition = judgement.partition;
        let public = |event: EventId| PublicId { partition, event }.to_string();
        let mut hits = Vec::new();
        for (given, tried, at) in judgement.pairs {
            self.hits += 1;
            self.classes.entry(given.class.as_str()).or_default().given += 1;
            self.classes.entry(tried.class.as_str()).or_default().tried += 1;
            if given.class != tried.class {
                hits.push(HitDifference {
                    hit: public(given.hit),
                    at,
                    given: given.class,
                    tried: tried.class,
                    given_reasons: given.reasons,
                    tried_reasons: tried.reasons,
                });
            }
        }
        if hits.is_empty() {
            return;
        }
        self.mails_differ += 1;
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(Difference {
                message: public(judgement.message.event()),
                hits,
            });
        }
    }
}
