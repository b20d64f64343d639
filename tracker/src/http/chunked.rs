//! Bodies in chunks (RFC 9112 §7.1): short ones, read whole, without extensions or trailers.

/// What stands at the start of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunked {
    /// A whole body, and how many bytes it took.
    Whole { body: Vec<u8>, taken: usize },
    /// The start of one.
    Part,
    /// No chunks, or more than may be read.
    Bad,
}

/// Reads chunks of at most `body_bytes_max` together, to the empty one and the empty line behind it.
pub(super) fn read(buffer: &[u8], body_bytes_max: usize) -> Chunked {
    let mut body = Vec::new();
    let mut rest = buffer;
    loop {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            // A size has few digits: what goes on without an end is none.
            return if rest.len() > 10 { Chunked::Bad } else { Chunked::Part };
        };
        let (line, after) = rest.split_at(end + 1);
        let Some(size) = line.strip_suffix(b"\r\n").and_then(size) else {
            return Chunked::Bad;
        };
        if body.len() + size > body_bytes_max {
            return Chunked::Bad;
        }
        let Some((chunk, after)) = after.split_at_checked(size) else {
            return Chunked::Part;
        };
        rest = match after {
            [b'\r', b'\n', rest @ ..] => rest,
            [] | [b'\r'] => return Chunked::Part,
            _ => return Chunked::Bad,
        };
        if size == 0 {
            let taken = buffer.len() - rest.len();
            return Chunked::Whole { body, taken };
        }
        body.extend_from_slice(chunk);
    }
}

/// Reads a chunk's size: up to eight hexadecimal digits and nothing else.
fn size(digits: &[u8]) -> Option<usize> {
    if digits.len() > 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_its_chunks() {
        let text = b"4\r\nList\r\n16\r\n-Unsubscribe=One-Click\r\n0\r\n\r\nGET";
        let whole = Chunked::Whole {
            body: b"List-Unsubscribe=One-Click".to_vec(),
            taken: text.len() - 3,
        };
        assert_eq!(read(text, 100), whole);
        for cut in 0..text.len() - 3 {
            assert_eq!(read(text.get(..cut).expect("a part"), 100), Chunked::Part, "{cut}");
        }
        assert_eq!(read(text, 25), Chunked::Bad);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "4;x=y\r\nList\r\n0\r\n\r\n",
            "4 \r\nList\r\n0\r\n\r\n",
            "+4\r\nList\r\n0\r\n\r\n",
            "0x4\r\nList\r\n0\r\n\r\n",
            "\r\nList\r\n0\r\n\r\n",
            "4\nList\r\n0\r\n\r\n",
            "4\r\nListX\r\n0\r\n\r\n",
            "000000004\r\nList\r\n0\r\n\r\n",
            "0\r\nTrailer: x\r\n\r\n",
            "ffffffffffff",
        ] {
            assert_eq!(read(text.as_bytes(), 100), Chunked::Bad, "{text:?}");
        }
    }
}
