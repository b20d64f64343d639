//! Imports worked through: one at a time, in the order in which they were handed in.
//!
//! A portion of rows is read and checked on a thread that may wait for the disk, while the portion before it is on its way to the journal,
//! so many changes at once. When all of a portion are durable, the progress is saved: a restart goes on from there, and the rows that
//! were durable beyond it are changes that change nothing when they come again. Nothing is read below the disk's floor.
//!
//! A row that makes our code panic is rejected like any other; an import that does so elsewhere is ended, with what is wrong among its
//! rejects. It would do it again at each try and each start, and no other import would have its turn.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::stream;
use futures_util::{FutureExt, StreamExt};
use store::SubmitError;
use store::imports::{Import, ImportFormat, ImportProgress, Reject};
use tokio_util::sync::CancellationToken;
use types::address::EmailAddress;
use types::contact::ContactSource;
use types::event::{ContactChanged, Event};
use types::id::{EventId, PersonKey, ShopNumber};

use super::KEPT;
use super::rows::{Place, Rows};
use super::table::{self, Table};
use crate::app::App;
use crate::contacts::document::{ContactDocument, Reader, Way};
use crate::problem::Fault;

/// Rows of one portion.
const PORTION: usize = 8192;
/// Bytes of one portion, about: what its rows hold in memory is a small multiple.
const PORTION_BYTES: u64 = 4 << 20;
/// Changes on their way to the journal at once: a group commit's worth, and little of an inbox.
const IN_FLIGHT_MAX: usize = 512;
/// How long to wait before a failure is tried again, or the disk is looked at again.
const PAUSE: Duration = Duration::from_secs(5);
/// How often imports that were done long ago are looked for.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// Works imports through until `stop`.
pub(crate) async fn work(app: App, stop: CancellationToken) {
    let working = async {
        loop {
            let one = AssertUnwindSafe(one(&app)).catch_unwind().await;
            match one.unwrap_or_else(|_| Err(io::Error::other("working it through panicked"))) {
                Ok(true) => {}
                Ok(false) => {
                    // A permit that was given meanwhile ends the wait at once.
                    let _ = tokio::time::timeout(SWEEP_EVERY, app.imports.notified()).await;
                }
                Err(error) => {
                    tracing::error!(%error, "an import cannot go on; it is tried again");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = working => {}
    }
}

/// Works the oldest import through that is not done; false if there is none.
async fn one(app: &App) -> io::Result<bool> {
    let next = apart(app, |app| {
        let imports = app.store.imports();
        imports.sweep(app.now() - KEPT)?;
        let listed = imports.list()?;
        let open = listed.into_iter().find(|(_, info)| info.progress.done_at.is_none());
        open.map_or(Ok(None), |(id, _)| Ok(imports.open(id)?.map(|import| (id, import))))
    })
    .await?;
    let Some((id, import)) = next else { return Ok(false) };
    match run(app, id, import).await {
        Err(error) if is_panic(&error) => set_aside(app, id).await?,
        done => done?,
    }
    Ok(true)
}

/// Ends an import that cannot be read on.
async fn set_aside(app: &App, id: EventId) -> io::Result<()> {
    let line = apart(app, move |app| {
        let Some(mut import) = app.store.imports().open(id)? else {
            return Ok(0);
        };
        let progress = import.info().progress;
        let line = progress.lines + 1;
        import.reject(&Reject {
            line,
            field: String::new(),
            fault: "the rows from here on cannot be read, by a fault of ours; the import ends here".to_owned(),
        });
        import.save(ImportProgress {
            rejected: progress.rejected + 1,
            done_at: Some(app.now()),
            ..progress
        })?;
        Ok(line)
    })
    .await?;
    tracing::error!(import = %super::public(id), line, "an import panicked and was ended");
    Ok(())
}

/// A portion of rows, read and checked.
struct Portion {
    changes: Vec<(u64, ContactChanged)>,
    rejects: Vec<Reject>,
    next: Place,
    is_last: bool,
}

/// What reads an import's rows.
struct Source {
    import: Import,
    shop: ShopNumber,
    format: ImportFormat,
    table: Option<Table>,
    rows: Rows,
}

async fn run(app: &App, id: EventId, import: Import) -> io::Result<()> {
    let mut progress = import.info().progress;
    let place = Place {
        offset: progress.offset,
        lines: progress.lines,
    };
    let mut source = apart(app, move |_| Source::open(import, place)).await?;
    tracing::info!(import = %super::public(id), shop = source.shop.0, offset = place.offset, "an import goes on");
    let (mut ahead, mut portion);
    (source, portion) = portion_of(app, source).await?;
    loop {
        while !app.store.disk().accepts() {
            tokio::time::sleep(PAUSE).await;
        }
        let is_last = portion.is_last;
        let (changes, rejects, next) = (portion.changes, portion.rejects, portion.next);
        let sending = send(app, changes);
        let refused;
        if is_last {
            refused = sending.await?;
            ahead = None;
        } else {
            let (sent, read) = tokio::join!(sending, portion_of(app, source));
            refused = sent?;
            let (after, next_portion) = read?;
            source = after;
            ahead = Some(next_portion);
        }
        progress = ImportProgress {
            offset: next.offset,
            lines: next.lines,
            accepted: progress.accepted + refused.accepted,
            rejected: progress.rejected + (rejects.len() + refused.rejects.len()) as u64,
            done_at: is_last.then(|| app.now()),
            ..progress
        };
        let mut rejects = rejects;
        rejects.extend(refused.rejects);
        rejects.sort_by_key(|reject| reject.line);
        source = apart(app, move |_| {
            for reject in &rejects {
                source.import.reject(reject);
            }
            source.import.save(progress)?;
            Ok(source)
        })
        .await?;
        match ahead {
            Some(next_portion) => portion = next_portion,
            None => break,
        }
    }
    tracing::info!(
        import = %super::public(id), accepted = progress.accepted, rejected = progress.rejected, "an import is done"
    );
    Ok(())
}

async fn portion_of(app: &App, source: Source) -> io::Result<(Source, Portion)> {
    apart(app, move |app| {
        let mut source = source;
        let portion = source.portion(app)?;
        Ok((source, portion))
    })
    .await
}

/// What became of a portion's changes.
#[derive(Default)]
struct Sent {
    accepted: u64,
    rejects: Vec<Reject>,
}

/// Journals changes, so many at once; all are durable on return.
async fn send(app: &App, changes: Vec<(u64, ContactChanged)>) -> io::Result<Sent> {
    let submissions = changes.into_iter().map(|(line, changed)| async move {
        let partition = changed.person.partition();
        let event = Event::ContactChanged(Box::new(changed));
        (line, app.store.intake().submit(partition, event).await)
    });
    let mut done = stream::iter(submissions).buffer_unordered(IN_FLIGHT_MAX);
    let mut sent = Sent::default();
    while let Some((line, result)) = done.next().await {
        match result {
            Ok(_) => sent.accepted += 1,
            Err(SubmitError::Refused(fault)) => sent.rejects.push(Reject {
                line,
                field: String::new(),
                fault,
            }),
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    Ok(sent)
}

impl Source {
    fn open(import: Import, place: Place) -> io::Result<Self> {
        let (info, mut table) = (*import.info(), None);
        let mut delimiter = b',';
        if info.format == ImportFormat::Csv {
            // The header was read when the file was handed in; its delimiter is known before rows are parted.
            let mut first = Rows::new(ImportFormat::Ndjson, b',', Place::default());
            let header = first.next(|buffer, offset| import.read(buffer, offset))?;
            let header = header.and_then(|row| row.text.ok()).unwrap_or_default();
            delimiter = table::delimiter(&header);
            table = Table::new(&header).ok();
        }
        Ok(Self {
            shop: ShopNumber(info.shop),
            format: info.format,
            table,
            rows: Rows::new(info.format, delimiter, place),
            import,
        })
    }

    /// Reads and checks the next rows.
    fn portion(&mut self, app: &App) -> io::Result<Portion> {
        let catalogue = app.catalogue();
        let reader = Reader {
            catalogue: &catalogue,
            shop: self.shop,
            now: app.now(),
            way: match self.format {
                ImportFormat::Csv => Way::Row,
                ImportFormat::Ndjson => Way::Line,
            },
        };
        let mut portion = Portion {
            changes: Vec::new(),
            rejects: Vec::new(),
            next: self.rows.place(),
            is_last: false,
        };
        let ends = portion.next.offset + PORTION_BYTES;
        let is_gone = catalogue.shop_by_number(self.shop).is_none_or(|shop| shop.deleted);
        while portion.changes.len() + portion.rejects.len() < PORTION && portion.next.offset < ends {
            let Some(row) = self.rows.next(|buffer, offset| self.import.read(buffer, offset))? else {
                portion.is_last = true;
                break;
            };
            portion.next = row.next;
            let is_header = self.format == ImportFormat::Csv && row.line == 1;
            if is_header || row.text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
                continue;
            }
            let read = row
                .text
                .and_then(|text| {
                    if is_gone {
                        Err("is of a shop that was deleted")
                    } else {
                        Ok(text)
                    }
                })
                .map_err(|fault| vec![Fault::new("", fault)])
                .and_then(|text| caught(|| self.change(&text, &reader, |email| app.keyring.person(email))));
            match read {
                Ok(changed) => portion.changes.push((row.line, changed)),
                // One line for each row: the first fault stands for it, and tells how many there are.
                Err(faults) => portion.rejects.extend(rejected(row.line, &faults)),
            }
        }
        Ok(portion)
    }

    fn change(
        &mut self,
        text: &str,
        reader: &Reader<'_>,
        key: impl FnOnce(&EmailAddress) -> PersonKey,
    ) -> Result<ContactChanged, Vec<Fault>> {
        let (email, document) = match self.format {
            ImportFormat::Csv => match &mut self.table {
                Some(table) => table.read(text).map_err(|fault| vec![fault])?,
                None => return Err(vec![Fault::new("", "the header cannot be read")]),
            },
            ImportFormat::Ndjson => line(text)?,
        };
        let email = EmailAddress::try_from(email.as_str())
            .map_err(|fault| vec![Fault::new("/email", format!("is {fault}"))])?;
        Ok(ContactChanged {
            shop: self.shop,
            person: key(&email),
            change: reader.read(document)?,
            email,
            source: ContactSource::Import,
        })
    }
}

/// Reads a line of JSON.
fn line(text: &str) -> Result<(String, ContactDocument), Vec<Fault>> {
    let blame = |fault: String| vec![Fault::new("", fault)];
    crate::json::scan(text.as_bytes()).map_err(crate::problem::Problem::into_faults)?;
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| blame(format!("is not JSON: {error}")))?;
    let serde_json::Value::Object(mut members) = value else {
        return Err(blame("is not a JSON object".to_owned()));
    };
    let Some(serde_json::Value::String(email)) = members.remove("email") else {
        return Err(vec![Fault::new("/email", "is missing, or not a text")]);
    };
    let rest = serde_json::Value::Object(members).to_string();
    let document = crate::json::read(rest.as_bytes()).map_err(crate::problem::Problem::into_faults)?;
    Ok((email, document))
}

/// Reads a row. One that makes the reader panic is refused: what the reader keeps from row to row is set anew by each.
fn caught<T>(read: impl FnOnce() -> Result<T, Vec<Fault>>) -> Result<T, Vec<Fault>> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(vec![Fault::new(
            "",
            "cannot be read, by a fault of ours; our log has it",
        )])
    })
}

/// Tells what is wrong with a row: a fault each, in its order.
fn rejected(line: u64, faults: &[Fault]) -> impl Iterator<Item = Reject> {
    faults.iter().take(1).map(move |fault| {
        let more = match faults.len() {
            0 | 1 => String::new(),
            several => format!(" (and {} more faults)", several - 1),
        };
        Reject {
            line,
            // A path as columns are named: `fields.age`.
            field: fault.field.trim_start_matches('/').replace('/', "."),
            fault: format!("{}{more}", fault.fault),
        }
    })
}

/// Work that panicked.
#[derive(Debug, thiserror::Error)]
#[error("the work panicked")]
struct Panicked;

fn is_panic(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Panicked>)
}

/// Works on a thread that may wait for the disk.
async fn apart<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&App) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = app.apart(move |app| guarded(|| work(app))).await;
    // Only a runtime that ends cuts it.
    done.map_err(|_| io::Error::other("the work was cut"))?
}

fn guarded<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(io::Error::other(Panicked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_panics_is_a_row_with_a_fault() {
        let faults = caught::<()>(|| panic!("a row that was never thought of")).unwrap_err();
        assert_eq!(rejected(7, &faults).map(|reject| reject.line).collect::<Vec<_>>(), [7]);
        assert!(caught(|| Ok(1)).is_ok());
    }

    #[test]
    fn a_panic_is_told_from_a_disk_that_fails() {
        let panicked = guarded::<()>(|| panic!("bytes that were never thought of")).unwrap_err();
        assert!(is_panic(&panicked));
        let failed = guarded::<()>(|| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert!(!is_panic(&failed));
    }
}
