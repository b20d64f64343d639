//! `OpenSMTPD`, unpacked. Its paths are compiled in, so it runs in a mount namespace of its own, where spool, runtime folder and the
//! folder of its unprivileged processes are scratch folders.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::relay::{Mails, Relay, Running, Signed, Stage, port, root, said, user};
use crate::process::{Group, installed};

const SETTINGS: &str = include_str!("../../furniture/peers/smtpd.conf");
/// `$1` is the scratch folder, the rest is the command.
const NAMESPACE: &str = r#"set -e
mount --make-rprivate /
mount --bind "$1/varspool" /var/spool
mount --bind "$1/varlib" /var/lib
mount --bind "$1/run" /run
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift
exec "$@""#;

/// `OpenSMTPD`.
#[derive(Debug)]
pub(super) struct OpenSmtpd;

fn unpacked(tools: &Path) -> PathBuf {
    tools.join("opensmtpd/usr/sbin/smtpd")
}

impl Relay for OpenSmtpd {
    fn name(&self) -> &'static str {
        "OpenSMTPD"
    }

    fn version(&self, tools: &Path) -> Result<String, String> {
        root()?;
        if !unpacked(tools).is_file() {
            return Err("OpenSMTPD is not unpacked".to_owned());
        }
        user("opensmtpd")?;
        user("opensmtpq")?;
        installed("unshare").ok_or("unshare is not installed")?;
        let line = said(&unpacked(tools), &["-h"], "version")?;
        Ok(line.replace("version: OpenSMTPD ", ""))
    }

    fn signed(&self) -> Signed {
        Signed::No
    }

    fn mails(&self) -> Mails {
        Mails {
            warm_up: 10,
            measured: 100,
            a_second: 15.0,
            // With 16 it now and then lets some wait for their greeting until another ends.
            sessions_max: 4,
        }
    }

    fn remark(&self) -> &'static str {
        "keeps to one session for its one smart host, so its rate says nothing of what it could do; does not sign"
    }

    fn start(&self, stage: &Stage<'_>) -> anyhow::Result<Running> {
        let (port, text) = port()?;
        stage.folders(&["varspool/smtpd", "varlib/opensmtpd/empty", "run"])?;
        fs::set_permissions(stage.path("varspool/smtpd"), fs::Permissions::from_mode(0o711))?;
        // Its scratch folder may lie below /var/spool or /run only by accident; names are looked up in the hosts file alone.
        stage.write("resolv.conf", "lookup file\nnameserver 127.0.0.1\n")?;
        let program = stage.path("smtpd");
        fs::copy(unpacked(stage.tools), &program)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let settings = stage.settings("smtpd.conf", SETTINGS, &[("port", &text)])?;
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o600))?;
        let unshare = stage
            .program(installed("unshare").unwrap_or_default())
            .args(["-m", "sh", "-c", NAMESPACE, "namespace"])
            .args([stage.folder, &program])
            .args(["-d", "-f"])
            .args([settings]);
        Running::listening(Group::new("opensmtpd"), &unshare, port)
    }
}
