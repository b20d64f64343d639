//! Relaxed canonicalisation (RFC 6376 §3.4.2 and §3.4.4).

/// Appends a body in relaxed form: runs of blanks are one space, none stand at the end of a line, no empty lines stand
/// at the end of the body.
///
/// A line of nothing but blanks is empty, also at the end; several verifiers have got that wrong.
pub fn body(body: &[u8], out: &mut Vec<u8>) {
    let mut empty_lines = 0_usize;
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    for line in body.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let end = line.iter().rposition(|b| !is_blank(*b)).map_or(0, |at| at + 1);
        let Some(line) = line.get(..end).filter(|line| !line.is_empty()) else {
            empty_lines += 1;
            continue;
        };
        for _ in 0..empty_lines {
            out.extend_from_slice(b"\r\n");
        }
        empty_lines = 0;
        collapse(line, out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a header field in relaxed form: `name:value`, without the line end. `field` is as it stands in the message.
pub fn field(field: &[u8], out: &mut Vec<u8>) {
    let colon = field.iter().position(|b| *b == b':').unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    let name = name.trim_ascii_end();
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let mut blank = false;
    for &byte in value {
        match byte {
            b'\r' | b'\n' => {}
            b' ' | b'\t' => blank = true,
            _ => {
                if std::mem::take(&mut blank) {
                    out.push(b' ');
                }
                out.push(byte);
            }
        }
    }
}

/// Splits a header section into its fields, each with its folds and its line end.
pub fn fields(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            let line = rest.get(end..).unwrap_or_default();
            end += line.iter().position(|b| *b == b'\n').map_or(line.len(), |at| at + 1);
            if !rest.get(end).is_some_and(|b| is_blank(*b)) {
                break;
            }
        }
        let (field, after) = rest.split_at(end);
        rest = after;
        Some(field)
    })
}

/// Appends a line with its runs of blanks made one space.
fn collapse(line: &[u8], out: &mut Vec<u8>) {
    let mut rest = line;
    // Most lines have no run and no tab, and are copied whole.
    while let Some(at) = run(rest) {
        let (before, blanks) = rest.split_at(at);
        out.extend_from_slice(before);
        out.push(b' ');
        let text = blanks.iter().position(|b| !is_blank(*b)).unwrap_or(blanks.len());
        rest = blanks.get(text..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Returns where the first run of blanks begins that is not one space already.
fn run(line: &[u8]) -> Option<usize> {
    let mut after_space = false;
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b'\t' => return Some(at - usize::from(after_space)),
            b' ' if after_space => return Some(at - 1),
            _ => after_space = byte == b' ',
        }
    }
    None
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_body(text: &str, expected: &str) {
        let mut out = Vec::new();
        body(text.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?}");
    }

    #[test]
    fn bodies_are_relaxed() {
        // The example of RFC 6376 §3.4.5.
        check_body(" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n");
        check_body("", "");
        check_body("\r\n", "");
        check_body("\r\n \r\n\t\r\n", "");
        check_body("a\r\n\r\n b\r\n", "a\r\n\r\n b\r\n");
        check_body("hello\r\n  \r\n", "hello\r\n");
        check_body("no end", "no end\r\n");
        check_body("\ta\t\tb  c\r\n", " a b c\r\n");
    }

    #[test]
    fn fields_are_relaxed() {
        let mut out = Vec::new();
        field(b"SUBJect : a\t b \r\n\tc  \r\n", &mut out);
        assert_eq!(out, b"subject:a b c");
    }

    #[test]
    fn fields_keep_their_folds() {
        let header = b"A: 1\r\nB: 2\r\n 3\r\n\t4\r\nC: 5\r\n";
        let fields: Vec<&[u8]> = fields(header).collect();
        assert_eq!(fields, [&b"A: 1\r\n"[..], b"B: 2\r\n 3\r\n\t4\r\n", b"C: 5\r\n"]);
    }
}
