//! Exim 4, unpacked: a daemon that delivers at once, a process for each message, to one smart host.
//!
//! As root it would become its user in a program that is setuid root, and such a program drops what is preloaded. So it runs as that
//! user from the start, from a copy without the bit, in every run: it delivers over SMTP alone and needs no privilege for that.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::relay::{Mails, Relay, Running, Signed, Stage, fill, port, root, said, user};
use crate::process::{Group, installed};
use crate::slow_flush::Preload;

const SETTINGS: &str = include_str!("../../furniture/peers/exim.conf");
const SIGNING: &str = include_str!("../../furniture/peers/exim-dkim.conf");
/// The user that its package is built for.
const USER: &str = "Debian-exim";

/// Exim.
#[derive(Debug)]
pub(super) struct Exim(pub(super) Signed);

fn unpacked(tools: &Path) -> PathBuf {
    tools.join("exim/usr/sbin/exim4")
}

impl Relay for Exim {
    fn name(&self) -> &'static str {
        match self.0 {
            Signed::Rsa => "Exim + DKIM",
            Signed::No => "Exim",
        }
    }

    fn version(&self, tools: &Path) -> Result<String, String> {
        root()?;
        if !unpacked(tools).is_file() {
            return Err("Exim is not unpacked".to_owned());
        }
        user(USER)?;
        installed("setpriv").ok_or("setpriv is not installed")?;
        let line = said(&unpacked(tools), &["-C", "/dev/null", "-bV"], "Exim version")?;
        Ok(line.split(' ').nth(2).unwrap_or_default().to_owned())
    }

    fn signed(&self) -> Signed {
        self.0
    }

    fn mails(&self) -> Mails {
        Mails {
            warm_up: 100,
            measured: 1000,
            a_second: match self.0 {
                Signed::Rsa => 250.0,
                Signed::No => 350.0,
            },
            sessions_max: usize::MAX,
        }
    }

    fn remark(&self) -> &'static str {
        "runs as its own user from the start"
    }

    fn start(&self, stage: &Stage<'_>) -> anyhow::Result<Running> {
        let (port, text) = port()?;
        let program = stage.path("exim4");
        fs::copy(unpacked(stage.tools), &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        stage.folders(&["spool", "log"])?;
        stage.give(&["spool", "log"], USER, 0o750)?;
        let folder = stage.folder.display().to_string();
        let signing = match self.0 {
            Signed::No => String::new(),
            Signed::Rsa => {
                stage.write("dkim.pem", stage.pem)?;
                stage.give(&["dkim.pem"], USER, 0o400)?;
                fill(SIGNING, &[("folder", &*folder)])
            }
        };
        let variables = stage.preload.map(|_| Preload::VARIABLES.join(":")).unwrap_or_default();
        let values = [("port", &*text), ("variables", &variables), ("dkim", &signing)];
        let settings = stage.settings("exim.conf", SETTINGS, &values)?;
        // Its log and its pid file lie in folders of its user.
        let pid = format!("{folder}/spool/exim.pid");
        let become_user = [
            format!("--reuid={USER}"),
            format!("--regid={USER}"),
            "--clear-groups".to_owned(),
        ];
        let setpriv = stage
            .program(installed("setpriv").unwrap_or_default())
            .args(become_user)
            .args([&program])
            .args(["-C"])
            .args([settings])
            .args(["-bdf", "-q1m", "-oP", &pid]);
        Running::listening(Group::new("exim"), &setpriv, port)
    }
}
