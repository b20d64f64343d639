//! What mails hold to be followed: the links of their offers and their pixel.
//!
//! Each is a token that was made for that one mail, so a run over them follows distinct links of mails that exist.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::integrity;

/// The paths that a run may ask for; clones share them. Nothing here waits: an empty pool answers None, and one that was gone
/// through begins again, as people open a mail twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links(Arc<Pools>);

#[derive(Debug, Default)]
struct Pools {
    opens: Pool,
    clicks: Pool,
}

#[derive(Debug, Default)]
struct Pool {
    paths: RwLock<Vec<Arc<str>>>,
    next: AtomicUsize,
}

impl Pool {
    fn add(&self, path: &str) {
        self.paths
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(path.into());
    }

    fn next(&self) -> Option<Arc<str>> {
        let paths = self.paths.read().unwrap_or_else(PoisonError::into_inner);
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        paths.get(turn % paths.len().max(1)).cloned()
    }

    fn len(&self) -> usize {
        self.paths.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Links {
    /// Returns the path of a pixel: `/o/….gif`.
    pub(crate) fn next_open(&self) -> Option<Arc<str>> {
        self.0.opens.next()
    }

    /// Returns the path of an offer's link: `/c/…`.
    pub(crate) fn next_click(&self) -> Option<Arc<str>> {
        self.0.clicks.next()
    }

    /// Returns how many pixels and links there are.
    pub(crate) fn counts(&self) -> [usize; 2] {
        [self.0.opens.len(), self.0.clicks.len()]
    }

    /// Adds what a mail holds.
    pub(super) fn read(&self, mail: &[u8]) {
        for path in paths(mail) {
            match path.strip_prefix("/c/") {
                Some(_) => self.0.clicks.add(&path),
                None => self.0.opens.add(&path),
            }
        }
    }
}

/// Returns each path of a click or pixel once, wherever the mail's body holds it.
fn paths(mail: &[u8]) -> Vec<String> {
    // Not in the head: the base64 of a signature may look like a path.
    let (_, body) = integrity::split(mail);
    // Quoted-printable breaks lines with `=`, and writes `=` itself as `=3D`: neither stands in a token.
    let text = String::from_utf8_lossy(body).replace("=\r\n", "");
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

    const MAIL: &[u8] =
        b"DKIM-Signature: v=1; b=aaaa/c/AAAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n<a href=3D\"https://t.example/c/AAAAAAAAAAAAAAAAAAAA=\r\nBBBB\">x</a> https://t.example/c/AAAAAAAAAAAAAAAAAAAABBBB \
            <img src=3D\"https://t.example/o/CCCCCCCCCCCCCCCCCCCC_-.gif\"> /c/short";

    #[test]
    fn links_are_found_across_soft_breaks_and_not_in_signatures() {
        assert_eq!(
            paths(MAIL),
            ["/c/AAAAAAAAAAAAAAAAAAAABBBB", "/o/CCCCCCCCCCCCCCCCCCCC_-.gif"]
        );
    }

    #[test]
    fn a_pool_answers_at_once_and_begins_again() {
        let links = Links::default();
        assert_eq!((links.next_open(), links.next_click()), (None, None));
        links.read(MAIL);
        links.read(&String::from_utf8_lossy(MAIL).replace("CCCC", "DDDD").into_bytes());
        let opens: Vec<_> = (0..3).filter_map(|_| links.clone().next_open()).collect();
        assert_eq!(opens.len(), 3);
        assert_eq!(opens[0], opens[2]);
        assert_ne!(opens[0], opens[1]);
        assert_eq!(links.counts(), [2, 2]);
    }
}
