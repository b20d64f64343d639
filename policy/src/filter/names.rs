//! The variables: which names there are, what they stand for, and which texts can stand beside them.

use types::locale::{Country, Language};
use types::text::Slug;

use super::node::{Type, Variable};
use super::schema::{Schema, Scope};

/// Which texts a variable can hold. A comparison with any other could only be a slip, since it is never true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Domain {
    /// All.
    Open,
    /// Groups of the shop.
    Group,
    /// Codes of the languages that mails are written in.
    Language,
    /// Country codes.
    Country,
    /// Names of hosts, in lower case.
    Host,
}

impl Domain {
    /// Says why this text cannot be compared with. The empty text always can: it asks whether there is a value.
    pub(super) fn fault(self, text: &str, schema: &Schema) -> Option<String> {
        let known = match self {
            Self::Open => true,
            Self::Group => Slug::try_from(text).is_ok_and(|group| schema.groups.contains(&group)),
            Self::Language => Language::ALL.iter().any(|language| language.code() == text),
            Self::Country => Country::try_from(text.to_owned()).is_ok(),
            Self::Host => !text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'@'),
        };
        if known || (text.is_empty() && self != Self::Group) {
            return None;
        }
        Some(match self {
            Self::Open | Self::Group => format!("there is no group `{text}`"),
            Self::Language => format!(
                "`{text}` is none of the languages {}",
                Language::ALL.map(Language::code).join(", ")
            ),
            Self::Country => format!("`{text}` is not a country code of two upper-case letters"),
            Self::Host => format!("`{text}` is not a domain in lower case, without @"),
        })
    }
}

/// A name that was found.
pub(super) struct Named {
    pub(super) variable: Variable,
    pub(super) kind: Type,
    pub(super) domain: Domain,
}

/// Finds what a dotted name stands for; says why there is none.
pub(super) fn resolve(path: &[&str], schema: &Schema, scope: Scope) -> Result<Named, String> {
    use Type::{Any, Bool, Int, Text, Texts, Time};
    use Variable as V;

    let (variable, kind, domain) = match *path {
        ["fields", id] => return field(id, schema),
        ["fields", _, ..] => return Err(nested_field(path)),
        ["groups"] => (V::Groups, Texts, Domain::Group),
        ["groups", id, ..] => return Err(format!("to ask for a group, write \"{id}\" in groups")),
        ["language"] => (V::Language, Text, Domain::Language),
        ["country"] => (V::Country, Text, Domain::Country),
        ["email_domain"] => (V::EmailDomain, Text, Domain::Host),
        ["now"] => (V::Now, Time, Domain::Open),
        ["consent", "email"] => (V::ConsentEmail, Bool, Domain::Open),
        ["consent", "sms"] => (V::ConsentSms, Bool, Domain::Open),
        ["orders", "count"] => (V::OrdersCount, Int, Domain::Open),
        ["orders", "total"] => (V::OrdersTotal, Int, Domain::Open),
        ["orders", "first_at"] => (V::OrdersFirstAt, Time, Domain::Open),
        ["orders", "last_at"] => (V::OrdersLastAt, Time, Domain::Open),
        ["activity", "last_open_at"] => (V::LastOpenAt, Time, Domain::Open),
        ["activity", "last_click_at"] => (V::LastClickAt, Time, Domain::Open),
        ["activity", "last_sent_at"] => (V::LastSentAt, Time, Domain::Open),
        ["order", ..] if scope != Scope::Order => {
            return Err("`order` is known only where an order is what starts".to_owned());
        }
        ["order", "total"] => (V::OrderTotal, Int, Domain::Open),
        ["order", "currency"] => (V::OrderCurrency, Text, Domain::Open),
        ["order", "items"] => (V::OrderItems, Int, Domain::Open),
        ["order", "skus"] => (V::OrderSkus, Texts, Domain::Open),
        ["event", ..] if scope != Scope::Event => {
            return Err("`event` is known only where an event is what starts".to_owned());
        }
        ["event", "name"] => (V::EventName, Text, Domain::Open),
        ["event", "key"] => (V::EventKey, Text, Domain::Open),
        ["event", "properties", id] => match Slug::try_from(id) {
            Ok(id) => (V::Property(id), Any, Domain::Open),
            Err(error) => return Err(format!("no property can be called `{id}`: {error}")),
        },
        [root] => return Err(bare(root)),
        _ => return Err(format!("there is no variable `{}`", path.join("."))),
    };
    Ok(Named { variable, kind, domain })
}

fn field(id: &str, schema: &Schema) -> Result<Named, String> {
    let found = Slug::try_from(id).ok().and_then(|id| schema.fields.get_key_value(&id));
    let (id, kind) = found.ok_or_else(|| format!("there is no field `{id}`"))?;
    Ok(Named {
        variable: Variable::Field(id.clone(), *kind),
        kind: (*kind).into(),
        domain: Domain::Open,
    })
}

fn nested_field(path: &[&str]) -> String {
    let id = path.iter().skip(1).copied().collect::<Vec<_>>().join(".");
    format!("there is no field `{id}`; an id with a dot is written fields[\"{id}\"]")
}

fn bare(root: &str) -> String {
    match root {
        "fields" => "`fields` is followed by a field's id, as in fields.city".to_owned(),
        "consent" => "`consent` is followed by a channel: consent.email, consent.sms".to_owned(),
        "orders" => "`orders` is followed by count, total, first_at or last_at".to_owned(),
        "activity" => "`activity` is followed by last_open_at, last_click_at or last_sent_at".to_owned(),
        "order" => "`order` is followed by total, currency, items or skus".to_owned(),
        "event" => "`event` is followed by name, key or properties".to_owned(),
        _ => format!("there is no variable `{root}`"),
    }
}
