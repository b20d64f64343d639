//! Quoted-printable (RFC 2045 §6.7) for text: lines of at most 76 characters, all of them ASCII.
//!
//! Two liberties of the encoding are used so that nothing on the way needs to touch the text, which would break its
//! signature: a dot at the start of a line is written `=2E` (no dot-stuffing, and no sequence that ends the data early),
//! and so is the `F` of `From ` (no mbox quoting).

/// The longest encoded line, the soft break's `=` included (RFC 2045 §6.7, rule 5).
const LINE_MAX: usize = 76;

/// Appends `text` encoded. CR LF, LF and CR alike are line ends. What is appended ends in a line end.
pub fn encode(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|b| matches!(b, b'\r' | b'\n'))
            .unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        encode_line(line, out);
        out.extend_from_slice(b"\r\n");
        rest = after
            .strip_prefix(b"\r\n")
            .or_else(|| after.get(1..))
            .unwrap_or_default();
    }
}

fn encode_line(line: &[u8], out: &mut Vec<u8>) {
    let mut column = 0;
    let mut rest = line;
    while let Some(&first) = rest.first() {
        // At the start of an encoded line, a dot and "From " are escaped whatever comes before them in the text.
        let hidden = column == 0 && (first == b'.' || rest.starts_with(b"From "));
        // What this line has room for, and one more to see whether the text ends there: a text without line ends is
        // looked at once, not once a line.
        let room = LINE_MAX - column;
        let near = rest.get(..=room).unwrap_or(rest);
        let run = if hidden {
            0
        } else {
            near.iter().position(|&b| !is_plain(b)).unwrap_or(near.len())
        };
        if run == 0 {
            let last = rest.len() == 1;
            if column + 3 > LINE_MAX - usize::from(!last) {
                soft_break(out, &mut column);
                continue;
            }
            escape(first, out);
            column += 3;
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        // A line may be full to the last column only if nothing, not even the soft break's `=`, follows.
        let take = if run == rest.len() && run <= room {
            run
        } else {
            run.min(room - 1)
        };
        if take == 0 {
            soft_break(out, &mut column);
            continue;
        }
        let (plain, after) = rest.split_at(take);
        out.extend_from_slice(plain);
        column += take;
        rest = after;
    }
    // Blanks at the end of a line get lost on the way (rule 3).
    if let Some(&blank @ (b' ' | b'\t')) = line.last()
        && out.last() == Some(&blank)
    {
        out.pop();
        if column + 2 > LINE_MAX {
            out.extend_from_slice(b"=\r\n");
        }
        escape(blank, out);
    }
}

fn soft_break(out: &mut Vec<u8>, column: &mut usize) {
    out.extend_from_slice(b"=\r\n");
    *column = 0;
}

/// Appends `=XX`.
pub(super) fn escape(byte: u8, out: &mut Vec<u8>) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 };
    out.extend_from_slice(&[b'=', digit(byte >> 4), digit(byte & 15)]);
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'<' | b'>'..=b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: &str) {
        let mut out = Vec::new();
        encode(text, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?}");
    }

    #[test]
    fn text_is_encoded_line_by_line() {
        check("", "");
        check("a=b\nè", "a=3Db\r\n=C3=A8\r\n");
        check("a\rb\r\nc\n\n", "a\r\nb\r\nc\r\n\r\n");
        check("blank \ntab\t\n \n", "blank=20\r\ntab=09\r\n=20\r\n");
        check(".\n..a\n", "=2E\r\n=2E.a\r\n");
        check("From me\nFromage", "=46rom me\r\nFromage\r\n");
        check("nul\0", "nul=00\r\n");
    }

    #[test]
    fn lines_are_76_long_at_most() {
        let full = "x".repeat(76);
        check(&full, &format!("{full}\r\n"));
        check(&format!("{full}y"), &format!("{}=\r\nxy\r\n", "x".repeat(75)));
        check(
            &format!("{} ", "x".repeat(75)),
            &format!("{}=\r\n=20\r\n", "x".repeat(75)),
        );
        check(
            &format!("{}.From", "x".repeat(75)),
            &format!("{}=\r\n=2EFrom\r\n", "x".repeat(75)),
        );
    }

    /// Encodes a line by looking for the end of plain text in all that is left of it, once for each line that comes out.
    fn slow_line(line: &[u8], out: &mut Vec<u8>) {
        let mut column = 0;
        let mut rest = line;
        while let Some(&first) = rest.first() {
            // At the start of an encoded line, a dot and "From " are escaped whatever comes before them in the text.
            let hidden = column == 0 && (first == b'.' || rest.starts_with(b"From "));
            let run = if hidden {
                0
            } else {
                rest.iter().position(|&b| !is_plain(b)).unwrap_or(rest.len())
            };
            if run == 0 {
                let last = rest.len() == 1;
                if column + 3 > LINE_MAX - usize::from(!last) {
                    soft_break(out, &mut column);
                    continue;
                }
                escape(first, out);
                column += 3;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            // A line may be full to the last column only if nothing, not even the soft break's `=`, follows.
            let room = LINE_MAX - column;
            let take = if run == rest.len() && run <= room {
                run
            } else {
                run.min(room - 1)
            };
            if take == 0 {
                soft_break(out, &mut column);
                continue;
            }
            let (plain, after) = rest.split_at(take);
            out.extend_from_slice(plain);
            column += take;
            rest = after;
        }
        // Blanks at the end of a line get lost on the way (rule 3).
        if let Some(&blank @ (b' ' | b'\t')) = line.last()
            && out.last() == Some(&blank)
        {
            out.pop();
            if column + 2 > LINE_MAX {
                out.extend_from_slice(b"=\r\n");
            }
            escape(blank, out);
        }
    }

    fn slow(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let lines = text.replace("\r\n", "\n").replace('\r', "\n");
        for line in lines.split_terminator('\n') {
            slow_line(line.as_bytes(), &mut out);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    fn fast(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        out
    }

    #[test]
    fn every_length_around_a_full_line_is_encoded_as_before() {
        for end in ["", " ", "\t", "=", "è", ".", "From ", "x="] {
            for length in 0..240 {
                for plain in ["x", ".", " ", "From "] {
                    let text = format!("{}{end}", plain.repeat(length));
                    assert_eq!(fast(&text), slow(&text), "{text:?}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn lines_are_encoded_as_before(
            runs in prop::collection::vec((prop::sample::select(&["x", ".", " ", "\t", "=", "è", "From ", "\r", "\n", "\0"][..]), 1..90_usize), 0..12),
        ) {
            let text: String = runs.iter().map(|(piece, times)| piece.repeat(*times)).collect();
            prop_assert_eq!(fast(&text), slow(&text));
        }

        #[test]
        fn any_text_is_encoded_as_before(text in "[ -~\t\r\nè]{0,400}") {
            prop_assert_eq!(fast(&text), slow(&text));
        }
    }
}
