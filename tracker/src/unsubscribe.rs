//! `/u/{token}`: the way out, by a mail client's one-click POST (RFC 8058) or by the page's buttons.
//!
//! GET and HEAD never act: scanners follow every link of a mail. A POST needs no cookie and no context, is answered
//! without a redirect, and only once the unsubscription is durable; asked again, it succeeds again.

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use types::event::{Event, UnsubscribeScope, Unsubscribed, UnsubscribedBy};
use types::locale::Language;
use types::token::UnsubscribeToken;

use crate::Tracker;
use crate::metrics::Fate;
use crate::page::{self, Page};
use crate::reply::{self, Reply};
use crate::request::Endpoint;

/// The largest body that is read: a one-click POST has 26 bytes, as multipart some 150.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// What a POST asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    scope: UnsubscribeScope,
    by: UnsubscribedBy,
}

impl Tracker {
    /// Shows the page. Changes nothing.
    pub(crate) fn unsubscribe_page(&self, host: &str, token: &str, headers: &HeaderMap) -> Reply {
        match self.deps.tokens.verify_unsubscribe(host, token) {
            Ok(token) => self.page(&token, headers, Page::Ask),
            Err(reason) => {
                self.metrics.bad_token(Endpoint::Unsubscribe, reason);
                self.safe_page(host)
            }
        }
    }

    /// Unsubscribes, and answers once that is durable.
    pub(crate) async fn unsubscribe(&self, host: &str, token: &str, headers: &HeaderMap, body: Incoming) -> Reply {
        let token = match self.deps.tokens.verify_unsubscribe(host, token) {
            Ok(token) => token,
            Err(reason) => {
                self.metrics.bad_token(Endpoint::Unsubscribe, reason);
                return reply::gone();
            }
        };
        let body = match self.body(body).await {
            Ok(body) => body,
            Err(refusal) => return *refusal,
        };
        let Some(asked) = asked(headers, &body) else {
            return reply::text(StatusCode::BAD_REQUEST, "Nothing was asked for.\n");
        };
        let event = Event::Unsubscribed(Unsubscribed {
            message: token.message,
            shop: token.shop,
            scope: asked.scope,
            by: asked.by,
        });
        let submitted = self.deps.store.intake().submit(token.partition, event);
        let Ok(Ok(_receipt)) = tokio::time::timeout(self.settings.submit_timeout, submitted).await else {
            self.metrics.event("unsubscribed", Fate::Dropped);
            return reply::later(StatusCode::SERVICE_UNAVAILABLE, "30");
        };
        self.metrics.event("unsubscribed", Fate::Recorded);
        match asked.by {
            UnsubscribedBy::OneClick => reply::text(StatusCode::OK, "Unsubscribed.\n"),
            UnsubscribedBy::Page => self.page(&token, headers, Page::Done(asked.scope)),
        }
    }

    async fn body(&self, body: Incoming) -> Result<Bytes, Box<Reply>> {
        let read = Limited::new(body, BODY_BYTES_MAX).collect();
        match tokio::time::timeout(self.settings.body_timeout, read).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) => Err(Box::new(reply::text(
                StatusCode::PAYLOAD_TOO_LARGE,
                "Too much was sent.\n",
            ))),
            Err(_) => Err(Box::new(reply::text(StatusCode::REQUEST_TIMEOUT, "Too slow.\n"))),
        }
    }

    fn page(&self, token: &UnsubscribeToken, headers: &HeaderMap, page: Page) -> Reply {
        let catalogue = self.deps.store.catalogue().load();
        let shop = catalogue.shop_by_number(token.shop);
        let fallback = shop.map_or(Language::En, |shop| shop.spec.language);
        let language = page::language(headers).unwrap_or(fallback);
        // Numbers are given for ever, so a shop can only be missing while a start-up has not read the catalogue yet.
        let name = shop.map_or("", |shop| &*shop.spec.name);
        reply::page(page::html(page, language, name), page::policy())
    }
}

/// Reads what a POST asks for, in either encoding; `None` if nothing that we know.
fn asked(headers: &HeaderMap, body: &[u8]) -> Option<Asked> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default();
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
    let asked = |scope, by| Some(Asked { scope, by });
    match (name, value.trim()) {
        ("List-Unsubscribe", value) if value.eq_ignore_ascii_case("One-Click") => {
            asked(UnsubscribeScope::Shop, UnsubscribedBy::OneClick)
        }
        ("scope", "shop") => asked(UnsubscribeScope::Shop, UnsubscribedBy::Page),
        ("scope", "network") => asked(UnsubscribeScope::Network, UnsubscribedBy::Page),
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

    fn check(content_type: &str, body: &str, expected: Option<(UnsubscribeScope, UnsubscribedBy)>) {
        let mut headers = HeaderMap::new();
        if !content_type.is_empty() {
            headers.insert(CONTENT_TYPE, content_type.parse().expect("a header value"));
        }
        let asked = asked(&headers, body.as_bytes()).map(|asked| (asked.scope, asked.by));
        assert_eq!(asked, expected, "{content_type}: {body:?}");
    }

    #[test]
    fn one_click_is_read_in_both_encodings() {
        let one_click = Some((UnsubscribeScope::Shop, UnsubscribedBy::OneClick));
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
    fn the_page_asks_for_a_scope() {
        let form = "application/x-www-form-urlencoded";
        check(form, "scope=shop", Some((UnsubscribeScope::Shop, UnsubscribedBy::Page)));
        check(
            form,
            "scope=network",
            Some((UnsubscribeScope::Network, UnsubscribedBy::Page)),
        );
    }

    #[test]
    fn anything_else_asks_for_nothing() {
        let form = "application/x-www-form-urlencoded";
        for body in [
            "",
            "List-Unsubscribe",
            "List-Unsubscribe=",
            "List-Unsubscribe=No",
            "scope=",
            "scope=all",
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
