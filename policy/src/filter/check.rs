//! The type check: from syntax tree to [`Node`]s. It goes on after a fault, to find the others; what is wrong has no type, and nothing
//! more is said of it.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::FilterFault;
use super::names::{self, Domain};
use super::node::{Arithmetic, Comparison, Constant, Node, Type};
use super::parse::Parsed;
use super::schema::{Schema, Scope};

/// How deep the tree may be. A sum of many terms is as deep as it has terms; `&&` and `||` are balanced, and take as many as one likes.
const DEPTH_MAX: usize = 64;

/// A checked part. Without a type it is faulty, which has been told.
pub(super) struct Checked {
    pub(super) node: Node,
    pub(super) kind: Option<Type>,
    pub(super) domain: Domain,
    pub(super) at: Option<usize>,
}

impl Checked {
    /// Returns the text, if it is spelt out.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.node {
            Node::Constant(Constant::Text(text)) => Some(text),
            _ => None,
        }
    }
}

pub(super) struct Checker<'a> {
    pub(super) schema: &'a Schema,
    scope: Scope,
    parsed: &'a Parsed,
    faults: Vec<FilterFault>,
    depth: usize,
}

/// Checks a parsed source; `Err` has its faults.
pub(super) fn check(parsed: &Parsed, schema: &Schema, scope: Scope) -> Result<Node, Vec<FilterFault>> {
    let mut checker = Checker {
        schema,
        scope,
        parsed,
        faults: Vec::new(),
        depth: 0,
    };
    let root = checker.expression(&parsed.root);
    if let Some(kind) = root.kind.filter(|kind| !matches!(kind, Type::Bool | Type::Any)) {
        checker.fault(None, format!("a filter is true or false, and this is {}", kind.name()));
    }
    if checker.faults.is_empty() {
        Ok(root.node)
    } else {
        Err(checker.faults)
    }
}

impl Checker<'_> {
    pub(super) fn fault(&mut self, at: Option<usize>, fault: String) {
        self.faults.push(FilterFault { offset: at, fault });
    }

    pub(super) fn place(&self, expr: &IdedExpr) -> Option<usize> {
        self.parsed.place(expr.id)
    }

    /// Something faulty that was told of.
    pub(super) fn faulty(&self, expr: &IdedExpr) -> Checked {
        Checked {
            node: Node::Constant(Constant::Bool(false)),
            kind: None,
            domain: Domain::Open,
            at: self.place(expr),
        }
    }

    pub(super) fn sound(&self, expr: &IdedExpr, node: Node, kind: Type) -> Checked {
        Checked {
            node,
            kind: Some(kind),
            domain: Domain::Open,
            at: self.place(expr),
        }
    }

    fn refuse(&mut self, expr: &IdedExpr, fault: impl Into<String>) -> Checked {
        self.fault(self.place(expr), fault.into());
        self.faulty(expr)
    }

    pub(super) fn expression(&mut self, expr: &IdedExpr) -> Checked {
        if self.depth >= DEPTH_MAX {
            return self.refuse(expr, format!("more than {DEPTH_MAX} operations inside one another"));
        }
        self.depth += 1;
        let checked = self.one(expr);
        self.depth -= 1;
        checked
    }

    fn one(&mut self, expr: &IdedExpr) -> Checked {
        match &expr.expr {
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Select(select) if select.test => self.has(expr, &select.operand, &select.field),
            Expr::Ident(_) | Expr::Select(_) => self.variable(expr),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(_) => self.refuse(expr, "a list stands only to the right of `in`"),
            Expr::Map(_) | Expr::Struct(_) => self.refuse(expr, "maps and messages are not known here"),
            Expr::Comprehension(comprehension) => {
                // What the parser's macros begin with tells them apart.
                let name = match &comprehension.accu_init.expr {
                    Expr::Literal(LiteralValue::Boolean(start)) if **start => "all",
                    Expr::Literal(LiteralValue::Boolean(_)) => "exists",
                    Expr::Literal(_) => "exists_one",
                    _ => "map and filter",
                };
                self.refuse(
                    expr,
                    format!("{name}: going through a list is not possible; ask with `in`"),
                )
            }
            Expr::Unspecified => self.refuse(expr, "not understood"),
        }
    }

    fn literal(&mut self, expr: &IdedExpr, literal: &LiteralValue) -> Checked {
        let (constant, kind) = match literal {
            LiteralValue::Boolean(value) => (Constant::Bool(**value), Type::Bool),
            LiteralValue::Int(value) => (Constant::Int(**value), Type::Int),
            LiteralValue::Double(value) => (Constant::Double(**value), Type::Double),
            LiteralValue::String(text) => (Constant::Text(text.inner().into()), Type::Text),
            LiteralValue::Null => {
                return self.refuse(expr, "null is not known here; has() tells whether there is a value");
            }
            LiteralValue::UInt(_) => return self.refuse(expr, "numbers are written without u"),
            LiteralValue::Bytes(_) => return self.refuse(expr, "bytes are not known here"),
        };
        self.sound(expr, Node::Constant(constant), kind)
    }

    fn variable(&mut self, expr: &IdedExpr) -> Checked {
        let Some(path) = path(expr) else {
            return self.refuse(expr, "only a variable has parts");
        };
        match names::resolve(&path, self.schema, self.scope) {
            Ok(named) => Checked {
                node: Node::Variable(named.variable),
                kind: Some(named.kind),
                domain: named.domain,
                at: self.place_of_name(expr),
            },
            Err(fault) => {
                self.fault(self.place_of_name(expr), fault);
                self.faulty(expr)
            }
        }
    }

    /// Returns where a dotted name begins: its parts are at their dots.
    fn place_of_name(&self, mut expr: &IdedExpr) -> Option<usize> {
        loop {
            match &expr.expr {
                Expr::Select(select) => expr = &select.operand,
                Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::INDEX => match args.first() {
                    Some(operand) => expr = operand,
                    None => return self.place(expr),
                },
                _ => return self.place(expr),
            }
        }
    }

    fn has(&mut self, expr: &IdedExpr, operand: &IdedExpr, field: &str) -> Checked {
        let at = self.place_of_name(operand);
        let Some(mut path) = path(operand) else {
            return self.refuse(expr, "has() takes the name of a variable");
        };
        path.push(field);
        match names::resolve(&path, self.schema, self.scope) {
            Ok(named) => self.sound(expr, Node::Has(named.variable), Type::Bool),
            Err(fault) => {
                self.fault(at, fault);
                self.sound(expr, Node::Constant(Constant::Bool(false)), Type::Bool)
            }
        }
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Checked {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::INDEX, [_, _]) => self.variable(expr),
            (operators::CONDITIONAL, [condition, yes, no]) => self.choice(expr, condition, yes, no),
            (operators::LOGICAL_NOT, [operand]) => {
                let operand = self.condition(operand, "!");
                self.sound(expr, Node::Not(Box::new(operand)), Type::Bool)
            }
            (operators::LOGICAL_AND, [left, right]) => {
                let both = [self.condition(left, "&&"), self.condition(right, "&&")];
                self.sound(expr, Node::And(Box::new(both)), Type::Bool)
            }
            (operators::LOGICAL_OR, [left, right]) => {
                let both = [self.condition(left, "||"), self.condition(right, "||")];
                self.sound(expr, Node::Or(Box::new(both)), Type::Bool)
            }
            (operators::NEGATE, [operand]) => self.negation(expr, operand),
            (operators::IN, [one, many]) => self.membership(expr, one, many),
            (name, [left, right]) if comparison(name).is_some() || arithmetic(name).is_some() => {
                let (left, right) = (self.expression(left), self.expression(right));
                match (comparison(name), arithmetic(name)) {
                    (Some(operator), _) => {
                        self.comparable(operator, &left, &right, self.place(expr));
                        let node = Node::Compare(operator, Box::new([left.node, right.node]));
                        self.sound(expr, node, Type::Bool)
                    }
                    (None, Some(operator)) => self.computation(expr, operator, left, right),
                    (None, None) => self.faulty(expr),
                }
            }
            _ => self.function(expr, call),
        }
    }

    /// Checks what must be true or false.
    fn condition(&mut self, expr: &IdedExpr, operator: &str) -> Node {
        let checked = self.expression(expr);
        if let Some(kind) = checked.kind.filter(|kind| !matches!(kind, Type::Bool | Type::Any)) {
            self.fault(
                checked.at,
                format!("`{operator}` takes conditions, and this is {}", kind.name()),
            );
        }
        checked.node
    }

    fn choice(&mut self, expr: &IdedExpr, condition: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Checked {
        let condition = self.condition(condition, "?");
        let (yes, no) = (self.expression(yes), self.expression(no));
        let kind = match (yes.kind, no.kind) {
            (Some(Type::Texts), _) | (_, Some(Type::Texts)) => {
                self.fault(self.place(expr), "a list cannot be chosen".to_owned());
                None
            }
            (Some(one), Some(other)) if one == other => Some(one),
            (Some(one), Some(other)) if one.is_numeric() && other.is_numeric() => Some(Type::Double),
            (Some(Type::Any), Some(_)) | (Some(_), Some(Type::Any)) => Some(Type::Any),
            (Some(one), Some(other)) => {
                let fault = format!(
                    "both choices have one type, and these are {} and {}",
                    one.name(),
                    other.name()
                );
                self.fault(self.place(expr), fault);
                None
            }
            _ => None,
        };
        Checked {
            kind,
            ..self.sound(expr, Node::Choice(Box::new([condition, yes.node, no.node])), Type::Any)
        }
    }

    /// Tells of a comparison that cannot be made, or could never hold.
    fn comparable(&mut self, operator: Comparison, left: &Checked, right: &Checked, at: Option<usize>) {
        let (Some(one), Some(other)) = (left.kind, right.kind) else {
            return;
        };
        let ordered = !matches!(operator, Comparison::Equal | Comparison::NotEqual);
        match (one, other) {
            (Type::Texts, _) | (_, Type::Texts) => {
                self.fault(at, "lists are not compared; ask with `in` or size()".to_owned());
            }
            (Type::Bool, Type::Bool) if ordered => {
                self.fault(at, "of two booleans none is less".to_owned());
            }
            (Type::Any, _) | (_, Type::Any) => {}
            _ if one == other || one.is_numeric() && other.is_numeric() => {
                // What could never be equal can still come before or after.
                if !ordered {
                    self.in_domain(left.domain, right);
                    self.in_domain(right.domain, left);
                }
            }
            _ => {
                let hint = match (one, other) {
                    (Type::Time, Type::Text) | (Type::Text, Type::Time) => {
                        "; a time is written timestamp(\"2026-12-24T00:00:00Z\")"
                    }
                    (Type::Span, _) | (_, Type::Span) => "; a duration is written duration(\"36h\")",
                    _ => "",
                };
                self.fault(
                    at,
                    format!("{} and {} cannot be compared{hint}", one.name(), other.name()),
                );
            }
        }
    }

    fn in_domain(&mut self, domain: Domain, other: &Checked) {
        if let Some(fault) = other.text().and_then(|text| domain.fault(text, self.schema)) {
            self.fault(other.at, fault);
        }
    }

    fn membership(&mut self, expr: &IdedExpr, one: &IdedExpr, many: &IdedExpr) -> Checked {
        let one = self.expression(one);
        let node = if let Expr::List(list) = &many.expr {
            let elements: Vec<_> = list.elements.iter().map(|element| self.expression(element)).collect();
            for element in &elements {
                self.comparable(Comparison::Equal, &one, element, element.at);
            }
            among(one, elements)
        } else {
            let many = self.expression(many);
            match (one.kind, many.kind) {
                (Some(Type::Text | Type::Any), Some(Type::Texts)) => {
                    self.in_domain(many.domain, &one);
                    self.in_group(one, many)
                }
                (Some(kind), Some(Type::Texts)) => {
                    self.fault(one.at, format!("the list holds texts, and this is {}", kind.name()));
                    one.node
                }
                (_, Some(kind)) => {
                    let hint = if kind == Type::Text {
                        "; a part of a text is found with contains()"
                    } else {
                        ""
                    };
                    self.fault(many.at, format!("`in` takes a list, and this is {}{hint}", kind.name()));
                    one.node
                }
                (_, None) => one.node,
            }
        };
        self.sound(expr, node, Type::Bool)
    }

    fn in_group(&self, one: Checked, many: Checked) -> Node {
        let group = one
            .text()
            .and_then(|text| self.schema.groups.iter().find(|group| group.as_str() == text));
        match group {
            Some(group) if many.domain == Domain::Group => Node::InGroup(group.clone()),
            _ => Node::InTexts(Box::new([one.node, many.node])),
        }
    }

    fn negation(&mut self, expr: &IdedExpr, operand: &IdedExpr) -> Checked {
        let operand = self.expression(operand);
        let kind = match operand.kind {
            Some(kind @ (Type::Int | Type::Double | Type::Span | Type::Any)) => Some(kind),
            Some(kind) => {
                self.fault(
                    self.place(expr),
                    format!("`-` takes a number, and this is {}", kind.name()),
                );
                None
            }
            None => None,
        };
        Checked {
            kind,
            ..self.sound(expr, Node::Negate(Box::new(operand.node)), Type::Any)
        }
    }

    fn computation(&mut self, expr: &IdedExpr, operator: Arithmetic, left: Checked, right: Checked) -> Checked {
        let kind = match (left.kind, right.kind) {
            (Some(one), Some(other)) => {
                let kind = result(operator, one, other);
                if kind.is_none() {
                    let hint = if (one, other) == (Type::Text, Type::Text) {
                        "; texts are not joined"
                    } else {
                        ""
                    };
                    let fault = format!(
                        "`{}` does not take {} and {}{hint}",
                        symbol(operator),
                        one.name(),
                        other.name()
                    );
                    self.fault(self.place(expr), fault);
                }
                kind
            }
            _ => None,
        };
        Checked {
            kind,
            ..self.sound(
                expr,
                Node::Arithmetic(operator, Box::new([left.node, right.node])),
                Type::Any,
            )
        }
    }
}

/// Returns a name's parts: `a.b["c"]` has three. What is no name has none.
fn path(expr: &IdedExpr) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut expr = expr;
    loop {
        match &expr.expr {
            Expr::Ident(name) => {
                // A leading dot is CEL's way to say that a name is not to be completed, which none is here.
                parts.push(name.trim_start_matches('.'));
                parts.reverse();
                return Some(parts);
            }
            Expr::Select(select) if !select.test => {
                parts.push(select.field.as_str());
                expr = &select.operand;
            }
            Expr::Call(CallExpr { func_name, args, .. }) if func_name == operators::INDEX => {
                let [operand, index] = args.as_slice() else {
                    return None;
                };
                let Expr::Literal(LiteralValue::String(name)) = &index.expr else {
                    return None;
                };
                parts.push(name.inner());
                expr = operand;
            }
            _ => return None,
        }
    }
}

fn among(one: Checked, elements: Vec<Checked>) -> Node {
    let texts: Option<Vec<Box<str>>> = elements.iter().map(|element| element.text().map(Box::from)).collect();
    match texts {
        Some(mut texts) => {
            texts.sort_unstable();
            Node::AmongTexts(Box::new(one.node), texts.into())
        }
        None => Node::Among(
            Box::new(one.node),
            elements.into_iter().map(|element| element.node).collect(),
        ),
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

const fn symbol(operator: Arithmetic) -> &'static str {
    match operator {
        Arithmetic::Add => "+",
        Arithmetic::Subtract => "-",
        Arithmetic::Multiply => "*",
        Arithmetic::Divide => "/",
        Arithmetic::Remainder => "%",
    }
}

/// Returns what an operation comes to, or `None` if there is none such.
fn result(operator: Arithmetic, left: Type, right: Type) -> Option<Type> {
    use Arithmetic::{Add, Remainder, Subtract};
    use Type::{Any, Double, Int, Span, Time};
    match (operator, left, right) {
        (_, Int, Int) => Some(Int),
        (Remainder, Double, _) | (Remainder, _, Double) => None,
        (_, Int | Double, Int | Double) => Some(Double),
        (Add | Subtract, Time, Span) | (Add, Span, Time) => Some(Time),
        (Add | Subtract, Span, Span) | (Subtract, Time, Time) => Some(Span),
        (Add | Subtract, Any, Any | Int | Double | Time | Span) | (Add | Subtract, Int | Double | Time | Span, Any) => {
            Some(Any)
        }
        (_, Any, Any | Int | Double) | (_, Int | Double, Any) => Some(Any),
        _ => None,
    }
}
