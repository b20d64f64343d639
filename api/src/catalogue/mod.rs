//! Shops, campaigns, templates and keys: documents that are put whole.
//!
//! A put is journaled, folded by the catalogue's one writer, and answered once the new version is in force, so that
//! the very next request sees it. A put that changes nothing writes nothing. Deletion is a tombstone: links in mails
//! already sent go on working.

pub(crate) mod campaigns;
pub(crate) mod fields;
pub(crate) mod groups;
pub(crate) mod keys;
pub(crate) mod leads;
pub(crate) mod publication;
pub(crate) mod shops;
pub(crate) mod templates;

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde::Serialize;
use types::catalogue::Catalogue;
use types::event::{CatalogueChanged, Event};
use types::id::PartitionId;
use types::text::Slug;

use crate::app::App;
use crate::problem::{Fault, Kind, Problem};

/// How long a change that is durable may take to come into force before its answer says 503.
const IN_FORCE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many ids of fields, and of groups, one shop may use up by deleting: each is remembered for ever.
const DELETED_MAX: usize = 10_000;

impl App {
    /// Journals a change of the catalogue and returns once `in_force` holds of the snapshot that everyone reads.
    pub(crate) async fn change(
        &self,
        change: CatalogueChanged,
        in_force: impl Fn(&Catalogue) -> bool,
    ) -> Result<(), Problem> {
        let event = Event::CatalogueChanged(Box::new(change));
        self.submit(PartitionId::CATALOGUE, event).await?;
        let waiting = async {
            // The commit swaps the catalogue within microseconds: look again soon, then ever more rarely.
            let mut pause = Duration::from_micros(200);
            while !in_force(&self.catalogue()) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
        };
        let timed_out = |_| {
            Problem::new(Kind::Busy, "the change is durable, but not in force yet").retry_after(Duration::from_secs(5))
        };
        tokio::time::timeout(IN_FORCE_TIMEOUT, waiting).await.map_err(timed_out)
    }
}

/// Answers a put: 201 for what is new, 200 for what was there.
pub(crate) fn put_answer(new: bool, view: &impl Serialize) -> Response {
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    (status, axum::Json(view)).into_response()
}

/// Refuses an id of a field or a group that was deleted: contacts may still hold what was kept under it.
fn never_deleted<'a>(mut deleted: impl Iterator<Item = &'a Slug>, id: &Slug) -> Result<(), Problem> {
    let mut count = 0_usize;
    if deleted.any(|deleted| {
        count += 1;
        deleted == id
    }) {
        let fault = Fault::new("id", "was deleted, and is not used again; put another one");
        return Err(Problem::new(Kind::Conflict, "contacts may still hold what was kept under this id").with(fault));
    }
    if count >= DELETED_MAX {
        let detail = format!("the shop deleted {DELETED_MAX} of them, and has used up its ids");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    Ok(())
}
