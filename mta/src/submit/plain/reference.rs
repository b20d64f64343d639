//! The reading that [`from_html`](super::from_html) must agree with, to the byte: it looks for a link's words by trimming
//! all that was written since the link began, which takes long for links in links.

use super::{attribute, decoded, skip, tag_end};

pub(super) fn from_html(html: &str) -> String {
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

#[derive(Default)]
struct Text {
    out: String,
    /// Whether a blank is due before the next word.
    blank: bool,
    /// How many line ends are due before the next word.
    lines: usize,
    /// Where open links lead, and where their words begin in `out`.
    links: Vec<(String, usize)>,
}

impl Text {
    fn words(&mut self, html: &str) {
        for c in decoded(html) {
            if c.is_whitespace() && c != '\u{a0}' {
                self.blank = true;
                continue;
            }
            self.gap();
            self.out.push(if c == '\u{a0}' { ' ' } else { c });
        }
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
                    self.links.push((href, self.out.len()));
                }
            }
            "/a" => {
                if let Some((href, start)) = self.links.pop()
                    && self.out.get(start..).is_some_and(|words| words.trim() != href)
                {
                    let bare = self.out.get(start..).is_some_and(|words| words.trim().is_empty());
                    self.gap();
                    for piece in if bare { ["", &href, ""] } else { [" (", &href, ")"] } {
                        self.out.push_str(piece);
                    }
                }
            }
            _ => {}
        }
        after
    }

    fn finish(mut self) -> String {
        let end = self.out.trim_end().len();
        self.out.truncate(end);
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.out
    }
}
