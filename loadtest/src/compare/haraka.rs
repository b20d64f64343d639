//! Haraka: one Node process with its own outbound queue; a plugin of ours routes every domain to the sink.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::relay::{Mails, Relay, Running, Signed, Stage, port, said};
use super::signing_key::DOMAIN;
use crate::process::{Group, installed};

const PLUGIN: &str = include_str!("../../furniture/peers/haraka-plugin.js");

/// Haraka.
#[derive(Debug)]
pub(super) struct Haraka(pub(super) Signed);

fn modules(tools: &Path) -> PathBuf {
    tools.join("haraka/node_modules")
}

impl Relay for Haraka {
    fn name(&self) -> &'static str {
        match self.0 {
            Signed::Rsa => "Haraka + DKIM",
            Signed::No => "Haraka",
        }
    }

    fn version(&self, tools: &Path) -> Result<String, String> {
        let version = |package: &str| -> Option<String> {
            let text = fs::read_to_string(modules(tools).join(package).join("package.json")).ok()?;
            let package: serde_json::Value = serde_json::from_str(&text).ok()?;
            Some(package.get("version")?.as_str()?.to_owned())
        };
        let haraka = version("Haraka").ok_or("Haraka is not installed")?;
        let node = installed("node").ok_or("Node is not installed")?;
        let node = said(&node, &["--version"], "v")?;
        let node = node.trim_start_matches('v');
        match self.0 {
            Signed::No => Ok(format!("{haraka}, Node {node}")),
            Signed::Rsa => {
                let plugin = version("haraka-plugin-dkim").ok_or("haraka-plugin-dkim is not installed")?;
                Ok(format!("{haraka}, haraka-plugin-dkim {plugin}, Node {node}"))
            }
        }
    }

    fn signed(&self) -> Signed {
        self.0
    }

    fn mails(&self) -> Mails {
        // Node compiles what runs often: with few mails it costs more than twice as much for each.
        Mails {
            warm_up: 1500,
            measured: 3000,
            a_second: match self.0 {
                Signed::Rsa => 180.0,
                Signed::No => 400.0,
            },
            sessions_max: usize::MAX,
        }
    }

    fn start(&self, stage: &Stage<'_>) -> anyhow::Result<Running> {
        let (port, _) = port()?;
        let modules = fs::canonicalize(modules(stage.tools))?;
        stage.folders(&["queue"])?;
        symlink(&modules, stage.path("node_modules"))?;
        copy_folder(&modules.join("Haraka/config"), &stage.path("config"))?;
        for (name, text) in [
            ("config/smtp.ini", format!("listen=127.0.0.1:{port}\nnodes=0\n")),
            (
                "config/outbound.ini",
                "concurrency_max=100\nenable_tls=false\ninet_prefer=v4\nlocal_mx_ok=true\n".to_owned(),
            ),
            ("config/me", "mx.relay.test\n".to_owned()),
            ("config/log.ini", "[main]\nlevel=notice\n".to_owned()),
            ("config/host_list", "relay.test\n".to_owned()),
        ] {
            stage.write(name, &text)?;
        }
        stage.settings("plugins/loadtest.js", PLUGIN, &[])?;
        let mut plugins = "loadtest\n".to_owned();
        if self.0 == Signed::Rsa {
            plugins.push_str("dkim\n");
            let signing = format!(
                "[sign]\nenabled=true\nselector=s1\ndomain={DOMAIN}\n[canon]\nheader=relaxed\nbody=relaxed\n[verify]\nenabled=false\n"
            );
            stage.write("config/dkim.ini", &signing)?;
            stage.write(&format!("config/dkim/{DOMAIN}/private"), stage.pem)?;
            stage.write(&format!("config/dkim/{DOMAIN}/selector"), "s1\n")?;
            stage.write("config/dkim.private.key", stage.pem)?;
        }
        stage.write("config/plugins", &plugins)?;
        let node = installed("node").context("node")?;
        let program = stage
            .program(node)
            .args([
                modules.join("Haraka/bin/haraka").as_path(),
                Path::new("-c"),
                stage.folder,
            ])
            .envs(&[("NODE_ENV".to_owned(), "production".to_owned())]);
        Running::listening(Group::new("haraka"), &program, port)
    }
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
