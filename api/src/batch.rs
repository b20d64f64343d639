//! Batches: an array of 1 to 500 items, each with its own result.
//!
//! An array is always answered 207 with one result for each item, in its order: the id, or the problem that this item alone has. The
//! status says that one has to look inside; a batch is refused as a whole only when it is no JSON array of 1 to 500 items or too large.

use std::future::Future;
use std::pin::Pin;

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::{JoinError, JoinSet};

use crate::app::App;
use crate::auth::Caller;
use crate::once::Accepted;
use crate::problem::{Document, Fault, Kind, Problem};

/// The most items of a batch.
const ITEMS_MAX: usize = 500;
/// How many items of one batch are on their way to the disk at once. More would only fill the inboxes.
const IN_FLIGHT_MAX: usize = 128;

/// What became of one item.
pub(crate) type Outcome = Result<Accepted, Problem>;
/// An item's work, which runs beside that of others.
pub(crate) type Job = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Reads and checks the items of one batch.
pub(crate) trait Items {
    /// Reads and checks the item at `index`. Items come one after the other.
    fn job(&mut self, bytes: &[u8], index: usize) -> impl Future<Output = Result<Job, Problem>> + Send;
}

/// What a batch is answered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BatchAnswer {
    /// One result for each item, in the order of the items.
    results: Vec<ItemResult>,
}

/// What became of one item: it has an `id` or a `problem`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ItemResult {
    /// The item's place in the batch, from 0.
    index: usize,
    /// Names the accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, pattern = "^[a-z2-7]{16}$")]
    id: Option<String>,
    /// Whether an earlier answer is repeated.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    replayed: bool,
    /// Why the item was not accepted. Its pointers start at the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Document>,
}

/// Returns whether a body is an array, by its first byte.
pub(crate) fn is_array(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Works on all items, so many at once, and answers with a result for each.
pub(crate) async fn run(
    app: &App,
    caller: &Caller,
    items: &[Box<RawValue>],
    mut reader: impl Items,
) -> Result<Response, Problem> {
    if items.is_empty() || items.len() > ITEMS_MAX {
        let fault = format!("has {} items; 1 to {ITEMS_MAX} are allowed", items.len());
        return Err(Problem::invalid(vec![Fault::new("", fault)]));
    }
    // The request itself was counted when it was authenticated.
    let more = u32::try_from(items.len() - 1).unwrap_or(u32::MAX);
    app.limits.count(caller, more)?;
    let mut results: Vec<Option<Outcome>> = Vec::new();
    results.resize_with(items.len(), || None);
    let mut running = JoinSet::new();
    for (index, item) in items.iter().enumerate() {
        if running.len() == IN_FLIGHT_MAX {
            keep(running.join_next().await, &mut results);
        }
        match reader.job(item.get().as_bytes(), index).await {
            Ok(job) => {
                running.spawn(async move { (index, job.await) });
            }
            Err(problem) => keep(Some(Ok((index, Err(problem)))), &mut results),
        }
    }
    while let Some(done) = running.join_next().await {
        keep(Some(done), &mut results);
    }
    let results = results.into_iter().enumerate();
    let answer = BatchAnswer {
        results: results.map(|(index, outcome)| result(app, index, outcome)).collect(),
    };
    Ok((StatusCode::MULTI_STATUS, axum::Json(answer)).into_response())
}

fn result(app: &App, index: usize, outcome: Option<Outcome>) -> ItemResult {
    match outcome {
        Some(Ok(accepted)) => ItemResult {
            index,
            id: Some(accepted.id.to_string()),
            replayed: accepted.replayed,
            problem: None,
        },
        other => {
            let problem = match other {
                Some(Err(problem)) => problem,
                _ => Problem::new(Kind::Internal, "the item could not be worked on"),
            };
            app.metrics.refuse(problem.kind());
            ItemResult {
                index,
                id: None,
                replayed: false,
                problem: Some(problem.into_document()),
            }
        }
    }
}

/// Puts a finished item's result into its place.
fn keep(done: Option<Result<(usize, Outcome), JoinError>>, results: &mut [Option<Outcome>]) {
    if let Some(Ok((index, result))) = done
        && let Some(place) = results.get_mut(index)
    {
        *place = Some(result);
    }
}
