//! nginx, the tracker's peer: `return 302` and `empty_gif`, its access log on, as many workers as there are cores.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use super::relay::{fill, said};
use crate::process::{Group, Program, free_port, installed, wait_for_listener};
use crate::slow_flush::Preload;

const SETTINGS: &str = include_str!("../../furniture/peers/nginx.conf");

/// A running nginx.
#[derive(Debug)]
pub(super) struct Nginx {
    pub(super) group: Group,
    pub(super) plain: SocketAddr,
    pub(super) tls: SocketAddr,
}

impl Nginx {
    /// Returns its version. Err: why it cannot take part.
    pub(super) fn version() -> Result<String, String> {
        let nginx = installed("nginx").ok_or("nginx is not installed")?;
        let line = said(&nginx, &["-v"], "nginx")?;
        Ok(line.replace("nginx version: nginx/", ""))
    }

    /// Starts it in a folder, with a file that holds certificate and key.
    pub(super) fn start(folder: &Path, certificate: &Path, preload: Option<&Preload>) -> anyhow::Result<Self> {
        let (plain, tls) = (free_port()?, free_port()?);
        let user = if rustix::process::geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let workers = std::thread::available_parallelism()?.to_string();
        let (plain_text, tls_text) = (plain.to_string(), tls.to_string());
        let (folder_text, certificate) = (folder.display().to_string(), certificate.display().to_string());
        let settings = folder.join("nginx.conf");
        let values = [
            ("folder", &*folder_text),
            ("user", user),
            ("workers", &workers),
            ("port", &plain_text),
            ("tls", &tls_text),
            ("certificate", &certificate),
        ];
        std::fs::write(&settings, fill(SETTINGS, &values))?;
        let mut group = Group::new("nginx");
        let program = Program::new(installed("nginx").context("nginx")?, folder)
            .args([Path::new("-p"), folder, Path::new("-c"), &settings])
            .envs(&preload.map(Preload::environment).unwrap_or_default());
        let mut process = group.spawn(&program)?;
        let plain = SocketAddr::from(([127, 0, 0, 1], plain));
        wait_for_listener(plain, &mut process)?;
        Ok(Self {
            group,
            plain,
            tls: SocketAddr::from(([127, 0, 0, 1], tls)),
        })
    }
}
