//! `/v1/messages`: plain sends, one at a time or up to 500 in a batch.
//!
//! One object is answered 202 with its id, an array as every batch (see [`crate::batch`]). Each item has its own claim, made of the
//! `Idempotency-Key` and its index, so a batch that was cut short is sent again as it was: what was accepted is answered with the
//! same ids, and the rest is done now.
//!
//! A message with a template is rendered before it is accepted, in a turn of its shop (see [`crate::turns`]). A batch takes a turn for each
//! such item, and two seconds of a thread for all of them: items past that are refused with 429, and are sent in smaller batches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use policy::template::{Template, check_vars};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use serde_json::value::RawValue;
use types::catalogue::{Scope, Shop, TemplateKind, TemplateSource};
use types::event::{Event, MessageAccepted};
use types::id::PublicId;
use types::locale::Language;
use types::order::{Body, MessageRequest};

use crate::app::App;
use crate::auth::Caller;
use crate::batch::{self, BatchAnswer, Items};
use crate::body::Raw;
use crate::check;
use crate::extract::{Params, Segments, ShopParam};
use crate::json;
use crate::once::{self, Accepted, IdempotencyKey};
use crate::orders::accepted_answer;
use crate::problem::{Fault, Kind, Problem};
use crate::story::{self, MessageStory};

/// How long threads may work on the templates of one request, together.
const CHECKS_MAX: Duration = Duration::from_secs(2);

/// What a single message is answered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MessageAnswer {
    /// Names the accept; `GET /v1/messages/{id}` takes it.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
}

/// A message, or an array of 1 to 500 of them.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = MessageOrBatch)]
#[expect(dead_code, reason = "describes the body, which is read item by item")]
pub(crate) enum MessageOrBatch {
    /// One message.
    One(Box<MessageRequest>),
    /// Several.
    Batch(Vec<MessageRequest>),
}

/// Send plain messages
///
/// One message is answered 202 once it is durable. An array is answered 207 with a result for each item.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", operation_id = "postMessages",
    params(ShopParam, ("Idempotency-Key" = Option<String>, Header, description = "Names this request; kept for at least 72 hours.", min_length = 1, max_length = 255, pattern = "^[ -~]+$")),
    request_body(content = MessageOrBatch, example = json!({
        "to": {"email": "mario@example.it", "name": "Mario Rossi"}, "stream": "transactional",
        "body": {"content": {"subject": "Il tuo ordine è partito", "text": "Arriva domani."}}
    })),
    responses(
        (status = 202, description = "The message is durable.", body = MessageAnswer,
            headers(("Idempotent-Replayed" = Option<String>, description = "`true` when an earlier answer is repeated."))),
        (status = 207, description = "A result for each item of the batch.", body = BatchAnswer),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    headers: HeaderMap,
    raw: Raw,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?;
    let key = IdempotencyKey::read(&headers)?;
    json::scan(&raw.bytes)?;
    let sender = Sender {
        app,
        caller,
        shop,
        key,
        templates: HashMap::new(),
        budget: Budget::default(),
    };
    if batch::is_array(&raw.bytes) {
        let items: Vec<Box<RawValue>> = json::read(&raw.bytes)?;
        sender.batch(&items).await
    } else {
        sender.one(&raw.bytes).await
    }
}

/// One request's messages on their way in.
struct Sender {
    app: App,
    caller: Caller,
    shop: Arc<Shop>,
    key: IdempotencyKey,
    /// Templates that this request has used so far.
    templates: HashMap<(String, Language), Arc<Template>>,
    /// What its templates may still take.
    budget: Budget,
}

impl Items for Sender {
    async fn job(&mut self, bytes: &[u8], index: usize) -> Result<batch::Job, Problem> {
        let job = self.message(bytes, Some(index)).await?;
        Ok(Box::pin(job.run()))
    }
}

impl Sender {
    async fn one(mut self, bytes: &[u8]) -> Result<Response, Problem> {
        let job = self.message(bytes, None).await?;
        let accepted = job.run().await?;
        let answer = MessageAnswer {
            id: accepted.id.to_string(),
        };
        Ok(accepted_answer(accepted, &answer))
    }

    async fn batch(self, items: &[Box<RawValue>]) -> Result<Response, Problem> {
        let (app, caller) = (self.app.clone(), self.caller.clone());
        batch::run(&app, &caller, items, self).await
    }

    /// Reads and checks one message.
    async fn message(&mut self, bytes: &[u8], item: Option<usize>) -> Result<Job, Problem> {
        let mut request: MessageRequest = json::read(bytes)?;
        check::message(&request, self.app.now())?;
        if matches!(request.body, Body::Template(_)) {
            request = self.check_template(request).await?;
        }
        let body = once::content_digest("/v1/messages", &request);
        let claims: Vec<_> = self
            .key
            .claim(&self.caller, &self.shop, item, body)
            .into_iter()
            .collect();
        let person = self.app.keyring.person(&request.to.email);
        Ok(Job {
            app: self.app.clone(),
            event: MessageAccepted {
                shop: self.shop.number,
                person,
                request,
                claims,
                origin: None,
            },
        })
    }

    /// Refuses a template that is not there, or that does not render with these variables. Each message takes a turn of the shop.
    async fn check_template(&mut self, request: MessageRequest) -> Result<MessageRequest, Problem> {
        let Body::Template(used) = &request.body else {
            return Ok(request);
        };
        let missing = || {
            Problem::invalid(vec![Fault::new(
                "/body/template/id",
                "is not a message template of this shop",
            )])
        };
        let catalogue = self.app.catalogue();
        let stored = catalogue.template(self.shop.number, &used.id).ok_or_else(missing)?;
        if stored.spec.kind != TemplateKind::Message {
            return Err(missing());
        }
        let (language, _) = source(&stored.spec.sources, &request, &self.shop).ok_or_else(missing)?;
        self.budget.left()?;
        let (name, stored) = ((used.id.to_string(), language), Arc::clone(stored));
        let known = self.templates.get(&name).cloned();
        let work = move |_: &App| {
            let begun = worked();
            let template = known.map_or_else(|| compile(&stored.spec.sources, language), Ok);
            let filled = template.as_ref().map(|template| fill(template, &request));
            let filled = filled.unwrap_or(Ok(()));
            (request, template, filled, worked().saturating_sub(begun))
        };
        // The request counts as a body until it is answered.
        let (request, template, filled, took) = self.app.in_turn(self.shop.number, 0, work).await?;
        self.budget.charge(took);
        self.templates.insert(name, template?);
        filled?;
        Ok(request)
    }
}

fn compile(sources: &BTreeMap<Language, TemplateSource>, language: Language) -> Result<Arc<Template>, Problem> {
    let unusable = |fault: &dyn std::fmt::Display| {
        let fault = format!("cannot be used: {fault}");
        Problem::invalid(vec![Fault::new("/body/template/id", fault)])
    };
    let source = sources.get(&language).ok_or_else(|| unusable(&"it is empty"))?;
    // It was put before a bound was there that it passes.
    Template::compile(source)
        .map(Arc::new)
        .map_err(|fault| unusable(&fault))
}

/// Refuses variables with which the template does not render.
fn fill(template: &Template, request: &MessageRequest) -> Result<(), Problem> {
    let Body::Template(used) = &request.body else {
        return Ok(());
    };
    let vars = used.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    check_vars(template, vars).map_err(|fault| {
        let fault = format!("do not fill the template: {}: {}", fault.part.as_str(), fault.message);
        Problem::invalid(vec![Fault::new("/body/template/vars", fault)])
    })
}

/// Returns how long this thread has worked. Unlike a clock on the wall, it does not make a batch dear on a busy machine.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// What the templates of one request may take of a thread. The item that uses it up is still checked.
#[derive(Debug)]
struct Budget {
    left: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: CHECKS_MAX }
    }
}

impl Budget {
    /// Refuses an item once all is used up.
    fn left(&self) -> Result<(), Problem> {
        if self.left.is_zero() {
            let detail = "the batch's templates took too long: send fewer items";
            return Err(Problem::new(Kind::Limited, detail));
        }
        Ok(())
    }

    const fn charge(&mut self, took: Duration) {
        self.left = self.left.saturating_sub(took);
    }
}

/// Returns the source for the recipient's language, else for the shop's, else the first.
fn source<'a>(
    sources: &'a BTreeMap<Language, TemplateSource>,
    request: &MessageRequest,
    shop: &Shop,
) -> Option<(Language, &'a TemplateSource)> {
    let wanted = request.to.locale.as_deref().and_then(Language::of_tag);
    wanted
        .into_iter()
        .chain([shop.spec.language])
        .find_map(|language| Some((language, sources.get(&language)?)))
        .or_else(|| sources.iter().next().map(|(language, source)| (*language, source)))
}

/// One message, checked, with its claims.
struct Job {
    app: App,
    event: MessageAccepted,
}

impl Job {
    async fn run(self) -> Result<Accepted, Problem> {
        let (partition, claims) = (self.event.person.partition(), self.event.claims.clone());
        let event = Event::MessageAccepted(Box::new(self.event));
        let accepted = once::accept(&self.app, partition, event, claims).await?;
        if !accepted.replayed {
            self.app.metrics.messages_accepted.inc();
        }
        Ok(accepted)
    }
}

/// Ask what became of a message
///
/// Takes the id of an accept or of a message, and gives its whole history.
#[utoipa::path(
    get, path = "/v1/messages/{id}", tag = "messages", operation_id = "getMessage",
    params(("id" = String, Path, description = "The accept's id, or the message's.", pattern = "^[a-z2-7]{16}$")),
    responses((status = 200, description = "The message's story.", body = MessageStory))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    caller.may(Scope::Read)?;
    Ok(axum::Json(story_of(&app, &caller, &id).await?).into_response())
}

/// Finds the story of a message that the caller may see.
pub(crate) async fn story_of(app: &App, caller: &Caller, id: &str) -> Result<MessageStory, Problem> {
    let missing = || Problem::not_found("message");
    let id: PublicId = id.parse().map_err(|_| missing())?;
    app.fold().await;
    let story = story::message(app, id).await?;
    story.filter(|story| caller.sees(&story.shop)).ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_checked_until_the_budget_is_over() {
        let mut budget = Budget::default();
        budget.charge(CHECKS_MAX.saturating_sub(Duration::from_nanos(1)));
        assert!(budget.left().is_ok());
        budget.charge(CHECKS_MAX);
        assert_eq!(budget.left().unwrap_err().kind(), Kind::Limited);
    }
}
