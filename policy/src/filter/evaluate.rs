//! Asking a checked expression about a contact. Nothing is copied; only what the expression reaches is read.
//!
//! A missing value is a value of its own here. What is made of it is missing too; a comparison or test with it is false; as a condition
//! it is false. So every filter has an answer, and `!` always turns it around.

use std::cmp::Ordering;

use types::contact::{FieldType, FieldValue};
use types::order::Item;
use types::text::Slug;
use types::time::Timestamp;

use super::facts::{Cause, Facts};
use super::literal::{self, midnight};
use super::node::{Arithmetic, Comparison, Constant, Node, Search, Variable};
use super::{FilterError, Steps};

const DAY_MILLIS: i64 = 86_400_000;

/// What an expression comes to for one contact. Times are milliseconds since 1970, spans are milliseconds.
#[derive(Clone, Copy, Debug)]
enum Value<'v> {
    Missing,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(&'v str),
    Time(i64),
    Span(i64),
    Groups(&'v std::collections::BTreeSet<Slug>),
    Skus(&'v [Item]),
}

impl Value<'_> {
    /// Whether it is a condition that holds.
    fn holds(self) -> bool {
        matches!(self, Self::Bool(true))
    }

    /// How many bytes or elements an operation reads that reads all of it.
    fn size(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Groups(groups) => groups.len(),
            Self::Skus(items) => items.len(),
            Self::Missing | Self::Bool(_) | Self::Int(_) | Self::Double(_) | Self::Time(_) | Self::Span(_) => 0,
        }
    }

    fn count(count: usize) -> Self {
        Self::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    /// Overflow and division by zero have no value.
    fn int(value: Option<i64>) -> Self {
        value.map_or(Self::Missing, Self::Int)
    }

    fn double(value: f64) -> Self {
        if value.is_finite() {
            Self::Double(value)
        } else {
            Self::Missing
        }
    }

    fn time(value: Option<i64>) -> Self {
        value.map_or(Self::Missing, Self::Time)
    }

    fn moment(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Missing, |at| Self::Time(millis(at)))
    }

    fn span(value: Option<i64>) -> Self {
        value.map_or(Self::Missing, Self::Span)
    }
}

/// Tells whether the facts satisfy the expression.
pub(super) fn holds(node: &Node, facts: &Facts<'_>, steps: &Steps) -> Result<bool, FilterError> {
    evaluate(node, facts, steps).map(Value::holds)
}

fn evaluate<'v>(node: &'v Node, facts: &'v Facts<'_>, steps: &Steps) -> Result<Value<'v>, FilterError> {
    steps.take(1)?;
    let value = |node: &'v Node| evaluate(node, facts, steps);
    let compared = |operator, left: Value<'v>, right: Value<'v>| {
        steps.take(left.size().min(right.size()))?;
        Ok(compare(operator, left, right))
    };
    Ok(match node {
        Node::Constant(constant) => spelt(constant),
        Node::Variable(variable) => read(variable, facts)?,
        Node::Has(variable) => Value::Bool(!matches!(read(variable, facts)?, Value::Missing)),
        Node::Not(operand) => Value::Bool(!value(operand)?.holds()),
        Node::And(both) => {
            let [left, right] = &**both;
            Value::Bool(value(left)?.holds() && value(right)?.holds())
        }
        Node::Or(both) => {
            let [left, right] = &**both;
            Value::Bool(value(left)?.holds() || value(right)?.holds())
        }
        Node::Choice(parts) => {
            let [condition, yes, no] = &**parts;
            value(if value(condition)?.holds() { yes } else { no })?
        }
        Node::Compare(operator, both) => {
            let [left, right] = &**both;
            Value::Bool(compared(*operator, value(left)?, value(right)?)?)
        }
        Node::InGroup(group) => Value::Bool(facts.groups.contains(group)),
        Node::AmongTexts(one, texts) => Value::Bool(match value(one)? {
            Value::Text(text) => {
                // Whichever half is looked at, no more of it is read than the text is long.
                steps.take(text.len())?;
                texts.binary_search_by(|other| (**other).cmp(text)).is_ok()
            }
            _ => false,
        }),
        Node::Among(one, others) => {
            let one = value(one)?;
            for other in others {
                if compared(Comparison::Equal, one, value(other)?)? {
                    return Ok(Value::Bool(true));
                }
            }
            Value::Bool(false)
        }
        Node::InTexts(both) => {
            let [one, many] = &**both;
            let (one, many) = (value(one)?, value(many)?);
            steps.take(many.size())?;
            Value::Bool(match (one, many) {
                (Value::Text(text), Value::Groups(groups)) => groups.iter().any(|group| group.as_str() == text),
                (Value::Text(text), Value::Skus(items)) => items.iter().any(|item| &*item.sku == text),
                _ => false,
            })
        }
        Node::Search(rule, both) => {
            let [text, part] = &**both;
            Value::Bool(found(*rule, value(text)?, value(part)?, steps)?)
        }
        Node::Size(of) => match value(of)? {
            Value::Text(text) => {
                steps.take(text.len())?;
                Value::count(text.chars().count())
            }
            Value::Groups(groups) => Value::count(groups.len()),
            Value::Skus(items) => Value::count(items.len()),
            _ => Value::Missing,
        },
        Node::Negate(operand) => match value(operand)? {
            Value::Int(value) => Value::int(value.checked_neg()),
            Value::Double(value) => Value::Double(-value),
            Value::Span(span) => Value::span(span.checked_neg()),
            _ => Value::Missing,
        },
        Node::Arithmetic(operator, both) => {
            let [left, right] = &**both;
            compute(*operator, value(left)?, value(right)?)
        }
        Node::TimeOf(text) => match value(text)? {
            Value::Text(text) => {
                steps.take(text.len())?;
                Value::time(literal::time(text))
            }
            // A property that came as a date is one already.
            Value::Time(time) => Value::Time(time),
            _ => Value::Missing,
        },
        Node::DaysSince(time) => match value(time)? {
            Value::Time(time) => Value::int(
                millis(facts.now)
                    .checked_sub(time)
                    .map(|span| span.div_euclid(DAY_MILLIS)),
            ),
            _ => Value::Missing,
        },
    })
}

fn spelt(constant: &Constant) -> Value<'_> {
    match constant {
        Constant::Bool(value) => Value::Bool(*value),
        Constant::Int(value) => Value::Int(*value),
        Constant::Double(value) => Value::Double(*value),
        Constant::Text(text) => Value::Text(text),
        Constant::Time(time) => Value::Time(*time),
        Constant::Span(span) => Value::Span(*span),
    }
}

fn found(rule: Search, text: Value<'_>, part: Value<'_>, steps: &Steps) -> Result<bool, FilterError> {
    let (Value::Text(text), Value::Text(part)) = (text, part) else {
        return Ok(false);
    };
    steps.take(match rule {
        Search::StartsWith | Search::EndsWith => text.len().min(part.len()),
        Search::Contains => text.len().saturating_add(part.len()),
    })?;
    Ok(match rule {
        Search::StartsWith => text.starts_with(part),
        Search::EndsWith => text.ends_with(part),
        Search::Contains => text.contains(part),
    })
}

fn read<'v>(variable: &Variable, facts: &'v Facts<'_>) -> Result<Value<'v>, FilterError> {
    let order = || match facts.cause {
        Cause::Order(order) => Ok(order),
        Cause::None | Cause::Event(_) => Err(FilterError::NoCause("order")),
    };
    let event = || match facts.cause {
        Cause::Event(event) => Ok(event),
        Cause::None | Cause::Order(_) => Err(FilterError::NoCause("event")),
    };
    Ok(match variable {
        Variable::Field(id, kind) => match facts.fields.get(id) {
            Some(value) if value.kind() == *kind => of_field(value),
            Some(_) => return Err(wrong_type(id, *kind)),
            None => Value::Missing,
        },
        Variable::Groups => Value::Groups(facts.groups),
        Variable::ConsentEmail => Value::Bool(facts.consent.email),
        Variable::ConsentSms => Value::Bool(facts.consent.sms),
        Variable::Language => facts
            .language
            .map_or(Value::Missing, |language| Value::Text(language.code())),
        Variable::Country => match &facts.country {
            Some(country) => Value::Text(country.as_str()),
            None => Value::Missing,
        },
        Variable::EmailDomain => Value::Text(facts.email_domain),
        Variable::OrdersCount => Value::Int(i64::try_from(facts.orders.count).unwrap_or(i64::MAX)),
        Variable::OrdersTotal => Value::int(facts.orders.total),
        Variable::OrdersFirstAt => Value::moment(facts.orders.first_at),
        Variable::OrdersLastAt => Value::moment(facts.orders.last_at),
        Variable::LastOpenAt => Value::moment(facts.activity.last_open_at),
        Variable::LastClickAt => Value::moment(facts.activity.last_click_at),
        Variable::LastSentAt => Value::moment(facts.activity.last_sent_at),
        Variable::Now => Value::Time(millis(facts.now)),
        Variable::OrderTotal => Value::Int(order()?.total.amount),
        Variable::OrderCurrency => Value::Text(order()?.total.currency.as_str()),
        Variable::OrderItems => Value::count(order()?.items.len()),
        Variable::OrderSkus => Value::Skus(&order()?.items),
        Variable::EventName => Value::Text(event()?.name.as_str()),
        Variable::EventKey => match &event()?.key {
            Some(key) => Value::Text(key),
            None => Value::Missing,
        },
        Variable::Property(id) => event()?.properties.get(id).map_or(Value::Missing, of_field),
    })
}

fn wrong_type(id: &Slug, kind: FieldType) -> FilterError {
    FilterError::WrongType {
        variable: format!("fields.{id}"),
        expected: kind.as_str(),
    }
}

fn of_field(value: &FieldValue) -> Value<'_> {
    match value {
        FieldValue::Text(text) => Value::Text(text),
        FieldValue::Number(number) => Value::Double(number.value()),
        FieldValue::Date(date) => Value::Time(midnight(*date)),
        FieldValue::Moment(at) => Value::Time(millis(*at)),
        FieldValue::Boolean(value) => Value::Bool(*value),
    }
}

fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

fn compare(operator: Comparison, left: Value<'_>, right: Value<'_>) -> bool {
    let ordering = match (left, right) {
        (Value::Missing, _) | (_, Value::Missing) => return false,
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => {
            let equal = left == right;
            return match operator {
                Comparison::Equal => equal,
                Comparison::NotEqual => !equal,
                _ => false,
            };
        }
        (Value::Int(left), Value::Int(right))
        | (Value::Time(left), Value::Time(right))
        | (Value::Span(left), Value::Span(right)) => Some(left.cmp(&right)),
        (Value::Double(left), Value::Double(right)) => left.partial_cmp(&right),
        (Value::Int(left), Value::Double(right)) => Some(compare_exactly(left, right)),
        (Value::Double(left), Value::Int(right)) => Some(compare_exactly(right, left).reverse()),
        // A property of another type than it is compared with.
        _ => None,
    };
    match (operator, ordering) {
        (Comparison::NotEqual, ordering) => ordering != Some(Ordering::Equal),
        (_, None) => false,
        (Comparison::Equal, Some(ordering)) => ordering.is_eq(),
        (Comparison::Less, Some(ordering)) => ordering.is_lt(),
        (Comparison::LessOrEqual, Some(ordering)) => ordering.is_le(),
        (Comparison::Greater, Some(ordering)) => ordering.is_gt(),
        (Comparison::GreaterOrEqual, Some(ordering)) => ordering.is_ge(),
    }
}

/// 2⁶³, the first double beyond every `i64`.
const BEYOND: f64 = 9_223_372_036_854_775_808.0;

/// Compares a whole number with a finite one without rounding either.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the comparisons before")]
fn compare_exactly(whole: i64, number: f64) -> Ordering {
    if number >= BEYOND {
        return Ordering::Less;
    }
    if number < -BEYOND {
        return Ordering::Greater;
    }
    let floor = number.floor();
    whole.cmp(&(floor as i64)).then(if number > floor {
        Ordering::Less
    } else {
        Ordering::Equal
    })
}

fn compute(operator: Arithmetic, left: Value<'_>, right: Value<'_>) -> Value<'static> {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    match (left, operator, right) {
        (Value::Int(left), _, Value::Int(right)) => Value::int(match operator {
            Add => left.checked_add(right),
            Subtract => left.checked_sub(right),
            Multiply => left.checked_mul(right),
            Divide => left.checked_div(right),
            Remainder => left.checked_rem(right),
        }),
        (Value::Int(_) | Value::Double(_), _, Value::Int(_) | Value::Double(_)) => {
            let (left, right) = (as_double(left), as_double(right));
            Value::double(match operator {
                Add => left + right,
                Subtract => left - right,
                Multiply => left * right,
                Divide => left / right,
                Remainder => f64::NAN,
            })
        }
        (Value::Time(left), Add, Value::Span(right)) | (Value::Span(left), Add, Value::Time(right)) => {
            Value::time(left.checked_add(right))
        }
        (Value::Time(left), Subtract, Value::Span(right)) => Value::time(left.checked_sub(right)),
        (Value::Time(left), Subtract, Value::Time(right)) | (Value::Span(left), Subtract, Value::Span(right)) => {
            Value::span(left.checked_sub(right))
        }
        (Value::Span(left), Add, Value::Span(right)) => Value::span(left.checked_add(right)),
        _ => Value::Missing,
    }
}

#[expect(clippy::cast_precision_loss, reason = "what meets a double is computed as one")]
fn as_double(value: Value<'_>) -> f64 {
    match value {
        Value::Int(value) => value as f64,
        Value::Double(value) => value,
        _ => f64::NAN,
    }
}
