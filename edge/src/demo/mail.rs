//! Looking at a received mail as its recipient's provider does: parsing it, and verifying its signatures.

use std::net::SocketAddr;

use anyhow::Context;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use mail_auth::common::crypto::Algorithm;
use mail_auth::{AuthenticatedMessage, DkimResult, MessageAuthenticator};

/// What became of one DKIM signature.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The `a=` tag.
    pub algorithm: &'static str,
    /// The `d=` tag.
    pub domain: String,
    /// The `s=` tag.
    pub selector: String,
    result: DkimResult,
}

impl Verified {
    /// Returns whether the signature is good.
    pub fn passed(&self) -> bool {
        self.result == DkimResult::Pass
    }

    /// Returns the verdict for people.
    pub fn verdict(&self) -> String {
        match &self.result {
            DkimResult::Pass => "pass".to_owned(),
            other => format!("{other:?}"),
        }
    }
}

/// Verifies every DKIM signature (RFC 6376, RFC 8463) with keys from the name server at `dns`.
pub async fn verify(message: &[u8], dns: SocketAddr) -> anyhow::Result<Vec<Verified>> {
    let mut server = NameServerConfig::udp_and_tcp(dns.ip());
    for connection in &mut server.connections {
        connection.port = dns.port();
    }
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let authenticator = MessageAuthenticator::new(config, ResolverOpts::default()).context("making a resolver")?;
    let parsed = AuthenticatedMessage::parse(message).context("the mail is not a mail")?;
    let outputs = authenticator.verify_dkim(&parsed).await;
    Ok(outputs
        .iter()
        .map(|output| {
            let signature = output.signature();
            Verified {
                algorithm: signature.map_or("unknown", |signature| algorithm(signature.a)),
                domain: signature.map_or_else(String::new, |signature| signature.d.clone()),
                selector: signature.map_or_else(String::new, |signature| signature.s.clone()),
                result: output.result().clone(),
            }
        })
        .collect())
}

/// Returns the name that the `a=` tag has.
const fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RsaSha1 => "rsa-sha1",
        Algorithm::RsaSha256 => "rsa-sha256",
        Algorithm::Ed25519Sha256 => "ed25519-sha256",
    }
}

/// Returns the header fields as they came, one entry a line.
pub fn headers(message: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(message);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    head.split("\r\n").map(str::to_owned).collect()
}

/// Returns the plain-text part, decoded, with LF line ends.
pub fn text(message: &[u8]) -> Option<String> {
    let parsed = mail_parser::MessageParser::default().parse(message)?;
    parsed.body_text(0).map(|text| text.replace("\r\n", "\n"))
}

/// Returns the HTML part, decoded.
pub fn html(message: &[u8]) -> Option<String> {
    let parsed = mail_parser::MessageParser::default().parse(message)?;
    parsed.body_html(0).map(std::borrow::Cow::into_owned)
}

/// Returns the path of the first offer's link, which leads through the tracker at `host`.
pub fn first_click(message: &[u8], host: &str) -> Option<String> {
    let text = text(message)?;
    let (_, rest) = text.split_once(&format!("https://{host}/c/"))?;
    let token = rest
        .split(|c: char| c.is_whitespace() || matches!(c, '>' | ')' | '"'))
        .next()?;
    Some(format!("/c/{token}"))
}

/// Returns a text as the HTML part shows it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
