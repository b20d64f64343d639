//! One stream: from the journal to its client.

use std::fmt::Write;
use std::time::Duration;

use bytes::Bytes;
use store::journal::{Position, Record};
use store::{StateError, Tail, TailError};
use tokio_util::sync::CancellationToken;
use types::event::Notice;

use super::{Filter, Place, Start, write_id};
use crate::app::{App, internal};

/// Records that are looked at for one portion.
pub(super) const RECORDS_MAX: usize = 256;
/// How often a client hears from us when nothing happens that it may see.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What tells a client that it missed something.
const GAP: &str = "event: gap\ndata: {\"type\":\"gap\"}\n";

/// Follows the journal for one client. Dropped, it is over.
pub(super) struct Feed {
    app: App,
    filter: Filter,
    incarnation: [u8; 16],
    tail: Tail,
    /// The position up to which the client has seen all that it may.
    seen: u64,
    /// What is sent at once, so that the client knows that it is heard.
    hello: Option<String>,
    stop: CancellationToken,
    _place: Place,
}

impl Feed {
    pub(super) fn new(app: App, filter: Filter, start: &Start, stop: CancellationToken, place: Place) -> Self {
        let mut feed = Self {
            incarnation: app.store.incarnation(),
            tail: app.store.tail(start.from),
            seen: start.from.0.saturating_sub(1),
            filter,
            hello: None,
            app,
            stop,
            _place: place,
        };
        let mut hello = String::from(": events\nretry: 2000\n");
        if start.gap {
            hello.push_str(GAP);
        }
        feed.mark(&mut hello);
        feed.hello = Some(hello);
        feed
    }

    /// Returns what is sent next, waiting for it; `None` when the stream is over.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        if let Some(hello) = self.hello.take() {
            return Some(hello.into());
        }
        let keep_alive = tokio::time::sleep(KEEP_ALIVE);
        let mut keep_alive = std::pin::pin!(keep_alive);
        while self.filter.ends.is_none_or(|ends| self.seen < ends) {
            let told = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                // Cancel-safe: what was read for nobody comes first in the next answer.
                read = self.tail.next(RECORDS_MAX) => match read {
                    Ok(records) => {
                        self.seen = records.last().map_or(self.seen, |record| record.position.0);
                        self.told(records).await?
                    }
                    Err(error) => self.missed(&error)?,
                },
                () = &mut keep_alive => {
                    let mut alive = String::from(": alive\n");
                    self.mark(&mut alive);
                    alive
                }
            };
            if self.filter.caller.is_revoked(&self.app) {
                return None;
            }
            if !told.is_empty() {
                return Some(told.into());
            }
        }
        None
    }

    /// Writes what the client may see of these records. Reads the disk, on a thread that may.
    async fn told(&mut self, records: Vec<Record>) -> Option<String> {
        // Whose mail was attempted is known from state.
        let is_looked_up = |record: &Record| record.event.is_public() && record.event.about().is_looked_up();
        if records.iter().any(is_looked_up) {
            self.app.fold().await;
        }
        let (viewer, name, incarnation) = (self.filter.viewer, self.filter.name, self.incarnation);
        let told = self.app.apart(move |app| {
            let (catalogue, mut told) = (app.catalogue(), String::new());
            for record in &records {
                if name.is_some_and(|name| name != record.event.name()) {
                    continue;
                }
                let Some(telling) = app.store.state().histories().telling(record, &catalogue, viewer)? else {
                    continue;
                };
                if let Some(notice) = Notice::of(&record.event, &telling) {
                    let json = serde_json::to_string(&notice).expect("a notice is names and numbers");
                    let (id, name) = (write_id(incarnation, record.position.0), notice.name);
                    write!(told, "id: {id}\nevent: {name}\ndata: {json}\n\n").expect("strings take all");
                }
            }
            Ok::<_, StateError>(told)
        });
        // A failure is logged, and the client comes back with the last id that it saw.
        told.await.ok()?.map_err(|error| internal("reading state", &error)).ok()
    }

    /// Says what the client is told after a failed read, and goes on from there; `None` at the end.
    fn missed(&mut self, error: &TailError) -> Option<String> {
        let TailError::Gone { first } = *error else {
            if !matches!(error, TailError::Ended) {
                tracing::error!(%error, "a stream of events ends, since the journal cannot be read");
            }
            return None;
        };
        self.seen = first.0.saturating_sub(1);
        self.tail = self.app.store.tail(Position(first.0));
        let mut told = String::from(GAP);
        self.mark(&mut told);
        Some(told)
    }

    /// Ends a block with the id up to which the client has seen all that it may.
    fn mark(&self, block: &mut String) {
        write!(block, "id: {}\n\n", write_id(self.incarnation, self.seen)).expect("writing to a string cannot fail");
    }
}
