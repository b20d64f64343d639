//! Programs that take mail over SMTP and deliver it: what is common to starting them.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::process::{Group, Process, Program, free_port, wait_for_listener};
use crate::slow_flush::Preload;

/// Whether a relay signs what it delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signed {
    /// DKIM, RSA-2048, relaxed/relaxed.
    Rsa,
    /// Not at all.
    No,
}

/// One program, with or without DKIM.
pub(super) trait Relay {
    /// Returns its name in tables.
    fn name(&self) -> &'static str;

    /// Returns its version. Err: why it cannot take part, in a few words.
    fn version(&self, tools: &Path) -> Result<String, String>;

    /// Returns whether this row signs.
    fn signed(&self) -> Signed;

    /// Returns how many mails a run has: as many as it does in some seconds, after so many as it needs to be warm.
    fn mails(&self) -> Mails;

    /// Returns what a reader must know beside its figures.
    fn remark(&self) -> &'static str {
        ""
    }

    /// Starts it in an empty folder; it listens when this returns.
    fn start(&self, stage: &Stage<'_>) -> anyhow::Result<Running>;
}

/// How many mails a run of a relay has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mails {
    /// Before the measurement.
    pub(super) warm_up: u32,
    /// Measured.
    pub(super) measured: u32,
    /// How many a second it takes here, roughly: for the estimate of how long all takes.
    pub(super) a_second: f64,
    /// Sessions that it answers at once, if there is a limit.
    pub(super) sessions_max: usize,
}

/// What a relay is started with.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    /// Its scratch folder: empty, and open to every user.
    pub(super) folder: &'a Path,
    /// Holds what was unpacked.
    pub(super) tools: &'a Path,
    /// Where it delivers everything.
    pub(super) sink: SocketAddr,
    /// The key that it signs with.
    pub(super) pem: &'a str,
    /// Counts its flushes, and slows them.
    pub(super) preload: Option<&'a Preload>,
}

impl Stage<'_> {
    /// Returns a program in this stage's folder with its environment.
    pub(super) fn program(&self, path: impl Into<PathBuf>) -> Program {
        let environment = self.preload.map(Preload::environment).unwrap_or_default();
        Program::new(path, self.folder).envs(&environment)
    }

    /// Returns the path of `name` in the folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Makes folders in it.
    pub(super) fn folders(&self, names: &[&str]) -> anyhow::Result<()> {
        for name in names {
            fs::create_dir_all(self.path(name))?;
        }
        Ok(())
    }

    /// Writes a file in it, readable to all.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Writes settings: what stands between `@` is replaced.
    pub(super) fn settings(&self, name: &str, text: &str, values: &[(&str, &str)]) -> anyhow::Result<PathBuf> {
        let (folder, sink) = (self.folder.display().to_string(), self.sink.port().to_string());
        let ours = [("folder", folder.as_str()), ("sink", sink.as_str())];
        self.write(name, &fill(text, ours.iter().chain(values)))
    }

    /// Gives files to a user and their group, with a mode.
    pub(super) fn give(&self, names: &[&str], user: &str, mode: u32) -> anyhow::Result<()> {
        let (user, group) = user_ids(user).with_context(|| format!("no user {user}"))?;
        for name in names {
            chown(self.path(name), Some(user), Some(group))?;
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

/// A relay that listens.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) address: SocketAddr,
    /// Its processes, milters included.
    pub(super) group: Group,
}

impl Running {
    /// Starts `program` as the last of `group` and waits until it listens at `port`.
    pub(super) fn listening(mut group: Group, program: &Program, port: u16) -> anyhow::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut process = group.spawn(program)?;
        wait_for_listener(address, &mut process)?;
        Ok(Self { address, group })
    }
}

/// Returns a port for a relay, as a number and as a text.
pub(super) fn port() -> anyhow::Result<(u16, String)> {
    let port = free_port()?;
    Ok((port, port.to_string()))
}

/// Waits until a file is there.
pub(super) fn wait_for_file(path: &Path, process: &mut Process) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(10);
    while !path.exists() {
        if process.ended()?.is_some() || Instant::now() > end {
            bail!("{} never came:\n{}", path.display(), process.said());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Returns the line that a program says about itself and that holds `word`.
pub(super) fn said(path: &Path, arguments: &[&str], word: &str) -> Result<String, String> {
    let output = Command::new(path)
        .args(arguments)
        .output()
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.contains(word));
    Ok(line.unwrap_or_default().trim().to_owned())
}

/// Refuses who is not root.
pub(super) fn root() -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err("needs root: it changes to users of its own".to_owned())
    }
}

/// Refuses a user that does not exist.
pub(super) fn user(name: &str) -> Result<(), String> {
    user_ids(name)
        .map(drop)
        .ok_or_else(|| format!("there is no user {name}"))
}

fn user_ids(name: &str) -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let fields = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.first() == Some(&name))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Replaces `@name@` by its value.
pub(super) fn fill<'a>(text: &str, values: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> String {
    values.into_iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("@{name}@"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_filled_in() {
        let text = fill("port @port@; again @port@, @other@", &[("port", "25")]);
        assert_eq!(text, "port 25; again 25, @other@");
    }

    #[test]
    fn settings_of_peers_name_only_what_they_are_given() {
        for text in [
            include_str!("../../furniture/peers/postfix-main.cf"),
            include_str!("../../furniture/peers/exim.conf"),
            include_str!("../../furniture/peers/smtpd.conf"),
            include_str!("../../furniture/peers/nginx.conf"),
        ] {
            let known = [
                "folder",
                "port",
                "sink",
                "variables",
                "dkim",
                "user",
                "workers",
                "tls",
                "certificate",
            ];
            let values: Vec<_> = known.map(|name| (name, "1")).to_vec();
            assert!(!fill(text, &values).contains('@'), "{text}");
        }
    }
}
