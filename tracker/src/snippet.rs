//! `/landing.js`: what an advertiser puts on its pages, so that landings can be told.
//!
//! The source is written to be read (`snippet/landing.js`); it is sent without its comments and indentation, which the
//! advertiser's visitors need not load.

use std::sync::LazyLock;

use crate::reply::{self, Reply};

const SOURCE: &str = include_str!("snippet/landing.js");

/// The script as it is sent, and its entity tag.
static SCRIPT: LazyLock<(String, String)> = LazyLock::new(|| {
    let lines = SOURCE
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"));
    let script = lines.collect::<Vec<_>>().join("\n") + "\n";
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, script.as_bytes());
    let hash = data_encoding::BASE64URL_NOPAD.encode(hash.as_ref().get(..12).unwrap_or_default());
    (script, format!("\"{hash}\""))
});

/// Returns the script, or that the browser's copy is still good.
pub(crate) fn reply(if_none_match: Option<&str>) -> Reply {
    let (script, etag) = &*SCRIPT;
    let mut known = if_none_match.unwrap_or_default().split(',').map(str::trim);
    let is_known = known.any(|known| known.trim_start_matches("W/") == etag);
    reply::script(script, etag, is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_looks_for_what_redirects_append() {
        let (script, _) = &*SCRIPT;
        assert!(script.len() < 2048, "{} bytes", script.len());
        assert!(!script.contains("//"), "a comment is left");
        assert!(script.contains(&format!("\"{}\"", crate::destination::PARAMETER)));
    }
}
