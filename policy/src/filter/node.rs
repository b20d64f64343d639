//! What a checked expression becomes: names are resolved, literals read, and nothing in it can be of the wrong type.

use types::contact::FieldType;
use types::text::Slug;

/// What an expression comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Bool,
    Int,
    Double,
    Text,
    Time,
    Span,
    /// A list of texts: only `groups` and `order.skus` are.
    Texts,
    /// Known only when the filter is asked: the properties of events have no declared types.
    Any,
}

impl Type {
    /// Returns what faults call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Bool => "a boolean",
            Self::Int => "a whole number",
            Self::Double => "a number",
            Self::Text => "a text",
            Self::Time => "a timestamp",
            Self::Span => "a duration",
            Self::Texts => "a list",
            Self::Any => "a property",
        }
    }

    /// Whether it is a number, or may be.
    pub(super) const fn is_numeric(self) -> bool {
        matches!(self, Self::Int | Self::Double)
    }
}

impl From<FieldType> for Type {
    fn from(kind: FieldType) -> Self {
        match kind {
            FieldType::Text => Self::Text,
            FieldType::Number => Self::Double,
            FieldType::Date => Self::Time,
            FieldType::Boolean => Self::Bool,
        }
    }
}

/// Something that is read from the facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Field(Slug, FieldType),
    Groups,
    ConsentEmail,
    ConsentSms,
    Language,
    Country,
    EmailDomain,
    OrdersCount,
    OrdersTotal,
    OrdersFirstAt,
    OrdersLastAt,
    LastOpenAt,
    LastClickAt,
    LastSentAt,
    Now,
    OrderTotal,
    OrderCurrency,
    OrderItems,
    OrderSkus,
    EventName,
    EventKey,
    Property(Slug),
}

/// A value that the source spells out. Times are milliseconds since 1970, spans are milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Box<str>),
    Time(i64),
    Span(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    StartsWith,
    EndsWith,
    Contains,
}

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Constant(Constant),
    Variable(Variable),
    /// Whether the variable has a value.
    Has(Variable),
    Not(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    /// The second if the first is true, else the third.
    Choice(Box<[Node; 3]>),
    Compare(Comparison, Box<[Node; 2]>),
    /// Whether the contact is in this group.
    InGroup(Slug),
    /// Whether the first is among these texts, which are sorted.
    AmongTexts(Box<Node>, Box<[Box<str>]>),
    /// Whether the first equals any of these.
    Among(Box<Node>, Box<[Node]>),
    /// Whether the first is in the second, a list of texts.
    InTexts(Box<[Node; 2]>),
    /// Whether the second is found in the first.
    Search(Search, Box<[Node; 2]>),
    Size(Box<Node>),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<[Node; 2]>),
    /// Reads a text as a time.
    TimeOf(Box<Node>),
    DaysSince(Box<Node>),
}

impl Node {
    /// Returns how many names, values and operations it is made of: what it costs to compile, and at most to answer.
    pub(super) fn parts(&self) -> usize {
        let both = |both: &[Self]| both.iter().map(Self::parts).sum::<usize>();
        let below = match self {
            Self::Constant(_) | Self::Variable(_) | Self::Has(_) | Self::InGroup(_) => 0,
            Self::Not(of) | Self::Size(of) | Self::Negate(of) | Self::TimeOf(of) | Self::DaysSince(of) => of.parts(),
            Self::And(of)
            | Self::Or(of)
            | Self::Compare(_, of)
            | Self::InTexts(of)
            | Self::Search(_, of)
            | Self::Arithmetic(_, of) => both(&**of),
            Self::Choice(of) => both(&**of),
            Self::AmongTexts(of, texts) => of.parts().saturating_add(texts.len()),
            Self::Among(of, others) => of.parts().saturating_add(both(others)),
        };
        below.saturating_add(1)
    }
}
