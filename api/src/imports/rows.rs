//! The rows of a file, one at a time, in bounded memory.
//!
//! A row is a line, or, in a table, several lines when a quoted cell has line breaks (RFC 4180). What is longer than [`ROW_BYTES_MAX`]
//! is a fault of that row: its first line is skipped and reading goes on with the next, so that one quote that is never closed costs
//! a row and not the rest of the file. Line ends are LF or CR LF.

use std::io;

use store::imports::ImportFormat;

/// The longest row, its line end included, in bytes.
pub(super) const ROW_BYTES_MAX: usize = 64 << 10;
/// How much is read at once.
const READ_BYTES: usize = 256 << 10;

/// Where reading stands: everything before it was worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes of the file.
    pub(super) offset: u64,
    /// Lines.
    pub(super) lines: u64,
}

/// One row as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The line at which it begins, from 1.
    pub(super) line: u64,
    /// Its text without the line end, or what is wrong with it.
    pub(super) text: Result<String, &'static str>,
    /// Where the next row begins.
    pub(super) next: Place,
}

/// Reads a file's rows.
pub(super) struct Rows {
    quotes: Option<u8>,
    buffer: Vec<u8>,
    /// Where in the buffer the next row begins.
    at: usize,
    place: Place,
    is_over: bool,
}

/// Where a row ends.
enum End {
    /// After so many bytes and lines, the line end included.
    At { bytes: usize, lines: u64 },
    /// Not within what is there.
    Unknown,
}

impl Rows {
    /// Reads on from a place, where a row begins. `delimiter` parts the cells of a table.
    pub(super) fn new(format: ImportFormat, delimiter: u8, place: Place) -> Self {
        Self {
            quotes: (format == ImportFormat::Csv).then_some(delimiter),
            buffer: Vec::new(),
            at: 0,
            place,
            is_over: false,
        }
    }

    /// Returns where the next row begins.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Returns the next row, or `None` at the end. `read` reads bytes from an offset on, 0 at the end.
    pub(super) fn next(
        &mut self,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<Option<Row>> {
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if let End::At { bytes, lines } = self.end(rest) {
                return Ok(Some(self.take(bytes, lines)));
            }
            if rest.len() > ROW_BYTES_MAX {
                return self.skip_line(read).map(Some);
            }
            if self.is_over {
                // The last row has no line end; or a quote of it was never closed.
                let (bytes, lines) = (rest.len(), breaks(rest) + 1);
                return Ok((bytes > 0).then(|| self.take(bytes, lines)));
            }
            self.fill(&mut read)?;
        }
    }

    /// Reads more behind what is there.
    fn fill(&mut self, read: &mut impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<()> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let known = self.buffer.len();
        self.buffer.resize(known + READ_BYTES, 0);
        let from = self.place.offset + known as u64;
        let count = read(self.buffer.get_mut(known..).unwrap_or_default(), from);
        self.buffer.truncate(known + *count.as_ref().unwrap_or(&0));
        self.is_over = count? == 0;
        Ok(())
    }

    fn take(&mut self, bytes: usize, lines: u64) -> Row {
        let row = self.buffer.get(self.at..self.at + bytes).unwrap_or_default();
        let text = if bytes > ROW_BYTES_MAX {
            Err(TOO_LONG)
        } else {
            std::str::from_utf8(without_end(row))
                .map(str::to_owned)
                .map_err(|_| "is not UTF-8")
        };
        self.pass(bytes, lines, text)
    }

    /// Gives up on a row that is too long: passes over its first line, however long that is.
    fn skip_line(&mut self, mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<Row> {
        let line = self.place.lines + 1;
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n');
            let bytes = end.map_or(rest.len(), |end| end + 1);
            self.at += bytes;
            self.place.offset += bytes as u64;
            if end.is_some() || self.is_over {
                self.place.lines = line;
                return Ok(Row {
                    line,
                    text: Err(TOO_LONG),
                    next: self.place,
                });
            }
            self.fill(&mut read)?;
        }
    }

    fn pass(&mut self, bytes: usize, lines: u64, text: Result<String, &'static str>) -> Row {
        let line = self.place.lines + 1;
        self.at += bytes;
        self.place.offset += bytes as u64;
        self.place.lines += lines;
        Row {
            line,
            text,
            next: self.place,
        }
    }

    /// Finds the end of the row that `rest` begins with.
    fn end(&self, rest: &[u8]) -> End {
        let Some(delimiter) = self.quotes else {
            return match rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => End::At {
                    bytes: end + 1,
                    lines: 1,
                },
                None => End::Unknown,
            };
        };
        // A quote opens at the beginning of a cell alone, and a doubled one inside closes and opens again.
        let (mut quoted, mut cell_begins, mut lines) = (false, true, 1);
        for (index, byte) in rest.iter().enumerate().take(ROW_BYTES_MAX + 1) {
            match *byte {
                b'"' if quoted => quoted = false,
                b'"' if cell_begins || rest.get(index.wrapping_sub(1)) == Some(&b'"') => quoted = true,
                b'\n' if quoted => lines += 1,
                b'\n' => {
                    return End::At {
                        bytes: index + 1,
                        lines,
                    };
                }
                _ => {}
            }
            cell_begins = !quoted && *byte == delimiter;
        }
        End::Unknown
    }
}

const TOO_LONG: &str = "is longer than 65536 bytes, or has a quote that is never closed";

fn without_end(row: &[u8]) -> &[u8] {
    let row = row.strip_suffix(b"\n").unwrap_or(row);
    row.strip_suffix(b"\r").unwrap_or(row)
}

fn breaks(bytes: &[u8]) -> u64 {
    // A break at the very end begins no line.
    bytes
        .strip_suffix(b"\n")
        .unwrap_or(bytes)
        .split(|byte| *byte == b'\n')
        .skip(1)
        .count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(format: ImportFormat, file: &[u8], step: usize) -> Vec<(u64, Result<String, &'static str>)> {
        let mut rows = Rows::new(format, b',', Place::default());
        let mut found = Vec::new();
        let read = |buffer: &mut [u8], offset: u64| {
            let rest = file.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            let count = rest.len().min(step).min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        };
        while let Some(row) = rows.next(read).unwrap() {
            found.push((row.line, row.text));
        }
        assert_eq!(rows.place.offset, file.len() as u64);
        found
    }

    fn check(format: ImportFormat, file: &[u8], expected: &[(u64, Result<&str, &'static str>)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(line, text)| (*line, text.map(str::to_owned)))
            .collect();
        for step in [1, 7, 1 << 20] {
            if file.len() < 1000 || step > 1 {
                assert_eq!(rows(format, file, step), expected, "{step} bytes at once");
            }
        }
    }

    #[test]
    fn rows_of_a_table_span_lines_inside_quotes() {
        check(
            ImportFormat::Csv,
            b"a,b\r\n1,\"x\ny\"\n\"a\"\"\nb\",2\n3,in\"side\nlast,\"\"",
            &[
                (1, Ok("a,b")),
                (2, Ok("1,\"x\ny\"")),
                (4, Ok("\"a\"\"\nb\",2")),
                (6, Ok("3,in\"side")),
                (7, Ok("last,\"\"")),
            ],
        );
    }

    #[test]
    fn lines_of_json_end_with_their_line() {
        check(
            ImportFormat::Ndjson,
            b"{\"a\": \"x\"}\n\n\xff\n{}",
            &[
                (1, Ok("{\"a\": \"x\"}")),
                (2, Ok("")),
                (3, Err("is not UTF-8")),
                (4, Ok("{}")),
            ],
        );
    }

    #[test]
    fn a_row_that_is_too_long_costs_itself_alone() {
        let long = [vec![b'x'; 3 * ROW_BYTES_MAX], b"\nnext\n".to_vec()].concat();
        check(ImportFormat::Ndjson, &long, &[(1, Err(TOO_LONG)), (2, Ok("next"))]);
        // A quote that is never closed takes no rows with it.
        let mut open = b"a,\"open\n".to_vec();
        for _ in 0..ROW_BYTES_MAX {
            open.extend_from_slice(b"1,2\n");
        }
        let found = rows(ImportFormat::Csv, &open, 1 << 20);
        assert_eq!(found.len(), ROW_BYTES_MAX + 1);
        assert_eq!(found[0], (1, Err(TOO_LONG)));
        assert_eq!(found[1], (2, Ok("1,2".to_owned())));
    }
}
