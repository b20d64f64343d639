//! `/u/{token}`: the way out, by a mail client's one-click POST (RFC 8058) or by the page's buttons.
//!
//! GET and HEAD never act: scanners follow every link of a mail. A POST needs no cookie and no context, is answered
//! without a redirect, and only once what it asks for is durable; asked again, it succeeds again.
//!
//! A link whose key is known to others still stops things, since the way out must never be shut, but takes nothing back.

use hyper::header::{ACCEPT_LANGUAGE, CONTENT_TYPE};
use types::event::{Event, Preference, PreferenceChanged, UnsubscribeScope, Unsubscribed, UnsubscribedBy};
use types::locale::Language;
use types::token::UnsubscribeToken;

use crate::Server;
use crate::metrics::{Fate, Tracked};
use crate::page::{self, Mistake, Page};
use crate::reply::{self, Reply};
use crate::request::{Endpoint, Request};

/// What a POST asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Unsubscribe(UnsubscribeScope, UnsubscribedBy),
    Change(Preference),
}

impl Server {
    /// Shows the page. Changes nothing.
    pub(crate) fn unsubscribe_page(&self, token: &str, request: &Request<'_>) -> Reply {
        match self.deps.tokens.verify_unsubscribe(request.host, token) {
            Ok(token) => self.page(&token, request, Page::Ask),
            Err(reason) => {
                self.bad_token(Endpoint::Unsubscribe, reason, request);
                self.safe_page(request.host)
            }
        }
    }

    /// Does what is asked, and answers once that is durable.
    pub(crate) async fn unsubscribe(&self, text: &str, request: &Request<'_>) -> Reply {
        let token = match self.deps.tokens.verify_unsubscribe(request.host, text) {
            Ok(token) => token,
            Err(reason) => {
                self.bad_token(Endpoint::Unsubscribe, reason, request);
                return reply::gone();
            }
        };
        let mistake = if self.deps.tokens.trusts(text) {
            Mistake::Offered
        } else {
            Mistake::NotOffered
        };
        let asked = asked(request.header(&CONTENT_TYPE).unwrap_or_default(), request.body)
            .filter(|asked| mistake == Mistake::Offered || *asked != Asked::Change(Preference::ResumeOffers));
        let Some(asked) = asked else {
            return reply::text(400, "Nothing was asked for.\n");
        };
        let (message, shop) = (token.message, token.shop);
        let (event, tracked) = match asked {
            Asked::Unsubscribe(scope, by) => {
                let unsubscribed = Unsubscribed {
                    message,
                    shop,
                    scope,
                    by,
                };
                (Event::Unsubscribed(unsubscribed), Tracked::Unsubscribed)
            }
            Asked::Change(preference) => {
                let changed = PreferenceChanged {
                    message,
                    shop,
                    preference,
                };
                (Event::PreferenceChanged(changed), Tracked::PreferenceChanged)
            }
        };
        if !self.submit(token.partition, event).await {
            self.metrics.event(tracked, Fate::Dropped);
            return reply::later(503, "30");
        }
        self.metrics.event(tracked, Fate::Recorded);
        match asked {
            Asked::Unsubscribe(_, UnsubscribedBy::OneClick) => reply::text(200, "Unsubscribed.\n"),
            Asked::Unsubscribe(scope, UnsubscribedBy::Page) => {
                self.page(&token, request, Page::Unsubscribed { scope, mistake })
            }
            Asked::Change(preference) => self.page(&token, request, Page::Changed(preference)),
        }
    }

    fn page(&self, token: &UnsubscribeToken, request: &Request<'_>, page: Page) -> Reply {
        let catalogue = self.deps.store.catalogue().load();
        let shop = catalogue.shop_by_number(token.shop);
        let fallback = shop.map_or(Language::En, |shop| shop.spec.language);
        let language = page::language(request.header(&ACCEPT_LANGUAGE).unwrap_or_default()).unwrap_or(fallback);
        // Numbers are given for ever, so a shop can only be missing while a start-up has not read the catalogue yet.
        let name = shop.map_or("", |shop| &*shop.spec.name);
        reply::page(page::html(page, language, name), page::policy())
    }
}

/// Reads what a POST asks for, in either encoding; `None` if nothing that we know.
fn asked(content_type: &str, body: &[u8]) -> Option<Asked> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let body = std::str::from_utf8(body).ok()?;
    if kind.eq_ignore_ascii_case("multipart/form-data") {
        multipart(content_type, body)
    } else {
        // Some clients send no content type, or their own: the body is short and says enough.
        body.trim()
            .split('&')
            .filter_map(|field| field.split_once('='))
            .find_map(|(name, value)| meaning(name, value))
    }
}

/// Returns what one form field asks for.
fn meaning(name: &str, value: &str) -> Option<Asked> {
    match (name, value.trim()) {
        ("List-Unsubscribe", value) if value.eq_ignore_ascii_case("One-Click") => {
            Some(Asked::Unsubscribe(UnsubscribeScope::Shop, UnsubscribedBy::OneClick))
        }
        ("choice", "shop") => Some(Asked::Unsubscribe(UnsubscribeScope::Shop, UnsubscribedBy::Page)),
        ("choice", "network") => Some(Asked::Unsubscribe(UnsubscribeScope::Network, UnsubscribedBy::Page)),
        ("choice", "tracking") => Some(Asked::Change(Preference::StopTracking)),
        ("choice", "resume") => Some(Asked::Change(Preference::ResumeOffers)),
        _ => None,
    }
}

/// Reads the fields of a `multipart/form-data` body (RFC 7578), as far as short text fields go.
fn multipart(content_type: &str, body: &str) -> Option<Asked> {
    let parameter = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("boundary")
            .then(|| value.trim().trim_matches('"'))
    });
    let boundary = parameter.filter(|boundary| (1..=70).contains(&boundary.len()))?;
    let delimiter = format!("--{boundary}");
    body.split(delimiter.as_str()).skip(1).find_map(|part| {
        let (head, value) = part.split_once("\r\n\r\n").or_else(|| part.split_once("\n\n"))?;
        let disposition = head.lines().find(|line| {
            line.split_once(':')
                .is_some_and(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
        })?;
        let name = disposition.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("name")
                .then(|| value.trim().trim_matches('"'))
        })?;
        meaning(name, value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, body: &str, expected: Option<Asked>) {
        assert_eq!(
            asked(content_type, body.as_bytes()),
            expected,
            "{content_type}: {body:?}"
        );
    }

    #[test]
    fn one_click_is_read_in_both_encodings() {
        let one_click = Some(Asked::Unsubscribe(UnsubscribeScope::Shop, UnsubscribedBy::OneClick));
        let form = "application/x-www-form-urlencoded";
        check(form, "List-Unsubscribe=One-Click", one_click);
        check(
            "Application/X-WWW-Form-Urlencoded; charset=utf-8",
            "List-Unsubscribe=One-Click\r\n",
            one_click,
        );
        check("", "List-Unsubscribe=One-Click", one_click);
        let part = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        check("multipart/form-data; boundary=x", part, one_click);
        check("multipart/form-data; charset=utf-8; boundary=\"x\"", part, one_click);
        check(
            "multipart/form-data; boundary=x",
            &part.replace("\r\n", "\n"),
            one_click,
        );
    }

    #[test]
    fn the_page_asks_for_its_buttons() {
        let form = "application/x-www-form-urlencoded";
        for (body, asked) in [
            (
                "choice=shop",
                Asked::Unsubscribe(UnsubscribeScope::Shop, UnsubscribedBy::Page),
            ),
            (
                "choice=network",
                Asked::Unsubscribe(UnsubscribeScope::Network, UnsubscribedBy::Page),
            ),
            ("choice=tracking", Asked::Change(Preference::StopTracking)),
            ("choice=resume", Asked::Change(Preference::ResumeOffers)),
        ] {
            check(form, body, Some(asked));
        }
    }

    #[test]
    fn anything_else_asks_for_nothing() {
        let form = "application/x-www-form-urlencoded";
        for body in [
            "",
            "List-Unsubscribe",
            "List-Unsubscribe=",
            "List-Unsubscribe=No",
            "choice=",
            "choice=all",
            "scope=shop",
            "a=b",
        ] {
            check(form, body, None);
        }
        let part = "--x\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n--x--\r\n";
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=y",
        ] {
            check(content_type, part, None);
        }
        check("multipart/form-data; boundary=x", "--x--", None);
    }
}
