//! A table's columns, and its rows as documents.

use std::collections::BTreeMap;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::Value;
use types::catalogue::Catalogue;
use types::id::ShopNumber;
use types::order::{Grant, Statement};
use types::text::Slug;
use types::time::Timestamp;

use super::rows::ROW_BYTES_MAX;
use crate::contacts::document::ContactDocument;
use crate::problem::Fault;

/// How many columns a table may have.
const COLUMNS_MAX: usize = 600;
/// What parts cells, if the header has it and no comma.
const DELIMITERS: [u8; 2] = [b';', b'\t'];

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Column {
    Email,
    Name,
    Locale,
    Country,
    TimeZone,
    Phone,
    Groups,
    /// `consent.<channel>` and the parts of its evidence.
    Consent(Channel, Part),
    Field(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Email,
    Sms,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Granted,
    At,
    Text,
    Source,
}

impl Column {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "email" => Self::Email,
            "name" => Self::Name,
            "locale" => Self::Locale,
            "country" => Self::Country,
            "time_zone" => Self::TimeZone,
            "phone" => Self::Phone,
            "groups" => Self::Groups,
            _ => {
                if let Some(field) = name.strip_prefix("fields.") {
                    return Some(Self::Field(field.to_owned()));
                }
                let consent = name.strip_prefix("consent.")?;
                let (channel, part) = match consent.split_once('_') {
                    None => (consent, Part::Granted),
                    Some((channel, "at")) => (channel, Part::At),
                    Some((channel, "text")) => (channel, Part::Text),
                    Some((channel, "source")) => (channel, Part::Source),
                    Some(_) => return None,
                };
                match channel {
                    "email" => Self::Consent(Channel::Email, part),
                    "sms" => Self::Consent(Channel::Sms, part),
                    _ => return None,
                }
            }
        })
    }
}

/// A table's header, and what it takes to read rows.
pub(super) struct Table {
    columns: Vec<Column>,
    reader: Reader,
    cells: Vec<u8>,
    ends: Vec<usize>,
}

/// Returns what parts the cells of a table with this header: a comma, else a semicolon or a tab.
pub(super) fn delimiter(header: &str) -> u8 {
    let has = |byte: u8| header.as_bytes().contains(&byte);
    if has(b',') {
        return b',';
    }
    DELIMITERS.into_iter().find(|byte| has(*byte)).unwrap_or(b',')
}

/// What may be evidence of a consent in a row, before it is put together.
#[derive(Default)]
struct Said {
    granted: Option<bool>,
    at: Option<Timestamp>,
    text: Option<String>,
    source: Option<String>,
}

impl Table {
    /// Reads a header; every fault is told by the column's name.
    pub(super) fn new(header: &str) -> Result<Self, Vec<Fault>> {
        let header = header.strip_prefix('\u{feff}').unwrap_or(header);
        let mut table = Self {
            columns: Vec::new(),
            reader: ReaderBuilder::new().delimiter(delimiter(header)).build(),
            cells: vec![0; ROW_BYTES_MAX + 2],
            ends: vec![0; COLUMNS_MAX],
        };
        let cells = table.split(header);
        let names: Option<Vec<String>> = cells.map(|cells| cells.map(|cell| cell.trim().to_owned()).collect());
        let Some(names) = names else {
            let fault = format!("has more than {COLUMNS_MAX} columns, or is too long");
            return Err(vec![Fault::new("", fault)]);
        };
        let mut faults = Vec::new();
        for name in &names {
            match Column::of(name) {
                Some(column) if table.columns.contains(&column) => {
                    faults.push(Fault::new(name.clone(), "is there twice"));
                }
                Some(column) => table.columns.push(column),
                None => faults.push(Fault::new(name.clone(), "is no column of an import")),
            }
        }
        if !table.columns.contains(&Column::Email) {
            faults.push(Fault::new("email", "is missing"));
        }
        if faults.is_empty() { Ok(table) } else { Err(faults) }
    }

    /// Returns the columns of fields that the shop does not have.
    pub(super) fn unknown_fields(&self, catalogue: &Catalogue, shop: ShopNumber) -> Vec<Fault> {
        let fields = self.columns.iter().filter_map(|column| match column {
            Column::Field(name) => Some(name),
            _ => None,
        });
        let known = |name: &str| Slug::try_from(name).is_ok_and(|id| catalogue.field(shop, &id).is_some());
        fields
            .filter(|name| !known(name))
            .map(|name| Fault::new(format!("fields.{name}"), "is not a field of this shop"))
            .collect()
    }

    /// Reads a row: the address as it is written, and the rest. A fault names its column.
    pub(super) fn read(&mut self, row: &str) -> Result<(String, ContactDocument), Fault> {
        let columns = std::mem::take(&mut self.columns);
        let read = match self.split(row) {
            Some(cells) => document(&columns, cells),
            None => Err(Fault::new("", "has more cells than there are columns, or is too long")),
        };
        self.columns = columns;
        read
    }

    /// Splits a row into its cells. `None` if there are too many.
    fn split(&mut self, row: &str) -> Option<impl Iterator<Item = &str>> {
        self.reader.reset();
        let (mut bytes, mut read, mut written, mut ended) = (row.as_bytes(), 0, 0, 0);
        loop {
            let (result, took, wrote, ends) =
                self.reader
                    .read_record(bytes, self.cells.get_mut(written..)?, self.ends.get_mut(ended..)?);
            read += took;
            written += wrote;
            ended += ends;
            bytes = row.as_bytes().get(read..)?;
            match result {
                // Told twice that there is no more, it ends the record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => return None,
            }
        }
        let (cells, mut from) = (self.cells.get(..written)?, 0);
        let ends = self.ends.get(..ended)?;
        Some(ends.iter().map(move |end| {
            // Cells of a text are texts: what is cut are whole characters.
            let cell = cells.get(from..*end).and_then(|cell| std::str::from_utf8(cell).ok());
            from = *end;
            cell.unwrap_or_default()
        }))
    }
}

fn document<'a>(columns: &[Column], cells: impl Iterator<Item = &'a str>) -> Result<(String, ContactDocument), Fault> {
    let (mut email, mut document) = (String::new(), ContactDocument::default());
    let (mut by_email, mut by_sms) = (Said::default(), Said::default());
    let mut fields = BTreeMap::new();
    let mut count = 0;
    for (index, cell) in cells.enumerate() {
        count = index + 1;
        let Some(column) = columns.get(index) else { continue };
        let cell = cell.trim();
        // An empty cell says nothing.
        if cell.is_empty() {
            continue;
        }
        let text = || Some(cell.to_owned());
        match column {
            Column::Email => cell.clone_into(&mut email),
            Column::Name => document.name = text(),
            Column::Locale => document.locale = text(),
            Column::Country => document.country = text(),
            Column::TimeZone => document.time_zone = text(),
            Column::Phone => document.phone = text(),
            Column::Groups => {
                let names = cell.split(';').map(str::trim).filter(|name| !name.is_empty());
                document.groups = Some(names.map(ToOwned::to_owned).collect());
            }
            Column::Field(name) => {
                fields.insert(name.clone(), Value::String(cell.to_owned()));
            }
            Column::Consent(channel, part) => {
                let said = match channel {
                    Channel::Email => &mut by_email,
                    Channel::Sms => &mut by_sms,
                };
                said.read(*part, cell).map_err(|fault| {
                    let field = match channel {
                        Channel::Email => "consent.email",
                        Channel::Sms => "consent.sms",
                    };
                    Fault::new(field, fault)
                })?;
            }
        }
    }
    if count != columns.len() {
        let fault = format!("has {count} cells; the header has {}", columns.len());
        return Err(Fault::new("", fault));
    }
    document.fields = fields;
    document.consent.email = by_email.grant("consent.email")?;
    document.consent.sms = by_sms.grant("consent.sms")?;
    Ok((email, document))
}

impl Said {
    fn read(&mut self, part: Part, cell: &str) -> Result<(), String> {
        match part {
            Part::Granted => {
                self.granted = Some(match cell.to_ascii_lowercase().as_str() {
                    "true" | "1" | "yes" => true,
                    "false" | "0" | "no" => false,
                    _ => return Err("is not true or false".to_owned()),
                });
            }
            Part::At => self.at = Some(moment(cell).ok_or("was given at a time that is none: RFC 3339 is expected")?),
            Part::Text => self.text = Some(cell.to_owned()),
            Part::Source => self.source = Some(cell.to_owned()),
        }
        Ok(())
    }

    /// Puts the parts together: with a time it is evidence, without one it is asserted.
    fn grant(self, column: &str) -> Result<Option<Grant>, Fault> {
        let blame = |fault: &str| Fault::new(column, fault);
        let Some(granted) = self.granted else {
            if self.at.is_some() || self.text.is_some() || self.source.is_some() {
                return Err(blame("is empty, but its time, text or source is not"));
            }
            return Ok(None);
        };
        if self.at.is_none() && self.text.is_none() && self.source.is_none() {
            return Ok(Some(Grant::Bare(granted)));
        }
        let Some(at) = self.at else {
            return Err(blame("has evidence without its time"));
        };
        let line = |text: Option<String>| {
            let read = text.map(|text| text.as_str().try_into()).transpose();
            read.map_err(|fault: types::text::NotALine| blame(&format!("has evidence that {fault}")))
        };
        Ok(Some(Grant::Stated(Statement {
            granted,
            at,
            text: line(self.text)?,
            source: line(self.source)?,
        })))
    }
}

/// Reads a moment; a date alone is its beginning in UTC.
fn moment(cell: &str) -> Option<Timestamp> {
    cell.parse().ok().or_else(|| format!("{cell}T00:00:00Z").parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_names_known_columns_once() {
        let faults = |header: &str| {
            let faults = Table::new(header).err().unwrap_or_default();
            faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        assert!(faults("\u{feff}email,name,fields.born,consent.email,consent.email_at").is_empty());
        assert_eq!(faults("name,age,name"), ["age", "name", "email"]);
        assert_eq!(
            faults("email,consent.fax,consent.email_by"),
            ["consent.fax", "consent.email_by"]
        );
    }

    #[test]
    fn cells_are_read_by_their_columns() {
        let mut table =
            Table::new("email;name;groups;consent.email;consent.email_at;consent.email_source;fields.age").unwrap();
        let row = "mario@example.it;\"Rossi; \"\"M\"\"\";\"vip; news\";yes;2025-05-01;form;7";
        let (email, document) = table.read(row).unwrap();
        assert_eq!(email, "mario@example.it");
        assert_eq!(document.name.as_deref(), Some("Rossi; \"M\""));
        assert_eq!(
            document.groups.as_deref(),
            Some(&["vip".to_owned(), "news".to_owned()][..])
        );
        assert_eq!(document.fields["age"], "7");
        let Some(Grant::Stated(statement)) = document.consent.email else {
            panic!("{:?}", document.consent)
        };
        assert_eq!(
            (statement.granted, statement.at.to_string()),
            (true, "2025-05-01T00:00:00.000Z".to_owned())
        );

        let bare = table.read("luca@example.it;;;no;;;").unwrap().1;
        assert_eq!(bare.consent.email, Some(Grant::Bare(false)));
        for (row, field) in [
            ("a@example.it;x", ""),
            ("a@example.it;;;perhaps;;;", "consent.email"),
            ("a@example.it;;;;2025-05-01;;", "consent.email"),
            ("a@example.it;;;yes;;form;", "consent.email"),
        ] {
            assert_eq!(table.read(row).unwrap_err().field, field, "{row}");
        }
    }
}
