//! What became of the mails that did not come: the ledger says which they are, and the service is asked what it knows of each.
//!
//! A mail that was acknowledged and never came is lost only if nobody has an account of it. The service may still hold it (waiting, or
//! in doubt), may have been refused by the receiver for good, or may have the receiver's 250 for it: then the receiver lost it.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context;
use serde_json::Value;

use crate::ledger::{Account, Kind, Ledger, Tag};
use crate::report::Table;
use crate::service::Staffetta;

/// How many missing mails of a kind are asked for one by one.
const ASKED_MAX: usize = 1000;
/// How many are named in a report.
const NAMED_MAX: usize = 20;

/// What the service knows of a mail that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// The receiver answered 250 and does not have it: not ours.
    LostByReceiver,
    /// Its final dot may have been sent; held, as promised.
    InDoubt,
    /// It waits in a queue.
    Waiting,
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
    /// Missing, and not asked for because they are too many.
    pub(crate) unasked: usize,
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
        (!parts.is_empty()).then(|| format!("{}: {}", self.kind.as_str(), parts.join(", ")))
    }

    /// Returns how many have a fate.
    pub(crate) fn of(&self, fate: Fate) -> usize {
        self.fates.get(&fate).map_or(0, Vec::len)
    }
}

/// Closes the books on every kind that was asked for.
pub(crate) async fn judge(
    service: &Staffetta,
    ledger: &Ledger,
    recipient: impl Fn(Tag) -> String,
) -> anyhow::Result<Vec<Judgement>> {
    let mut judgements = Vec::new();
    for kind in Kind::ALL {
        let account = ledger.account(kind);
        if account.asked == 0 {
            continue;
        }
        let mut fates: BTreeMap<Fate, Vec<Tag>> = BTreeMap::new();
        // What the receiver put off may have been lost since as well as what it never saw.
        let absent: Vec<u32> = account.missing.iter().chain(&account.deferred).copied().collect();
        for number in absent.iter().take(ASKED_MAX) {
            let tag = Tag { kind, number: *number };
            let fate = fate(service, ledger, tag, &recipient(tag))
                .await
                .with_context(|| format!("asking for {tag}"))?;
            fates.entry(fate).or_default().push(tag);
        }
        judgements.push(Judgement {
            kind,
            unasked: absent.len().saturating_sub(ASKED_MAX),
            account,
            fates,
        });
    }
    Ok(judgements)
}

/// Asks what became of one mail.
async fn fate(service: &Staffetta, ledger: &Ledger, tag: Tag, recipient: &str) -> anyhow::Result<Fate> {
    let api = service.addresses().api;
    let ask = async |path: String| service.ask(api, service.shop_key(), "GET", &path, None).await;
    let id = match tag.kind {
        Kind::Timer => {
            let answer = ask(format!("/v1/contacts/{recipient}/timeline")).await?;
            if answer.status == 404 {
                return Ok(Fate::Unknown);
            }
            match mail_of(&answer.json()?) {
                Some(id) => id,
                None => return Ok(Fate::Waiting),
            }
        }
        Kind::Order | Kind::Message | Kind::Prepared => ledger.id(tag).context("it was acknowledged without an id")?,
    };
    let answer = ask(format!("/v1/messages/{id}")).await?;
    if answer.status == 404 {
        return Ok(Fate::Unknown);
    }
    Ok(read(&answer.json()?))
}

/// Returns the mail that a contact's timeline tells of, if one was sent.
fn mail_of(timeline: &Value) -> Option<String> {
    let events = timeline.get("events")?.as_array()?;
    let id = events.iter().find_map(|event| event.get("message")?.as_str())?;
    Some(id.to_owned())
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
        [] => Fate::Waiting,
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

impl Judgement {
    /// Returns how many acknowledged mails nobody has: lost by the service, or by the receiver.
    pub(crate) fn lost(&self) -> usize {
        self.of(Fate::Unknown) + self.of(Fate::LostByReceiver)
    }
}

/// Returns the account of each kind, and who the mails are that are amiss.
pub(crate) fn tables(judgements: &[Judgement], strangers: u64) -> Vec<Table> {
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
            "What did not come is not lost while the service accounts for it, as the table below says. {strangers} mails came \
             that nobody had asked for."
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
