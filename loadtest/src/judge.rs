//! What became of the mails that did not come: the ledger says which they are, and the service is asked what it knows of each.
//!
//! A mail that was acknowledged and never came is lost only if nobody has an account of it. The service may still hold it (waiting, or
//! in doubt), may have been refused by the receiver for good, or may have the receiver's 250 for it: then the receiver lost it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::future::join_all;
use serde_json::Value;

use crate::http::{self, Connection};
use crate::ledger::{Account, Kind, Ledger, Tag};
use crate::report::Table;
use crate::service::Staffetta;
use crate::sink::Tally;

/// How many are asked for at once, each on a connection of its own.
const ASKERS: usize = 8;
/// For how long is asked; what is left then is a fault, as nothing says that it is not lost.
const ASKED_FOR: Duration = Duration::from_mins(3);
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
const TRIES: u32 = 3;
/// How many are named in a report.
const NAMED_MAX: usize = 20;

/// What the service knows of a mail that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// The receiver answered 250 and does not have it: not ours.
    LostByReceiver,
    /// Its final dot may have been sent; held, as promised.
    InDoubt,
    /// It waits in a queue, or for the end of its wait.
    Waiting,
    /// What causes it is known, but no mail was made yet.
    Unmade,
    /// The receiver refused it for good, or nothing was to be sent.
    Refused,
    /// The service does not know it: lost.
    Unknown,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LostByReceiver => "answered with 250 by the receiver, and not there",
            Self::InDoubt => "in doubt: its final dot may have been sent, so it is held",
            Self::Waiting => "still waiting in the service",
            Self::Unmade => "known to the service, which has made no mail of it yet",
            Self::Refused => "refused for good",
            Self::Unknown => "unknown to the service: lost",
        })
    }
}

/// What came of one kind of mail.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) kind: Kind,
    pub(crate) account: Account,
    /// Of those missing that were asked for.
    pub(crate) fates: BTreeMap<Fate, Vec<Tag>>,
    /// Missing, and not asked for: there were too many for the time, or the service did not answer.
    pub(crate) unasked: usize,
    /// Why the service did not answer.
    pub(crate) silence: Option<String>,
}

impl Judgement {
    /// Says what is amiss with it. None: nothing is.
    pub(crate) fn fault(&self) -> Option<String> {
        let account = &self.account;
        let mut parts = Vec::new();
        for (what, numbers) in [("sent twice", &account.twice), ("damaged", &account.damaged)] {
            if !numbers.is_empty() {
                parts.push(format!("{} {what}", numbers.len()));
            }
        }
        for (fate, what) in [
            (Fate::Unknown, "lost by the service"),
            (Fate::LostByReceiver, "answered with 250 by the receiver and lost there"),
        ] {
            if self.of(fate) > 0 {
                parts.push(format!("{} {what}", self.of(fate)));
            }
        }
        if self.unasked > 0 {
            let why = self.silence.as_deref().unwrap_or("there was no time");
            parts.push(format!("{} did not come and were not asked for: {why}", self.unasked));
        }
        (!parts.is_empty()).then(|| format!("{}: {}", self.kind.as_str(), parts.join(", ")))
    }

    /// Returns how many did not come, and the service accounts for.
    pub(crate) fn accounted_for(&self) -> usize {
        [Fate::InDoubt, Fate::Waiting, Fate::Unmade]
            .map(|fate| self.of(fate))
            .iter()
            .sum()
    }

    /// Returns how many acknowledged mails nobody has: lost by the service, or by the receiver.
    pub(crate) fn lost(&self) -> usize {
        self.of(Fate::Unknown) + self.of(Fate::LostByReceiver)
    }

    /// Returns how many have a fate.
    pub(crate) fn of(&self, fate: Fate) -> usize {
        self.fates.get(&fate).map_or(0, Vec::len)
    }
}

/// Closes the books on every kind that was asked for.
pub(crate) async fn judge(service: &Staffetta, ledger: &Ledger, recipient: impl Fn(Tag) -> String) -> Vec<Judgement> {
    let mut judgements = Vec::new();
    let end = Instant::now() + ASKED_FOR;
    for kind in Kind::ALL {
        let account = ledger.account(kind);
        if account.asked == 0 {
            continue;
        }
        // What the receiver put off may have been lost since as well as what it never saw.
        let absent: Vec<u32> = account.missing.iter().chain(&account.deferred).copied().collect();
        let askers = (0..ASKERS).map(async |first| {
            let mut asker = Asker::new(service);
            let mut told = Vec::new();
            for number in absent.iter().skip(first).step_by(ASKERS) {
                if Instant::now() >= end {
                    break;
                }
                let tag = Tag { kind, number: *number };
                match asker.fate(ledger, tag, &recipient(tag)).await {
                    Ok(fate) => told.push((fate, tag)),
                    Err(error) => return (told, Some(format!("asking for {tag}: {error:#}"))),
                }
            }
            (told, None)
        });
        let mut fates: BTreeMap<Fate, Vec<Tag>> = BTreeMap::new();
        let mut silence = None;
        for (told, error) in join_all(askers).await {
            for (fate, tag) in told {
                fates.entry(fate).or_default().push(tag);
            }
            silence = silence.or(error);
        }
        for tags in fates.values_mut() {
            tags.sort_unstable();
        }
        judgements.push(Judgement {
            kind,
            unasked: absent.len() - fates.values().map(Vec::len).sum::<usize>(),
            silence,
            account,
            fates,
        });
    }
    judgements
}

/// Asks the service what became of mails, one after the other.
struct Asker<'a> {
    service: &'a Staffetta,
    connection: Option<Connection>,
}

impl<'a> Asker<'a> {
    const fn new(service: &'a Staffetta) -> Self {
        Self {
            service,
            connection: None,
        }
    }

    /// Asks what became of one mail.
    async fn fate(&mut self, ledger: &Ledger, tag: Tag, recipient: &str) -> anyhow::Result<Fate> {
        let id = match tag.kind {
            Kind::Timer => match self.ask(&format!("/v1/contacts/{recipient}/timeline")).await? {
                None => return Ok(Fate::Unknown),
                Some(timeline) => match mail_of(&timeline) {
                    Ok(id) => id,
                    Err(fate) => return Ok(fate),
                },
            },
            Kind::Order | Kind::Message | Kind::Prepared => {
                ledger.id(tag).context("it was acknowledged without an id")?
            }
        };
        let story = self.ask(&format!("/v1/messages/{id}")).await?;
        Ok(story.as_ref().map_or(Fate::Unknown, read))
    }

    /// Returns what is told of a path. None: it is not known.
    async fn ask(&mut self, path: &str) -> anyhow::Result<Option<Value>> {
        let address = self.service.addresses().api;
        let headers = format!("authorization: Bearer {}\r\n", self.service.shop_key());
        let request = http::request("GET", path, &address.to_string(), &headers, b"");
        let mut tries = 0;
        loop {
            tries += 1;
            let kept = self.connection.take();
            let exchange = async {
                let mut connection = match kept {
                    Some(kept) => kept,
                    None => Connection::open(address).await?,
                };
                let answer = connection.exchange(&request).await?;
                anyhow::Ok((answer, connection))
            };
            let answered = tokio::time::timeout(ANSWERED_WITHIN, exchange).await;
            match answered.context("no answer in time").flatten() {
                Ok((answer, connection)) => {
                    self.connection = (!answer.closes).then_some(connection);
                    return match answer.status {
                        404 => Ok(None),
                        429 | 503 if tries < TRIES => {
                            tokio::time::sleep(Duration::from_secs(1)).await;
                            continue;
                        }
                        _ => answer.json().map(Some),
                    };
                }
                // A kept connection may have been closed meanwhile.
                Err(error) if tries >= TRIES => bail!(error),
                Err(_) => {}
            }
        }
    }
}

/// Returns the mail that a contact's timeline tells of. Err: none was sent, and this is how it stands.
fn mail_of(timeline: &Value) -> Result<String, Fate> {
    let list = |name: &str| timeline.get(name).and_then(Value::as_array).into_iter().flatten();
    if let Some(id) = list("events").find_map(|event| event.get("message")?.as_str()) {
        return Ok(id.to_owned());
    }
    // Contacts were there before the run; that its event is not lost shows in the workflow that it started.
    if list("workflows").next().is_none() {
        return Err(Fate::Unknown);
    }
    let inside = |workflow: &Value| workflow.pointer("/inside/0").is_some();
    Err(if list("workflows").any(inside) {
        Fate::Waiting
    } else {
        Fate::Refused
    })
}

/// Reads the fate from a story.
fn read(story: &Value) -> Fate {
    let refused = story.pointer("/decision/verdict").and_then(Value::as_str) == Some("refuse");
    let states: Vec<&str> = story
        .get("messages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|message| message.get("state")?.as_str())
        .collect();
    match states.as_slice() {
        [] if refused => Fate::Refused,
        [] => Fate::Unmade,
        states if states.contains(&"delivered") => Fate::LostByReceiver,
        states if states.contains(&"in_doubt") => Fate::InDoubt,
        states
            if states
                .iter()
                .any(|state| matches!(*state, "failed" | "expired" | "withdrawn" | "refused")) =>
        {
            Fate::Refused
        }
        _ => Fate::Waiting,
    }
}

/// Returns the account of each kind, and who the mails are that are amiss.
pub(crate) fn tables(judgements: &[Judgement], tally: &Tally) -> Vec<Table> {
    let (hashes, signatures) = (tally.body_hashes + tally.digests, tally.dkim_checked);
    let rows = judgements.iter().map(|judgement| {
        let account = &judgement.account;
        let mut row = vec![judgement.kind.as_str().to_owned()];
        let counts = [
            account.asked,
            account.acknowledged,
            account.taken,
            account.refused,
            account.unacknowledged,
        ];
        row.extend(counts.iter().map(u64::to_string));
        let amiss = [
            account.missing.len() + account.deferred.len(),
            judgement.lost(),
            account.twice.len(),
            account.damaged.len(),
        ];
        row.extend(amiss.iter().map(usize::to_string));
        row
    });
    let columns = [
        "mails",
        "asked for",
        "acknowledged",
        "taken",
        "refused for good",
        "taken, not acknowledged",
        "did not come",
        "lost",
        "twice",
        "damaged",
    ];
    let mut tables = vec![Table {
        title: "Every mail".to_owned(),
        about: format!(
            "What did not come is not lost while the service accounts for it, as the table below says. {hashes} body hashes were \
             compared, and {signatures} signatures verified whole. {} mails came that nobody had asked for.",
            tally.strangers
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }];
    let mut rows = Vec::new();
    for judgement in judgements {
        let mut push = |what: String, tags: Vec<String>| {
            if !tags.is_empty() {
                rows.push(vec![what, tags.len().to_string(), named(&tags)]);
            }
        };
        let kind = judgement.kind;
        let tags = |numbers: &[u32]| {
            numbers
                .iter()
                .map(|number| Tag { kind, number: *number }.to_string())
                .collect()
        };
        for (fate, of) in &judgement.fates {
            push(fate.to_string(), of.iter().map(Tag::to_string).collect());
        }
        push("came twice".to_owned(), tags(&judgement.account.twice));
        push("came with other bytes".to_owned(), tags(&judgement.account.damaged));
    }
    if !rows.is_empty() {
        tables.push(Table {
            title: "Mails that did not come once and whole".to_owned(),
            about: "As the service knows them.".to_owned(),
            columns: ["what", "how many", "which"].map(str::to_owned).to_vec(),
            rows,
        });
    }
    tables
}

/// Names the first of many.
fn named(tags: &[String]) -> String {
    let first: Vec<&str> = tags.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = tags.len().saturating_sub(NAMED_MAX);
    match more {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_is_lost_if_no_workflow_knows_of_it() {
        let contact = json!({ "contact": {}, "workflows": [], "events": [{ "kind": "contact_changed" }] });
        assert_eq!(mail_of(&contact), Err(Fate::Unknown));
        let waits = json!({ "workflows": [{ "entries": 1, "inside": [{ "step": "wait" }] }], "events": [] });
        assert_eq!(mail_of(&waits), Err(Fate::Waiting));
        let left = json!({ "workflows": [{ "entries": 1, "inside": [] }], "events": [] });
        assert_eq!(mail_of(&left), Err(Fate::Refused));
        let sent = json!({ "workflows": [{}], "events": [{ "message": "abc" }] });
        assert_eq!(mail_of(&sent), Ok("abc".to_owned()));
    }

    #[test]
    fn what_nobody_was_asked_for_is_no_success() {
        let mut judgement = Judgement {
            kind: Kind::Order,
            account: Account::default(),
            fates: BTreeMap::new(),
            unasked: 0,
            silence: None,
        };
        assert_eq!(judgement.fault(), None);
        judgement.unasked = 3;
        assert_eq!(
            judgement.fault().unwrap(),
            "orders: 3 did not come and were not asked for: there was no time"
        );
    }

    #[test]
    fn fates_are_read_from_stories() {
        let story = |states: &[&str]| {
            let messages: Vec<Value> = states.iter().map(|state| json!({ "state": state })).collect();
            read(&json!({ "messages": messages }))
        };
        assert_eq!(story(&[]), Fate::Unmade);
        assert_eq!(story(&["queued"]), Fate::Waiting);
        assert_eq!(story(&["delivered"]), Fate::LostByReceiver);
        assert_eq!(story(&["in_doubt"]), Fate::InDoubt);
        assert_eq!(read(&json!({ "decision": { "verdict": "refuse" } })), Fate::Refused);
    }
}
