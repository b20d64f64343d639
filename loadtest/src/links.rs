//! What mails hold to be followed: the links of their offers and their pixel.
//!
//! Each is a token that was made for that one mail, so a run over them follows distinct links of mails that exist.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use crate::sink;

#[derive(Clone, Debug, Args)]
pub(crate) struct Arguments {
    /// Where our sink listens; the service must route all mail there.
    #[arg(long)]
    sink: String,
    /// How many mails to wait for.
    #[arg(long, default_value_t = 10_000)]
    mails: u64,
    /// Where the paths are written, one a line.
    #[arg(long)]
    paths: PathBuf,
    /// The whole run may take no longer.
    #[arg(long, default_value_t = 900)]
    seconds_max: u64,
}

/// Takes mails and writes the paths of their links and pixels to a file.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<serde_json::Value> {
    let (arrived, mut arrivals) = mpsc::channel(4096);
    let _sink = sink::start(&arguments.sink, arrived).await?;
    let mut lines = String::new();
    let mut count = 0;
    let all = async {
        for _ in 0..arguments.mails {
            let mail = arrivals.recv().await.context("the sink ended")?;
            for path in paths(&mail.bytes) {
                writeln!(lines, "{path}")?;
                count += 1;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(Duration::from_secs(arguments.seconds_max), all)
        .await
        .context("the mails did not come in time")??;
    std::fs::write(&arguments.paths, lines).with_context(|| format!("writing {}", arguments.paths.display()))?;
    Ok(json!({ "mails": arguments.mails, "paths": count }))
}

/// Returns each path of a click or pixel once, wherever the mail's body holds it.
fn paths(mail: &[u8]) -> Vec<String> {
    // Not in the head: the base64 of a signature may look like a path.
    let text = String::from_utf8_lossy(mail);
    let (_head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    // Quoted-printable breaks lines with `=`, and writes `=` itself as `=3D`: neither stands in a token.
    let text = body.replace("=\r\n", "");
    let mut paths = Vec::new();
    for (kind, end) in [("/c/", ""), ("/o/", ".gif")] {
        for rest in text.split(kind).skip(1) {
            let len = rest
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
                .unwrap_or(rest.len());
            let token = rest.get(..len).unwrap_or_default();
            let path = format!("{kind}{token}{end}");
            if token.len() >= 20 && !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_across_soft_breaks_and_not_in_signatures() {
        let mail = b"DKIM-Signature: v=1; b=aaaa/c/AAAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n<a href=3D\"https://t.example/c/AAAAAAAAAAAAAAAAAAAA=\r\nBBBB\">x</a> https://t.example/c/AAAAAAAAAAAAAAAAAAAABBBB \
            <img src=3D\"https://t.example/o/CCCCCCCCCCCCCCCCCCCC_-.gif\"> /c/short";
        assert_eq!(
            paths(mail),
            ["/c/AAAAAAAAAAAAAAAAAAAABBBB", "/o/CCCCCCCCCCCCCCCCCCCC_-.gif"]
        );
    }
}
