//! A disk whose flush takes longer, and how often a program flushes: a library that is preloaded into servers started here.
//!
//! It is compiled when it is needed, so only runs that want it need a C compiler. It counts into a file, which proves that it was
//! loaded and that the delay bit; a slow run that shows no delay is none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::sample::float;

const SOURCE: &str = include_str!("slow_flush/slow_sync.c");

/// The compiled library.
#[derive(Clone, Debug)]
pub(crate) struct SlowFlush {
    library: PathBuf,
}

impl SlowFlush {
    /// Compiles it into `folder`, which every user must be able to read. Err: there is no C compiler (`gcc` or `cc`).
    pub(crate) fn compile(folder: &Path) -> anyhow::Result<Self> {
        let compiler = crate::process::installed("gcc").or_else(|| crate::process::installed("cc"));
        let compiler = compiler.context("a slow flush needs a C compiler: install gcc")?;
        let (source, library) = (folder.join("slow_sync.c"), folder.join("slow_sync.so"));
        fs::write(&source, SOURCE)?;
        let output = Command::new(compiler)
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output()?;
        if !output.status.success() {
            bail!(
                "slow_sync.c does not compile: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(Self { library })
    }

    /// Returns a delay for the processes of one server, counted in `folder`.
    pub(crate) fn preload(&self, folder: &Path, delay: Duration) -> anyhow::Result<Preload> {
        let counts = folder.join("flushes");
        fs::write(&counts, [0; 24])?;
        // Whatever user the server becomes, it counts.
        fs::set_permissions(&counts, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        Ok(Preload {
            library: self.library.clone(),
            counts,
            delay,
        })
    }
}

/// What one server is started with.
#[derive(Clone, Debug)]
pub(crate) struct Preload {
    library: PathBuf,
    counts: PathBuf,
    delay: Duration,
}

impl Preload {
    /// The names of its variables, for servers that clear their environment.
    pub(crate) const VARIABLES: [&str; 3] = ["LD_PRELOAD", "SLOW_SYNC_US", "SLOW_SYNC_COUNTS"];

    /// Returns the variables to start the server with.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let values = [
            self.library.display().to_string(),
            self.delay.as_micros().to_string(),
            self.counts.display().to_string(),
        ];
        Self::VARIABLES.map(str::to_owned).into_iter().zip(values).collect()
    }

    /// Returns what has been counted so far.
    pub(crate) fn flushes(&self) -> anyhow::Result<Flushes> {
        let bytes = fs::read(&self.counts)?;
        let word = |index: usize| -> anyhow::Result<u64> {
            let word = bytes.get(index * 8..index * 8 + 8).context("the counts are cut")?;
            Ok(u64::from_ne_bytes(word.try_into()?))
        };
        Ok(Flushes {
            processes: word(0)?,
            count: word(1)?,
            delayed: Duration::from_micros(word(2)?),
        })
    }
}

/// What servers did under it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flushes {
    /// Processes that loaded it.
    pub(crate) processes: u64,
    /// Flushes that returned.
    pub(crate) count: u64,
    /// How much longer they took, all together.
    pub(crate) delayed: Duration,
}

impl Flushes {
    /// Returns what was counted since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            processes: self.processes - earlier.processes,
            count: self.count - earlier.count,
            delayed: self.delayed.saturating_sub(earlier.delayed),
        }
    }

    /// Returns by how much one flush was slower, on average. None: there was none.
    pub(crate) fn delay_each(self) -> Option<Duration> {
        (self.count > 0).then(|| self.delayed.div_f64(float(self.count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Group, Program};

    fn counted(delay: Duration, command: &str) -> Flushes {
        let folder = tempfile::tempdir().unwrap();
        let preload = SlowFlush::compile(folder.path())
            .unwrap()
            .preload(folder.path(), delay)
            .unwrap();
        let mut group = Group::new("flush");
        let program = Program::new("/bin/sh", folder.path())
            .args(["-c", command])
            .envs(&preload.environment());
        let mut process = group.spawn(&program).unwrap();
        assert!(
            process.wait(Duration::from_secs(30)).unwrap().success(),
            "{}",
            process.said()
        );
        preload.flushes().unwrap()
    }

    #[test]
    fn a_flush_is_counted_and_takes_longer_in_every_process() {
        let flushes = counted(
            Duration::from_millis(20),
            "dd if=/dev/zero of=a count=1 conv=fsync; dd if=/dev/zero of=b count=1 conv=fdatasync",
        );
        assert_eq!(flushes.count, 2);
        assert!(flushes.processes >= 2, "{flushes:?}");
        assert!(
            flushes.delay_each().unwrap() >= Duration::from_millis(20),
            "{flushes:?}"
        );
    }

    #[test]
    fn counting_alone_delays_nothing_and_a_program_without_flushes_shows_none() {
        assert_eq!(
            counted(
                Duration::ZERO,
                "sync a 2>/dev/null; dd if=/dev/zero of=a count=1 conv=fsync"
            )
            .delayed,
            Duration::ZERO
        );
        let none = counted(Duration::from_millis(1), "dd if=/dev/zero of=a count=1");
        assert_eq!((none.count, none.delay_each()), (0, None));
        assert!(none.processes > 0);
    }
}
