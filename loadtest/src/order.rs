//! Orders to post: one realistic document, with its number and recipient spliced in.

/// Makes the bodies of `POST /v1/orders`.
#[derive(Debug)]
pub(crate) struct Orders {
    run: String,
    placed_at: String,
    domains: Vec<String>,
}

impl Orders {
    /// Orders named after `run`, placed at `placed_at` (RFC 3339), for recipients spread over `domains`.
    pub(crate) fn new(run: &str, placed_at: String, domains: Vec<String>) -> Self {
        Self {
            run: run.to_owned(),
            placed_at,
            domains,
        }
    }

    /// Returns the JSON of order `number`; its recipient's local part is `b{number}`.
    pub(crate) fn body(&self, number: u64) -> String {
        let count = self.domains.len().max(1) as u64;
        let domain = usize::try_from(number % count)
            .ok()
            .and_then(|index| self.domains.get(index))
            .map_or("load.test", String::as_str);
        format!(
            r#"{{"order_id":"{run}-{number}","placed_at":"{placed_at}","status":"confirmed","customer":{{"email":"b{number}@{domain}","name":"Mario Rossi","locale":"it-IT","country":"IT","time_zone":"Europe/Rome"}},"consent":{{"marketing":{{"granted":true,"at":"{placed_at}","text":"v3","source":"checkout"}},"tracking":true,"sharing":false}},"total":{{"amount":5990,"currency":"EUR"}},"items":[{{"sku":"A1","title":"Scarpe da corsa","quantity":1,"unit_price":4990,"categories":["shoes"]}},{{"sku":"B2","title":"Calze tecniche","quantity":2,"unit_price":500,"categories":["shoes"]}}]}}"#,
            run = self.run,
            placed_at = self.placed_at,
        )
    }
}

/// Reads the order's number back from a recipient.
pub(crate) fn number_of(recipient: &str) -> Option<u64> {
    recipient.strip_prefix('b')?.split('@').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_and_recipients_tell_their_number() {
        let orders = Orders::new(
            "r1",
            "2026-11-21T20:15:00Z".to_owned(),
            vec!["a.test".to_owned(), "b.test".to_owned()],
        );
        let body: serde_json::Value = serde_json::from_str(&orders.body(7)).unwrap();
        assert_eq!(body["customer"]["email"], "b7@b.test");
        assert_eq!(number_of("b7@b.test"), Some(7));
        assert_eq!(number_of("x@b.test"), None);
    }
}
