//! `/v1/workflows/{id}/stats`: how many contacts came to each step, what they got, and where they are.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use store::StateError;
use types::catalogue::Workflow;
use types::id::WorkflowNumber;
use types::tally::{Counts, Dimensions, Hour, Measure};
use types::text::Slug;
use types::workflow::Step;

use super::asked;
use crate::app::{App, internal};
use crate::auth::Caller;
use crate::extract::{Params, Segments};
use crate::problem::Problem;
use crate::stats::hours;

/// How far back is looked when nothing is said.
const RANGE_DEFAULT: Duration = Duration::from_hours(30 * 24);

/// What is asked.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct WorkflowStatsParams {
    /// The shop the request is about. Demanded with the operator's key; with a shop's key it may only be its own.
    #[param(required = false)]
    shop: Option<String>,
    /// From when on; the hour in which it lies is counted whole. Default: 30 days before `to`.
    #[param(required = false, format = DateTime)]
    from: Option<String>,
    /// Until when; the hour in which it lies is counted whole. Default: now.
    #[param(required = false, format = DateTime)]
    to: Option<String>,
}

/// How a workflow does.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WorkflowStats {
    /// The beginning of the first hour counted.
    #[schema(format = DateTime)]
    from: String,
    /// The end of the last hour counted.
    #[schema(format = DateTime)]
    to: String,
    /// The whole workflow.
    totals: WorkflowTotals,
    /// Its steps, as the newest version has them; behind them those that only earlier versions had.
    steps: Vec<StepStats>,
}

/// The whole workflow's counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct WorkflowTotals {
    /// Contacts that entered.
    entered: u64,
    /// Contacts that came to the end.
    finished: u64,
    /// Contacts that left early.
    left: u64,
    /// Of these, by the reason's code.
    left_by: BTreeMap<String, u64>,
    /// Contacts that are inside at the end of the range, whenever they entered.
    inside: u64,
    /// Mails of all steps.
    mails: MailStats,
    /// Mails that were not sent, by the reason's code.
    suppressed: BTreeMap<String, u64>,
}

/// One step's counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StepStats {
    /// Its id.
    step: String,
    /// What it does; missing if the newest version does not have it.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, value_type = Option<String>)]
    kind: Option<&'static str>,
    /// Contacts that came to it.
    reached: u64,
    /// Contacts that went on from it.
    passed: u64,
    /// Contacts that left at it.
    left: u64,
    /// Of these, by the reason's code.
    left_by: BTreeMap<String, u64>,
    /// Contacts that wait at it at the end of the range, whenever they came.
    waiting: u64,
    /// Its mails.
    mails: MailStats,
    /// Its mails that were not sent, by the reason's code.
    suppressed: BTreeMap<String, u64>,
}

/// What became of mails.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MailStats {
    /// Decided to be sent.
    sent: u64,
    /// Taken by their receivers.
    delivered: u64,
    /// Pixels fetched by people, as judged.
    opens: u64,
    /// Mails that people opened.
    opens_unique: u64,
    /// Links followed by people, as judged.
    clicks: u64,
    /// Links of mails that people followed.
    clicks_unique: u64,
}

impl MailStats {
    fn of(counts: &Counts) -> Self {
        Self {
            sent: counts.get(Measure::Sent),
            delivered: counts.get(Measure::Delivered),
            opens: counts.get(Measure::OpensQualified),
            opens_unique: counts.get(Measure::OpensUnique),
            clicks: counts.get(Measure::ClicksQualified),
            clicks_unique: counts.get(Measure::ClicksUnique),
        }
    }
}

/// See how a workflow does
///
/// For each step, and for the whole: who came, went on, left and why, who waits, and what became of the mails. Counts are those of the
/// range; who is inside is counted from the workflow's beginning.
#[utoipa::path(
    get, path = "/v1/workflows/{id}/stats", tag = "workflows", operation_id = "getWorkflowStats",
    params(WorkflowStatsParams, ("id" = String, Path, description = "The workflow's id.", min_length = 1, max_length = 64)),
    responses((status = 200, description = "The counts.", body = WorkflowStats))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<WorkflowStatsParams>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let workflow = asked(&app, &caller, params.shop.as_deref(), &id)?;
    let (from, to) = hours(params.from.as_deref(), params.to.as_deref(), RANGE_DEFAULT, app.now())?;
    let _turn = app.admission.statistics().await?;
    app.fold().await;
    let number = workflow.number;
    let sums = app.apart(move |app| Sums::count(app, number, from, to)).await?;
    let sums = sums.map_err(|error| internal("reading state", &error))?;
    Ok(axum::Json(sums.into_stats(&workflow, from, to)).into_response())
}

/// What one step adds up to.
#[derive(Default)]
struct Sum {
    /// Within the range.
    counts: Counts,
    left_by: BTreeMap<Slug, u64>,
    suppressed: BTreeMap<Slug, u64>,
    /// From the beginning: who came, and neither passed nor left.
    waiting: i64,
}

/// The sums of all steps; `None` is the way in.
#[derive(Default)]
struct Sums(BTreeMap<Option<Slug>, Sum>);

impl Sums {
    fn count(app: &App, workflow: WorkflowNumber, from: Hour, to: Hour) -> Result<Self, StateError> {
        let mut sums = Self::default();
        for cell in app.store.state().cells().of_steps(workflow, Hour(0)..to) {
            let (key, counts) = cell?;
            let Dimensions::Step { step, reason, .. } = key.dimensions else {
                continue;
            };
            let (sum, is_within) = (sums.0.entry(step).or_default(), key.hour >= from);
            let Some(reason) = reason else {
                let gone = counts.get(Measure::Passed) + counts.get(Measure::Left);
                let came = counts.get(Measure::Reached);
                sum.waiting += i64::try_from(came).unwrap_or(i64::MAX) - i64::try_from(gone).unwrap_or(i64::MAX);
                if is_within {
                    sum.counts.merge(&counts);
                }
                continue;
            };
            if is_within {
                for (by, measure) in [
                    (&mut sum.left_by, Measure::Left),
                    (&mut sum.suppressed, Measure::Suppressed),
                ] {
                    let count = counts.get(measure);
                    if count > 0 {
                        *by.entry(reason.clone()).or_default() += count;
                    }
                }
            }
        }
        Ok(sums)
    }

    fn into_stats(mut self, workflow: &Workflow, from: Hour, to: Hour) -> WorkflowStats {
        let totals = self.totals();
        let mut steps = Vec::new();
        for step in &workflow.spec().steps {
            let sum = self.0.remove(&Some(step.id().clone())).unwrap_or_default();
            steps.push(sum.into_step(step.id().to_string(), Some(kind(step))));
        }
        let past = self.0.into_iter().filter_map(|(step, sum)| Some((step?, sum)));
        steps.extend(past.map(|(step, sum)| sum.into_step(step.into(), None)));
        WorkflowStats {
            from: from.begins().to_string(),
            to: to.begins().to_string(),
            totals,
            steps,
        }
    }

    fn totals(&self) -> WorkflowTotals {
        let (mut all, mut left_by, mut suppressed) = (Counts::default(), BTreeMap::new(), BTreeMap::new());
        let (mut inside, mut reached_steps) = (0, 0);
        for (step, sum) in &self.0 {
            all.merge(&sum.counts);
            inside += sum.waiting.max(0);
            if step.is_some() {
                reached_steps += sum.counts.get(Measure::Reached);
            }
            for (into, by) in [(&mut left_by, &sum.left_by), (&mut suppressed, &sum.suppressed)] {
                for (reason, count) in by {
                    *into.entry(reason.to_string()).or_default() += count;
                }
            }
        }
        let entered = self.0.get(&None).map_or(0, |sum| sum.counts.get(Measure::Reached));
        WorkflowTotals {
            entered,
            // Whoever passes a step comes to another, or to the end.
            finished: all.get(Measure::Passed).saturating_sub(reached_steps),
            left: all.get(Measure::Left),
            left_by,
            inside: inside.unsigned_abs(),
            mails: MailStats::of(&all),
            suppressed,
        }
    }
}

impl Sum {
    fn into_step(self, step: String, kind: Option<&'static str>) -> StepStats {
        let named = |by: BTreeMap<Slug, u64>| by.into_iter().map(|(reason, count)| (reason.into(), count)).collect();
        StepStats {
            step,
            kind,
            reached: self.counts.get(Measure::Reached),
            passed: self.counts.get(Measure::Passed),
            left: self.counts.get(Measure::Left),
            waiting: self.waiting.max(0).unsigned_abs(),
            mails: MailStats::of(&self.counts),
            left_by: named(self.left_by),
            suppressed: named(self.suppressed),
        }
    }
}

const fn kind(step: &Step) -> &'static str {
    match step {
        Step::Send { .. } => "send",
        Step::Wait { .. } => "wait",
        Step::Branch { .. } => "branch",
        Step::Group { .. } => "group",
        Step::Webhook { .. } => "webhook",
        Step::Exit { .. } => "exit",
    }
}
