//! The functions: which there are, what they take, what they give.

use cel::common::ast::{CallExpr, IdedExpr};

use super::check::{Checked, Checker};
use super::literal;
use super::names::Domain;
use super::node::{Constant, Node, Search, Type};

/// What there is, for whoever asks for something else.
const KNOWN: &str = "size, startsWith, endsWith, contains, has, timestamp, duration and days_since";

impl Checker<'_> {
    pub(super) fn function(&mut self, expr: &IdedExpr, call: &CallExpr) -> Checked {
        let name = call.func_name.as_str();
        let target = call.target.as_deref();
        match (name, target, call.args.as_slice()) {
            ("size", Some(of), []) | ("size", None, [of]) => self.size(expr, of),
            ("startsWith", Some(text), [part]) => self.search(expr, Search::StartsWith, text, part),
            ("endsWith", Some(text), [part]) => self.search(expr, Search::EndsWith, text, part),
            ("contains", Some(text), [part]) => self.search(expr, Search::Contains, text, part),
            ("timestamp", None, [text]) => self.time(expr, text),
            ("duration", None, [text]) => self.span(expr, text),
            ("days_since", None, [time]) => self.days_since(expr, time),
            _ => {
                self.fault(self.place(expr), refusal(name));
                for part in target.into_iter().chain(&call.args) {
                    self.expression(part);
                }
                self.faulty(expr)
            }
        }
    }

    fn size(&mut self, expr: &IdedExpr, of: &IdedExpr) -> Checked {
        let of = self.expression(of);
        self.expect(&of, &[Type::Text, Type::Texts], "size() takes a text or a list");
        self.sound(expr, Node::Size(Box::new(of.node)), Type::Int)
    }

    fn search(&mut self, expr: &IdedExpr, rule: Search, text: &IdedExpr, part: &IdedExpr) -> Checked {
        let (text, part) = (self.expression(text), self.expression(part));
        if text.domain == Domain::Group {
            self.fault(text.at, "to ask for a group, write \"vip\" in groups".to_owned());
        } else {
            self.expect(&text, &[Type::Text], "only a text is searched");
        }
        self.expect(&part, &[Type::Text], "only a text is searched for");
        self.sound(expr, Node::Search(rule, Box::new([text.node, part.node])), Type::Bool)
    }

    fn time(&mut self, expr: &IdedExpr, text: &IdedExpr) -> Checked {
        let text = self.expression(text);
        self.expect(&text, &[Type::Text], "timestamp() takes a text");
        let node = match text.text().map(literal::time) {
            Some(Some(time)) => Node::Constant(Constant::Time(time)),
            Some(None) => {
                let fault = "not a time such as 2026-12-24T18:00:00+01:00 or 2026-12-24".to_owned();
                self.fault(text.at, fault);
                text.node
            }
            None => Node::TimeOf(Box::new(text.node)),
        };
        self.sound(expr, node, Type::Time)
    }

    fn span(&mut self, expr: &IdedExpr, text: &IdedExpr) -> Checked {
        let text = self.expression(text);
        let span = text.text().and_then(literal::span);
        if span.is_none() && text.kind.is_some() {
            let fault = "duration() takes numbers with the units d, h, m, s or ms, such as \"36h\" or \"1h30m\"";
            self.fault(text.at, fault.to_owned());
        }
        self.sound(
            expr,
            Node::Constant(Constant::Span(span.unwrap_or_default())),
            Type::Span,
        )
    }

    fn days_since(&mut self, expr: &IdedExpr, time: &IdedExpr) -> Checked {
        let time = self.expression(time);
        self.expect(&time, &[Type::Time], "days_since() takes a timestamp");
        self.sound(expr, Node::DaysSince(Box::new(time.node)), Type::Int)
    }

    fn expect(&mut self, checked: &Checked, kinds: &[Type], rule: &str) {
        match checked.kind {
            Some(kind) if kind != Type::Any && !kinds.contains(&kind) => {
                self.fault(checked.at, format!("{rule}, and this is {}", kind.name()));
            }
            _ => {}
        }
    }
}

fn refusal(name: &str) -> String {
    match name {
        "size" => "size() is written size(fields.city) or fields.city.size()".to_owned(),
        "startsWith" | "endsWith" | "contains" => format!("{name}() is written fields.city.{name}(\"a\")"),
        "timestamp" => "timestamp() is written timestamp(\"2026-12-24T18:00:00+01:00\")".to_owned(),
        "duration" => "duration() is written duration(\"36h\")".to_owned(),
        "days_since" => "days_since() is written days_since(orders.last_at)".to_owned(),
        "has" => "has() is written has(fields.city)".to_owned(),
        "matches" => "matches() is not offered; there are startsWith, endsWith and contains".to_owned(),
        "all" | "exists" | "exists_one" | "map" | "filter" => {
            format!("{name}: going through a list is not possible; ask with `in`")
        }
        _ => format!("there is no function `{name}`; there are {KNOWN}"),
    }
}
