//! Postfix: an instance of its own in the scratch folder, tuned, alone or with `OpenDKIM` as its milter.

use std::path::Path;

use super::relay::{Mails, Relay, Running, Signed, Stage, port, root, said, wait_for_file};
use crate::process::{Group, installed};
use crate::slow_flush::Preload;

const MAIN: &str = include_str!("../../furniture/peers/postfix-main.cf");
const MILTER: &str = include_str!("../../furniture/peers/postfix-milter.cf");
const MASTER: &str = include_str!("../../furniture/peers/postfix-master.cf");
const OPENDKIM: &str = include_str!("../../furniture/peers/opendkim.conf");

/// Postfix.
#[derive(Debug)]
pub(super) struct Postfix(pub(super) Signed);

impl Relay for Postfix {
    fn name(&self) -> &'static str {
        match self.0 {
            Signed::Rsa => "Postfix + OpenDKIM",
            Signed::No => "Postfix",
        }
    }

    fn version(&self, _tools: &Path) -> Result<String, String> {
        root()?;
        installed("postfix").ok_or("Postfix is not installed")?;
        let postconf = installed("postconf").ok_or("postconf is not installed")?;
        let version = said(&postconf, &["-dh", "mail_version"], ".")?;
        match self.0 {
            Signed::No => Ok(version),
            Signed::Rsa => {
                let milter = installed("opendkim").ok_or("OpenDKIM is not installed")?;
                let filter = said(&milter, &["-V"], "Filter")?;
                Ok(format!(
                    "{version}, {}",
                    filter.replace("opendkim: OpenDKIM Filter v", "OpenDKIM ")
                ))
            }
        }
    }

    fn signed(&self) -> Signed {
        self.0
    }

    fn mails(&self) -> Mails {
        Mails {
            warm_up: 400,
            measured: 3000,
            a_second: match self.0 {
                Signed::Rsa => 400.0,
                Signed::No => 700.0,
            },
            sessions_max: usize::MAX,
        }
    }

    fn start(&self, stage: &Stage<'_>) -> anyhow::Result<Running> {
        let (port, text) = port()?;
        let mut group = Group::new("postfix");
        stage.folders(&["etc", "queue", "data", "log", "milter"])?;
        stage.give(&["data"], "postfix", 0o700)?;
        let variables = stage.preload.map(|_| Preload::VARIABLES.join(" ")).unwrap_or_default();
        let mut main = MAIN.to_owned();
        if self.0 == Signed::Rsa {
            main.push_str(MILTER);
            stage.write("dkim.pem", stage.pem)?;
            stage.give(&["dkim.pem"], "root", 0o600)?;
            let settings = stage.settings("opendkim.conf", OPENDKIM, &[])?;
            let opendkim = installed("opendkim").unwrap_or_default();
            let mut milter = group.spawn(&stage.program(opendkim).args(["-f", "-x"]).args([settings]))?;
            wait_for_file(&stage.path("milter/dkim.sock"), &mut milter)?;
        }
        stage.settings("etc/main.cf", &main, &[("variables", &variables)])?;
        stage.settings("etc/master.cf", MASTER, &[("port", &text)])?;
        stage.write("etc/dynamicmaps.cf", "")?;
        let program = stage.program(installed("postfix").unwrap_or_default());
        let program = program.args(["-c"]).args([stage.path("etc")]).args(["start-fg"]);
        Running::listening(group, &program, port)
    }
}
