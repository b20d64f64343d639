//! How deep a template may go, and what stack that takes.
//!
//! The engine parses, compiles and drops a template by functions that call themselves: once more for each block inside
//! another and for each `elif`, and once more for each operand of a chain, since `a.b.c`, `a and b and c` and `--a` are
//! trees that lean to one side. The engine bounds some of that and not the rest. A thread whose stack is used up ends the
//! whole process, and nothing can catch that; a template that did it when a mail is made would do it again at each start.
//!
//! So a template is bounded before the engine's parser sees it, by its tokens alone, and whatever works with templates
//! runs on a stack of [`STACK_BYTES`](crate::STACK_BYTES). A test holds the two together: it makes the deepest templates that these bounds
//! admit, of every construct, and runs them on half of that stack without optimization.

use minijinja::machinery::Token;

/// Words and signs in one `{{ … }}` or `{% … %}`. An expression is never deeper than it is long.
///
/// The longest in the built-in mails has a dozen. A comparison with each country of the Union takes some 160.
pub const TAG_TOKENS_MAX: usize = 500;

/// Parentheses and brackets inside one another.
pub const NESTING_MAX: usize = 32;

/// Blocks inside one another, where each `elif` stands inside the branch before it.
pub const BLOCKS_MAX: usize = 100;

/// Slices and named arguments in a part. Each wraps a value in another, and `set` lets the next wrap it once more.
pub const WRAPS_MAX: usize = 64;

/// Follows the tokens of a part and tells when it goes too deep.
#[derive(Debug, Default)]
pub(super) struct Depth {
    tokens: usize,
    /// What is open in the tag, each with whether it is known to be a slice.
    open: Vec<bool>,
    /// The open blocks, each with the levels that it stands for: one, and one more for each `elif`.
    blocks: Vec<usize>,
    wraps: usize,
    opens_tag: bool,
}

impl Depth {
    /// Takes the next token. Returns what is wrong if a bound is passed with it.
    pub(super) fn take(&mut self, token: &Token<'_>) -> Option<String> {
        let opens_tag = std::mem::take(&mut self.opens_tag);
        match token {
            Token::TemplateData(_) | Token::VariableEnd | Token::BlockEnd => return None,
            Token::VariableStart | Token::BlockStart => {
                self.opens_tag = matches!(token, Token::BlockStart);
                self.tokens = 0;
                self.open.clear();
                return None;
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => self.open.push(false),
            Token::ParenClose | Token::BracketClose | Token::BraceClose => drop(self.open.pop()),
            Token::Colon => {
                if let Some(is_slice) = self.open.last_mut() {
                    self.wraps += usize::from(!*is_slice);
                    *is_slice = true;
                }
            }
            Token::Assign => self.wraps += usize::from(!self.open.is_empty()),
            Token::Ident(word) if opens_tag => self.block(word),
            _ => {}
        }
        self.tokens += 1;
        if self.tokens > TAG_TOKENS_MAX {
            return Some(format!(
                "a tag of more than {TAG_TOKENS_MAX} words and signs: take it apart, with `set` or with an `if` inside another"
            ));
        }
        if self.open.len() > NESTING_MAX {
            return Some(format!(
                "more than {NESTING_MAX} parentheses and brackets inside one another"
            ));
        }
        if self.blocks.iter().sum::<usize>() > BLOCKS_MAX {
            return Some(format!(
                "more than {BLOCKS_MAX} blocks and `elif` branches inside one another"
            ));
        }
        (self.wraps > WRAPS_MAX).then(|| format!("more than {WRAPS_MAX} slices and named arguments"))
    }

    /// Notes what a tag's first word opens or ends. An end that fits nothing is the parser's to refuse.
    fn block(&mut self, word: &str) {
        match word {
            "if" | "for" | "with" => self.blocks.push(1),
            "elif" => {
                if let Some(levels) = self.blocks.last_mut() {
                    *levels += 1;
                }
            }
            "endif" | "endfor" | "endwith" => drop(self.blocks.pop()),
            _ => {}
        }
    }
}
