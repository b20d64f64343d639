//! `/v1/messages`: plain sends, one at a time or up to 500 in a batch.
//!
//! One object is answered 202 with its id, an array as every batch (see [`crate::batch`]). Each item has its own claim, made of the
//! `Idempotency-Key` and its index, so a batch that was cut short is sent again as it was: what was accepted is answered with the
//! same ids, and the rest is done now.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use hyper::HeaderMap;
use policy::template::{Template, check_vars};
use serde::Serialize;
use serde_json::value::RawValue;
use types::catalogue::{Scope, Shop, TemplateKind, TemplateSource};
use types::event::{Event, MessageAccepted};
use types::id::PublicId;
use types::locale::Language;
use types::order::{Body, MessageRequest, TemplateUse};

use crate::app::App;
use crate::auth::Caller;
use crate::batch::{self, BatchAnswer};
use crate::body::Raw;
use crate::check;
use crate::extract::{Params, Segments, ShopParam};
use crate::json;
use crate::once::{self, Accepted, IdempotencyKey};
use crate::orders::accepted_answer;
use crate::problem::{Fault, Problem};
use crate::story::{self, MessageStory};

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
    templates: HashMap<(String, Language), Template>,
}

impl Sender {
    async fn one(mut self, bytes: &[u8]) -> Result<Response, Problem> {
        let job = self.job(bytes, None)?;
        let accepted = job.run().await?;
        let answer = MessageAnswer {
            id: accepted.id.to_string(),
        };
        Ok(accepted_answer(accepted, &answer))
    }

    async fn batch(mut self, items: &[Box<RawValue>]) -> Result<Response, Problem> {
        let (app, caller) = (self.app.clone(), self.caller.clone());
        batch::run(&app, &caller, items, |bytes, index| {
            let job = self.job(bytes, Some(index))?;
            Ok(Box::pin(job.run()))
        })
        .await
    }

    /// Reads and checks one message.
    fn job(&mut self, bytes: &[u8], item: Option<usize>) -> Result<Job, Problem> {
        let request: MessageRequest = json::read(bytes)?;
        check::message(&request, self.app.now())?;
        if let Body::Template(template) = &request.body {
            self.check_template(template, &request)?;
        }
        let body = once::content_digest("/v1/messages", &request);
        let claims: Vec<_> = self
            .key
            .claim(&self.caller, &self.shop, item, body)
            .into_iter()
            .collect();
        let person = self.app.keyer.key(&request.to.email);
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

    /// Refuses a template that is not there, or that does not render with these variables.
    fn check_template(&mut self, used: &TemplateUse, request: &MessageRequest) -> Result<(), Problem> {
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
        let (language, source) = source(&stored.spec.sources, request, &self.shop).ok_or_else(missing)?;
        let name = (used.id.to_string(), language);
        let template = match self.templates.entry(name) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Template::compile(source).map_err(|fault| {
                // It was put before a bound was there that it passes.
                let fault = format!("cannot be used: {fault}");
                Problem::invalid(vec![Fault::new("/body/template/id", fault)])
            })?),
        };
        let vars = used.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        check_vars(template, vars).map_err(|fault| {
            let fault = format!("do not fill the template: {}: {}", fault.part.as_str(), fault.message);
            Problem::invalid(vec![Fault::new("/body/template/vars", fault)])
        })
    }
}

/// Returns the source for the recipient's language, else for the shop's, else the first.
fn source<'a>(
    sources: &'a std::collections::BTreeMap<Language, TemplateSource>,
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
