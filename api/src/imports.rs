//! `/v1/imports`: contacts by the file, a table (CSV) or a JSON object a line.
//!
//! The file is streamed to disk and answered once it is durable there; its rows are worked through behind all other work (`work.rs`),
//! each as a change of a contact, and a restart goes on where it was. A row that is at fault is told with its line and field, and
//! hinders no other. An import names what changes: what a row does not name stays, and groups are joined. It never lifts a refusal, and
//! never makes a consent where the person refused, whatever evidence it brings.

mod rows;
mod table;
mod work;

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use store::imports::{ImportFormat, ImportInfo, Upload};
use types::catalogue::Scope;
use types::id::{EventId, PartitionId, PublicId, ShopNumber};

use crate::app::{App, internal};
use crate::auth::Caller;
use crate::extract::{Params, Segments, ShopParam};
use crate::once::refused;
use crate::problem::{Kind, Problem};
use rows::ROW_BYTES_MAX;
use table::Table;
pub(crate) use work::work;

/// The largest file.
const FILE_BYTES_MAX: u64 = 2 << 30;
/// How many imports of one shop may wait or be worked on at once.
const WAITING_MAX: usize = 8;
/// How much of the rejects is read at once.
const REJECTS_BYTES: usize = 64 << 10;
/// Where imports live: their ids name no person.
const PARTITION: PartitionId = PartitionId::CATALOGUE;

/// A file of contacts, for the description: it is read as it comes.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(value_type = String)]
#[expect(dead_code, reason = "describes the body, which is streamed")]
pub(crate) struct ImportFile(String);

/// What an import is answered.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ImportAnswer {
    /// Names the import.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
}

/// An import as it stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ImportView {
    /// Names it.
    #[schema(pattern = "^[a-z2-7]{16}$")]
    id: String,
    /// How far it is.
    state: ImportState,
    /// How the rows are written.
    format: FormatName,
    /// When it was handed in.
    #[schema(format = DateTime)]
    handed_in_at: String,
    /// When it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = DateTime)]
    done_at: Option<String>,
    /// Bytes of the file.
    bytes: u64,
    /// Bytes of it that were worked through.
    bytes_read: u64,
    /// Lines that were worked through.
    lines: u64,
    /// Rows that are durable changes of contacts. A consent in such a row counts only if the person did not refuse.
    accepted: u64,
    /// Rows that were at fault; `/v1/imports/{id}/rejects` tells each.
    rejected: u64,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum ImportState {
    /// It waits, or is worked through.
    Running,
    /// It is worked through.
    Done,
}

/// How the rows are written.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum FormatName {
    /// A table, RFC 4180.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

/// A shop's imports.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ImportList {
    /// The newest first.
    imports: Vec<ImportView>,
}

impl ImportView {
    fn of(id: EventId, info: &ImportInfo) -> Self {
        let progress = &info.progress;
        Self {
            id: public(id).to_string(),
            state: match progress.done_at {
                Some(_) => ImportState::Done,
                None => ImportState::Running,
            },
            format: match info.format {
                ImportFormat::Csv => FormatName::Csv,
                ImportFormat::Ndjson => FormatName::Ndjson,
            },
            handed_in_at: info.at.to_string(),
            done_at: progress.done_at.map(|at| at.to_string()),
            bytes: info.bytes,
            bytes_read: progress.offset,
            lines: progress.lines,
            accepted: progress.accepted,
            rejected: progress.rejected,
        }
    }
}

fn public(event: EventId) -> PublicId {
    PublicId {
        partition: PARTITION,
        event,
    }
}

/// Import contacts
///
/// A table with a header (`text/csv`) or a contact a line (`application/x-ndjson`), at most 2 GiB. Columns: `email`, `name`, `locale`,
/// `country`, `time_zone`, `phone`, `groups` (parted by `;`), `fields.<id>`, and for the channels `email` and `sms`
/// `consent.<channel>` with `consent.<channel>_at`, `_text` and `_source`; a line of JSON is what `PATCH /v1/contacts/{email}` takes, with
/// `email`. Cells are parted by commas, or by semicolons or tabs if the header has no comma. Answers 202 once the file is durable; a header
/// that is at fault is refused at once.
#[utoipa::path(
    post, path = "/v1/imports", tag = "contacts", operation_id = "postImport", params(ShopParam),
    request_body(content(
        (ImportFile = "text/csv", example = "email,name,groups,consent.email\nmario@example.it,Mario Rossi,news,yes\n"),
        (ImportFile = "application/x-ndjson", example = "{\"email\": \"mario@example.it\", \"groups\": [\"news\"]}\n"),
    )),
    responses(
        (status = 202, description = "The file is durable and will be worked through.", body = ImportAnswer),
        (status = 409, description = "The shop has too many imports under way.", body = crate::problem::Document, content_type = "application/problem+json"),
        (status = 507, description = "The disk has no room for new work.", body = crate::problem::Document, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    file: File,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Send)?.number;
    let (format, mut body) = (file.format, file.body);
    if !app.store.disk().accepts() {
        return Err(refused(store::SubmitError::DiskFull));
    }
    let waiting = app.imports_of(shop).await?;
    let waiting = waiting.iter().filter(|(_, info)| info.progress.done_at.is_none());
    if waiting.count() >= WAITING_MAX {
        let detail = format!("{WAITING_MAX} imports of the shop are under way; wait for one to be done");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let (id, at) = (app.store.journal().mint(), app.now());
    let begun = app
        .apart(move |app| app.store.imports().begin(id, shop, format, at))
        .await?;
    let mut upload = begun.map_err(|error| failed(&error))?;
    let mut head = Head::new(&app, shop, format);
    while let Some(bytes) = next(&app, &mut body).await? {
        if upload.bytes() + bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(Problem::new(
                Kind::TooLarge,
                format!("the file is larger than {FILE_BYTES_MAX} bytes"),
            ));
        }
        head.look(&bytes)?;
        upload = written(&app, upload, bytes).await?;
        if !app.store.disk().accepts() {
            return Err(refused(store::SubmitError::DiskFull));
        }
    }
    head.end()?;
    let finished = app.apart(move |_| upload.finish()).await?;
    let id = finished.map_err(|error| failed(&error))?;
    app.imports.notify_one();
    let answer = ImportAnswer {
        id: public(id).to_string(),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(answer)).into_response())
}

fn failed(error: &io::Error) -> Problem {
    internal("keeping an import", error)
}

/// Reads on; each piece has as long as a whole body has elsewhere.
async fn next(app: &App, body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = tokio::time::timeout(app.settings.body_timeout, body.frame()).await;
        let frame = frame.map_err(|_| Problem::new(Kind::TimedOut, "the file did not go on coming"))?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(Problem::new(
                    Kind::Malformed,
                    "the body ended before its announced length",
                ));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn written(app: &App, mut upload: Upload, bytes: Bytes) -> Result<Upload, Problem> {
    let wrote = app.apart(move |_| upload.write(&bytes).map(|()| upload)).await?;
    wrote.map_err(|error| failed(&error))
}

/// The beginning of a file: a header at fault is refused before the rest has come.
struct Head<'a> {
    app: &'a App,
    shop: ShopNumber,
    /// What came so far; `None` once it was looked at.
    first_line: Option<Vec<u8>>,
}

impl<'a> Head<'a> {
    fn new(app: &'a App, shop: ShopNumber, format: ImportFormat) -> Self {
        Self {
            app,
            shop,
            first_line: (format == ImportFormat::Csv).then(Vec::new),
        }
    }

    fn look(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let Some(line) = &mut self.first_line else {
            return Ok(());
        };
        let room = (ROW_BYTES_MAX + 1).saturating_sub(line.len());
        line.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        if line.contains(&b'\n') || line.len() > ROW_BYTES_MAX {
            return self.end();
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(line) = self.first_line.take() else {
            return Ok(());
        };
        let header = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let header = std::str::from_utf8(header.strip_suffix(b"\r").unwrap_or(header));
        let header = header.map_err(|_| Problem::new(Kind::Malformed, "the header is not UTF-8"))?;
        let table = Table::new(header).map_err(Problem::invalid)?;
        let unknown = table.unknown_fields(&self.app.catalogue(), self.shop);
        if unknown.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(unknown))
        }
    }
}

/// A body that is a file of contacts.
pub(crate) struct File {
    format: ImportFormat,
    body: Body,
}

impl FromRequest<App> for File {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let format = format_of(&head.headers)?;
        Ok(Self { format, body })
    }
}

/// Reads from the headers how the rows are written.
fn format_of(headers: &HeaderMap) -> Result<ImportFormat, Problem> {
    let unsupported = |detail: &'static str| Err(Problem::new(Kind::UnsupportedMedia, detail));
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return unsupported("the body is encoded; send it as it is, without Content-Encoding");
    }
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let (essence, parameters) = value.map_or(("", ""), |value| value.split_once(';').unwrap_or((value, "")));
    let charset = parameters
        .split_once("charset=")
        .map(|(_, charset)| charset.trim().trim_matches('"'));
    if charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
        return unsupported("files of contacts are UTF-8");
    }
    match essence.trim().to_ascii_lowercase().as_str() {
        "text/csv" => Ok(ImportFormat::Csv),
        "application/x-ndjson" | "application/jsonl" | "application/ndjson" => Ok(ImportFormat::Ndjson),
        _ => unsupported("Content-Type is neither text/csv nor application/x-ndjson"),
    }
}

impl App {
    /// Returns the imports of a shop, oldest first.
    async fn imports_of(&self, shop: ShopNumber) -> Result<Vec<(EventId, ImportInfo)>, Problem> {
        let listed = self.apart(|app| app.store.imports().list()).await?;
        let listed = listed.map_err(|error| failed(&error))?;
        Ok(listed.into_iter().filter(|(_, info)| info.shop == shop.0).collect())
    }

    /// Finds an import of a shop.
    async fn import_of(&self, shop: ShopNumber, id: &str) -> Result<(EventId, ImportInfo), Problem> {
        let missing = || Problem::not_found("import");
        let id: PublicId = id.parse().map_err(|_| missing())?;
        if id.partition != PARTITION {
            return Err(missing());
        }
        let info = self.apart(move |app| app.store.imports().info(id.event)).await?;
        let info = info.map_err(|error| failed(&error))?;
        let info = info.filter(|info| info.shop == shop.0).ok_or_else(missing)?;
        Ok((id.event, info))
    }
}

/// List imports
///
/// Those under way, and those that were done in the last 30 days.
#[utoipa::path(
    get, path = "/v1/imports", tag = "contacts", operation_id = "listImports", params(ShopParam),
    responses((status = 200, description = "The imports.", body = ImportList))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let listed = app.imports_of(shop).await?;
    let imports = listed.iter().rev().map(|(id, info)| ImportView::of(*id, info));
    let list = ImportList {
        imports: imports.collect(),
    };
    Ok(axum::Json(list).into_response())
}

/// See an import
///
/// How far it is, and how many rows were taken.
#[utoipa::path(
    get, path = "/v1/imports/{id}", tag = "contacts", operation_id = "getImport",
    params(ShopParam, ("id" = String, Path, description = "The import's id.", pattern = "^[a-z2-7]{16}$")),
    responses((status = 200, description = "The import.", body = ImportView))
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let (id, info) = app.import_of(shop, &id).await?;
    Ok(axum::Json(ImportView::of(id, &info)).into_response())
}

/// See which rows of an import were at fault
///
/// A JSON object a line, with `line` (from 1), `field` (a path, empty for the whole row) and `fault`.
#[utoipa::path(
    get, path = "/v1/imports/{id}/rejects", tag = "contacts", operation_id = "getRejects",
    params(ShopParam, ("id" = String, Path, description = "The import's id.", pattern = "^[a-z2-7]{16}$")),
    responses((status = 200, description = "The rows, in their order.", body = String, content_type = "application/x-ndjson"))
)]
pub(crate) async fn rejects(
    State(app): State<App>,
    caller: Caller,
    Params(params): Params<ShopParam>,
    Segments(id): Segments<String>,
) -> Result<Response, Problem> {
    let shop = caller.shop(&app, params.shop.as_deref(), Scope::Read)?.number;
    let (id, info) = app.import_of(shop, &id).await?;
    let end = info.progress.rejects_bytes;
    let pieces = stream::try_unfold(0_u64, move |offset| {
        let app = app.clone();
        async move {
            let left = usize::try_from(end - offset).unwrap_or(usize::MAX);
            if left == 0 {
                return Ok(None);
            }
            let limit = left.min(REJECTS_BYTES);
            let read = app
                .apart(move |app| app.store.imports().rejects(id, offset, limit))
                .await;
            let bytes = read.map_err(|_| io::Error::other("the work was cut"))??;
            // The import is gone: what was told until here is cut short, which the client sees.
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let next = offset + bytes.len() as u64;
            Ok::<_, io::Error>(Some((Bytes::from(bytes), next)))
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(end));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// How long what is known of a done import is kept.
const KEPT: Duration = Duration::from_hours(30 * 24);
