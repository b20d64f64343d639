//! Plain text out of HTML, for callers who give no text: what a reader needs, not a rendering.

/// Returns the words of an HTML document as plain text.
///
/// Paragraphs and rows are lines of their own, list items get a dash, links show their target after their words,
/// pictures their alternative text. Comments, styles, scripts and the head are left out. Any input gives some text.
pub fn from_html(html: &str) -> String {
    let mut text = Text::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let (words, tag) = rest.split_at(at);
        text.words(words);
        rest = if let Some((tag, after)) = tag_end(tag) {
            text.tag(tag, after)
        } else {
            // A lone `<`: text.
            text.words("<");
            tag.get(1..).unwrap_or_default()
        };
    }
    text.words(rest);
    text.finish()
}

/// Splits `<tag …>` or `<!-- … -->` from what follows; `None` if it is no tag.
fn tag_end(text: &str) -> Option<(&str, &str)> {
    if let Some(comment) = text.strip_prefix("<!--") {
        return Some(comment.split_once("-->").map_or(("!", ""), |(_, after)| ("!", after)));
    }
    let inner = text.strip_prefix('<')?;
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
        return None;
    }
    let mut quote = None;
    let end = inner.char_indices().find(|&(_, c)| match (quote, c) {
        (None, '>') => true,
        (None, '"' | '\'') => {
            quote = Some(c);
            false
        }
        (Some(open), c) if open == c => {
            quote = None;
            false
        }
        _ => false,
    });
    match end {
        Some((at, _)) => Some((inner.get(..at)?, inner.get(at + 1..)?)),
        None => Some((inner, "")),
    }
}

#[derive(Default)]
struct Text {
    out: String,
    /// Whether a blank is due before the next word.
    blank: bool,
    /// How many line ends are due before the next word.
    lines: usize,
    /// Where the last character of `out` that is no blank ends.
    inked: usize,
    /// The open links, the outermost first.
    links: Vec<Link>,
    /// How many of them have words. Links are nested, so these are the outer ones.
    worded: usize,
}

/// An open link.
struct Link {
    /// Where it leads.
    href: String,
    /// Where the first character in it that is no blank stands in `out`.
    ///
    /// It is noted when it is written: to look for it at the link's end would be to look through the same blanks once for
    /// each link that is open around them.
    words: Option<usize>,
}

impl Text {
    fn words(&mut self, html: &str) {
        for c in decoded(html) {
            if c.is_whitespace() && c != '\u{a0}' {
                self.blank = true;
                continue;
            }
            self.gap();
            self.push(if c == '\u{a0}' { ' ' } else { c });
        }
    }

    /// Writes a character as it is.
    fn push(&mut self, c: char) {
        if !c.is_whitespace() {
            let at = self.out.len();
            for link in self.links.iter_mut().skip(self.worded) {
                link.words = Some(at);
            }
            self.worded = self.links.len();
            self.inked = at + c.len_utf8();
        }
        self.out.push(c);
    }

    /// Writes what is due between the words before and the next.
    fn gap(&mut self) {
        if self.lines > 0 {
            let lines = if self.out.is_empty() { 0 } else { self.lines.min(2) };
            self.out.extend(std::iter::repeat_n('\n', lines));
        } else if self.blank && !self.out.is_empty() {
            self.out.push(' ');
        }
        (self.lines, self.blank) = (0, false);
    }

    fn break_lines(&mut self, lines: usize) {
        self.lines = self.lines.max(lines);
    }

    /// Takes a tag, and returns where the text goes on.
    fn tag<'a>(&mut self, tag: &str, after: &'a str) -> &'a str {
        let name_end = tag
            .char_indices()
            .find(|&(at, c)| at > 0 && !c.is_ascii_alphanumeric())
            .map_or(tag.len(), |(at, _)| at);
        let name = tag.get(..name_end).unwrap_or_default().to_ascii_lowercase();
        match name.as_str() {
            "head" | "style" | "script" | "title" => return skip(after, &name),
            "br" => self.lines += 1,
            "p" | "/p" | "h1" | "/h1" | "h2" | "/h2" | "h3" | "/h3" | "h4" | "/h4" | "table" | "/table" | "ul"
            | "/ul" | "ol" | "/ol" | "blockquote" | "/blockquote" | "hr" => self.break_lines(2),
            "div" | "/div" | "tr" | "/tr" | "/li" | "section" | "/section" | "article" | "/article" => {
                self.break_lines(1);
            }
            "li" => {
                self.break_lines(1);
                self.words("- ");
                self.blank = true;
            }
            "td" | "/td" | "th" | "/th" => self.blank = true,
            "img" => {
                if let Some(alt) = attribute(tag, "alt") {
                    self.words(&alt);
                }
            }
            "a" => {
                if let Some(href) = attribute(tag, "href").filter(|href| href.contains("://")) {
                    self.links.push(Link { href, words: None });
                }
            }
            "/a" => self.end_link(),
            _ => {}
        }
        after
    }

    /// Writes where the innermost open link leads, unless its words say it.
    fn end_link(&mut self) {
        let Some(Link { href, words }) = self.links.pop() else {
            return;
        };
        self.worded = self.worded.min(self.links.len());
        let words = words.and_then(|start| self.out.get(start..self.inked));
        if words.unwrap_or_default() == href {
            return;
        }
        let pieces = match words {
            Some(_) => [" (", &href, ")"],
            None => ["", &href, ""],
        };
        self.gap();
        for c in pieces.into_iter().flat_map(str::chars) {
            self.push(c);
        }
    }

    fn finish(mut self) -> String {
        self.out.truncate(self.inked);
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }
}

/// Returns what follows the end tag of an element whose content is not shown.
fn skip<'a>(text: &'a str, name: &str) -> &'a str {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("</") {
        if after
            .get(..name.len())
            .is_some_and(|end| end.eq_ignore_ascii_case(name))
        {
            return after.split_once('>').map_or("", |(_, after)| after);
        }
        rest = after;
    }
    ""
}

/// Returns an attribute's value.
fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let mut rest = tag;
    loop {
        let (before, after) = rest.split_once('=')?;
        let name = before.trim_end().rsplit(char::is_whitespace).next().unwrap_or_default();
        let after = after.trim_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, next) = match quote {
            Some(quote) => {
                let inner = after.get(1..).unwrap_or_default();
                inner.split_once(quote).unwrap_or((inner, ""))
            }
            None => after.split_once(char::is_whitespace).unwrap_or((after, "")),
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(decoded(value).collect());
        }
        rest = next;
    }
}

/// Returns the characters of HTML text, its entities decoded.
fn decoded(html: &str) -> impl Iterator<Item = char> {
    let mut rest = html;
    std::iter::from_fn(move || {
        let c = rest.chars().next()?;
        let (decoded, length) = (c == '&').then(|| entity(rest)).flatten().unwrap_or((c, c.len_utf8()));
        rest = rest.get(length..).unwrap_or_default();
        Some(decoded)
    })
}

/// Reads the entity at the start of `text`: its character and its length.
fn entity(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(12).position(|b| b == b';')?;
    let name = text.get(1..end)?;
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "euro" => '€',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "hellip" => '…',
        "ndash" => '–',
        "mdash" => '—',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "laquo" => '«',
        "raquo" => '»',
        "middot" => '·',
        "bull" => '•',
        numeric => {
            let digits = numeric.strip_prefix('#')?;
            let code = match digits.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => digits.parse().ok()?,
            };
            char::from_u32(code).filter(|c| !c.is_control())?
        }
    };
    Some((c, end + 1))
}

#[cfg(test)]
mod reference;

#[cfg(test)]
mod tests;
