//! Processes that are started here and measured: each server in an accounting group of its own, so that what it and its
//! children cost is counted, and nothing else.
//!
//! CPU comes from the kernel's control groups (version 1 `cpuacct`, or version 2), which also count children that have ended.
//! Where no group can be made, which takes root, `/proc` is summed instead: exact for servers that keep their processes, and too
//! low for those that end many ([`Accounting`] says which it was). Only processes started here are ever signalled, by their id.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to end after SIGTERM before it is killed.
const TERM_GRACE: Duration = Duration::from_secs(30);

/// Where control groups may be, and the file that tells a group's CPU there.
const GROUPS: [(&str, &str); 4] = [
    ("/sys/fs/cgroup/cpuacct", "cpuacct.usage_user"),
    ("/sys/fs/cgroup/cpu,cpuacct", "cpuacct.usage_user"),
    ("/sys/fs/cgroup", "cpu.stat"),
    ("/sys/fs/cgroup/unified", "cpu.stat"),
];

/// How a group's CPU is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accounting {
    /// By the kernel, children that ended included.
    ControlGroup,
    /// As the sum over `/proc`.
    Proc,
}

impl Accounting {
    /// Returns its name in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ControlGroup => "control group",
            Self::Proc => "/proc",
        }
    }
}

/// The CPU time of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// In user mode.
    pub(crate) user: Duration,
    /// In the kernel.
    pub(crate) system: Duration,
}

impl Cpu {
    /// Divides an exact sum of nanoseconds as samples of it were divided.
    ///
    /// Version 1 counts the sum exactly, but user and system time by who runs when the clock ticks: a server that works for less than a
    /// tick at a time would seem to do next to nothing.
    fn apportioned(nanos: u64, user: u64, system: u64) -> Self {
        let sum = Duration::from_nanos(nanos);
        let share = match user + system {
            0 => 1.0,
            sampled => crate::sample::float(user) / crate::sample::float(sampled),
        };
        let user = sum.mul_f64(share).min(sum);
        Self {
            user,
            system: sum.saturating_sub(user),
        }
    }

    /// Returns user and system seconds together.
    pub(crate) fn seconds(self) -> f64 {
        (self.user + self.system).as_secs_f64()
    }
}

/// Processes whose CPU and memory are counted together. Dropped, it ends those that are left.
#[derive(Debug)]
pub(crate) struct Group {
    folder: Option<(PathBuf, &'static str)>,
    roots: Vec<u32>,
}

impl Group {
    /// Makes an empty group.
    pub(crate) fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "loadtest-{}-{name}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let folder = GROUPS.into_iter().find_map(|(base, probe)| {
            let folder = Path::new(base).join(&name);
            fs::create_dir(&folder).ok()?;
            if folder.join(probe).exists() {
                return Some((folder, probe));
            }
            let _ = fs::remove_dir(&folder);
            None
        });
        Self {
            folder,
            roots: Vec::new(),
        }
    }

    /// Returns how its CPU is counted.
    pub(crate) fn accounting(&self) -> Accounting {
        match self.folder {
            Some(_) => Accounting::ControlGroup,
            None => Accounting::Proc,
        }
    }

    /// Starts a program in the group; `log` takes what it says.
    pub(crate) fn spawn(&mut self, program: &Program) -> anyhow::Result<Process> {
        let mut command = match &self.folder {
            // The shell enters the group and becomes the program, so not a moment of it is missed.
            Some((folder, _)) => {
                let mut command = Command::new("/bin/sh");
                command
                    .args(["-c", r#"echo $$ > "$0" && exec "$@""#])
                    .arg(folder.join("cgroup.procs"))
                    .arg(&program.path);
                command
            }
            None => Command::new(&program.path),
        };
        let log = || -> io::Result<File> { File::options().create(true).append(true).open(&program.log) };
        let child = command
            .args(&program.arguments)
            .envs(program.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&program.folder)
            .stdin(Stdio::null())
            .stdout(log()?)
            .stderr(log()?)
            .spawn()
            .with_context(|| format!("starting {}", program.path.display()))?;
        self.roots.push(child.id());
        Ok(Process {
            child,
            log: program.log.clone(),
        })
    }

    /// Returns the ids of its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        match &self.folder {
            Some((folder, _)) => fs::read_to_string(folder.join("cgroup.procs"))
                .map(|text| text.lines().filter_map(|line| line.parse().ok()).collect())
                .unwrap_or_default(),
            None => descendants(&self.roots),
        }
    }

    /// Returns the CPU that its processes have used since they started.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        let Some((folder, probe)) = &self.folder else {
            return Ok(self
                .pids()
                .into_iter()
                .map(cpu_of)
                .fold(Cpu::default(), |sum, cpu| Cpu {
                    user: sum.user + cpu.user,
                    system: sum.system + cpu.system,
                }));
        };
        let read = |file: &str| fs::read_to_string(folder.join(file)).with_context(|| format!("reading {file}"));
        if *probe == "cpu.stat" {
            let text = read(probe)?;
            let micros = |name: &str| {
                let value = text
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
                Duration::from_micros(value.unwrap_or_default())
            };
            return Ok(Cpu {
                user: micros("user_usec"),
                system: micros("system_usec"),
            });
        }
        let nanos = |file: &str| -> anyhow::Result<u64> { Ok(read(file)?.trim().parse()?) };
        let (user, system) = (nanos("cpuacct.usage_user")?, nanos("cpuacct.usage_sys")?);
        Ok(Cpu::apportioned(nanos("cpuacct.usage")?, user, system))
    }

    /// Returns the resident memory of its processes in bytes; pages that they share count once for each.
    pub(crate) fn rss_bytes(&self) -> u64 {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        let pages = |pid| -> Option<u64> {
            let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            statm.split(' ').nth(1)?.parse().ok()
        };
        self.pids().into_iter().filter_map(pages).sum::<u64>() * page
    }

    /// Returns their proportional memory in bytes: pages that they share are divided up.
    pub(crate) fn pss_bytes(&self) -> u64 {
        let kib = |pid| -> Option<u64> {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches("kB").trim().parse().ok()
        };
        self.pids().into_iter().filter_map(kib).sum::<u64>() * 1024
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for signal in [Signal::TERM, Signal::KILL] {
            let left = self.pids();
            for pid in &left {
                send(*pid, signal);
            }
            let end = Instant::now() + Duration::from_secs(5);
            while !self.pids().is_empty() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if let Some((folder, _)) = &self.folder {
            // The kernel lets a group go a moment after its last process.
            for _ in 0..50 {
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// What is to be started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<std::ffi::OsString>,
    /// Beside ours.
    pub(crate) environment: Vec<(String, String)>,
    /// Where it runs.
    pub(crate) folder: PathBuf,
    /// Where what it says is appended.
    pub(crate) log: PathBuf,
}

impl Program {
    /// A program without arguments that runs in `folder` and logs there under its own name.
    pub(crate) fn new(path: impl Into<PathBuf>, folder: &Path) -> Self {
        let path = path.into();
        let name = path.file_name().unwrap_or(OsStr::new("program")).to_os_string();
        Self {
            log: folder.join(name).with_extension("log"),
            path,
            arguments: Vec::new(),
            environment: Vec::new(),
            folder: folder.to_owned(),
        }
    }

    /// Adds arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        self.arguments.extend(arguments);
        self
    }

    /// Adds to its environment.
    pub(crate) fn envs(mut self, variables: &[(String, String)]) -> Self {
        self.environment.extend_from_slice(variables);
        self
    }
}

/// One started process. Its group ends it at the latest.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Returns its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has said so far.
    pub(crate) fn said(&self) -> String {
        fs::read(&self.log).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns how it ended, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Kills it at once, as a power cut for the process would (`kill -9`).
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM), and kills it if it takes too long.
    pub(crate) fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            send(self.child.id(), Signal::TERM);
        }
        self.wait(TERM_GRACE)
    }

    /// Waits for its end, and kills it after `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let end = Instant::now() + patience;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill()?;
        Ok(self.child.wait()?)
    }
}

/// Ends every process that descends from this one, and what groups they leave: for when it is itself interrupted.
pub(crate) fn end_all() {
    let ours = std::process::id();
    let left = || descendants(&[ours]).into_iter().filter(move |pid| *pid != ours);
    for signal in [Signal::TERM, Signal::KILL] {
        left().for_each(|pid| send(pid, signal));
        let end = Instant::now() + Duration::from_secs(3);
        while left().any(|pid| !has_ended(pid)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    remove_groups();
}

/// Removes groups of this process that are empty by now: some servers take a while until their last process is gone.
pub(crate) fn remove_groups() {
    let name = format!("loadtest-{}-", std::process::id());
    for (base, _) in GROUPS {
        let folders = fs::read_dir(base).into_iter().flatten().flatten();
        for folder in folders.filter(|folder| folder.file_name().to_string_lossy().starts_with(&name)) {
            let _ = fs::remove_dir(folder.path());
        }
    }
}

/// Whether a process is gone, or only waits for its parent to take note.
fn has_ended(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |text| text.contains(") Z "))
}

/// Sends a signal to a process of ours; one that has ended is nobody's.
fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Returns the fields of `/proc/<pid>/stat` behind the name.
fn stat(pid: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(
        fields
            .split_whitespace()
            .map(|field| field.parse().unwrap_or_default())
            .collect(),
    )
}

/// Returns the CPU that a process has used, with that of children that it has waited for.
fn cpu_of(pid: u32) -> Cpu {
    let (own, children) = times(pid);
    Cpu {
        user: own.user + children.user,
        system: own.system + children.system,
    }
}

/// Returns the CPU of a process, and that of children that it has waited for.
fn times(pid: u32) -> (Cpu, Cpu) {
    let fields = stat(pid).unwrap_or_default();
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let time = |field: usize| Duration::from_millis(fields.get(field).copied().unwrap_or_default() * 1000 / ticks);
    let cpu = |user, system| Cpu {
        user: time(user),
        system: time(system),
    };
    (cpu(11, 12), cpu(13, 14))
}

/// Returns the CPU that this process has used, without that of those it started.
pub(crate) fn own_cpu() -> Cpu {
    times(std::process::id()).0
}

/// Returns the processes and all that descend from them.
fn descendants(roots: &[u32]) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, u32::try_from(*stat(pid)?.get(1)?).ok()?)))
        .collect();
    let mut found = Vec::new();
    let mut todo = roots.to_vec();
    while let Some(pid) = todo.pop() {
        if found.contains(&pid) || !all.iter().any(|(known, _)| *known == pid) {
            continue;
        }
        found.push(pid);
        todo.extend(all.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child));
    }
    found
}

/// Returns the path of an installed program, also from the folders of system programs. None: it is not installed.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Ports below those that the system gives to outgoing connections: a service that was killed finds its port free when it comes back.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Returns a port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let first = rand::random::<u16>() % (PORTS.end - PORTS.start);
    let ports = PORTS.map(|port| PORTS.start + (port - PORTS.start + first) % (PORTS.end - PORTS.start));
    let mut free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().context("no port is free")
}

/// Waits until a process listens at `address`.
pub(crate) fn wait_for_listener(address: SocketAddr, process: &mut Process) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_mins(1);
    while Instant::now() < end {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return Ok(());
        }
        if let Some(status) = process.ended()?
            && !status.success()
        {
            bail!(
                "it ended with {status} instead of listening at {address}:\n{}",
                process.said()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("nothing listens at {address} after a minute:\n{}", process.said())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_sum_is_divided_as_its_samples_were() {
        let cpu = Cpu::apportioned(1_000_000_000, 30, 10);
        assert_eq!((cpu.user.as_millis(), cpu.system.as_millis()), (750, 250));
        assert!((Cpu::apportioned(5_000_000, 0, 0).seconds() - 0.005).abs() < 1e-9);
    }

    /// Works for a moment many times, as a server does that is asked fifty times a second.
    #[test]
    fn work_between_ticks_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut group = Group::new("moments");
        let moments = "n=0; while [ $n -lt 300 ]; do sleep 0.002; i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; n=$((n+1)); done; echo done; exec sleep 60";
        let mut process = group
            .spawn(&Program::new("/bin/sh", folder.path()).args(["-c", moments]))
            .unwrap();
        let end = Instant::now() + Duration::from_mins(1);
        while !process.said().contains("done") {
            assert!(Instant::now() < end && process.ended().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(10));
        }
        let (counted, own) = (group.cpu().unwrap().seconds(), cpu_of(process.id()).seconds());
        assert!(
            counted >= own * 0.9,
            "{counted} s in the group, {own} s of the process and its children"
        );
    }

    #[test]
    fn a_group_counts_its_processes_and_their_children_and_ends_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut group = Group::new("test");
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        let program =
            Program::new("/bin/sh", folder.path()).args(["-c", &format!("({busy}); echo done; exec sleep 60")]);
        let mut process = group.spawn(&program).unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while !process.said().contains("done") {
            assert!(Instant::now() < end, "the loop never ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(group.cpu().unwrap().seconds() > 0.01, "{:?}", group.cpu());
        assert!(group.rss_bytes() > 100_000);
        assert!(group.pids().contains(&process.id()));
        drop(group);
        assert!(process.ended().unwrap().is_some());
    }
}
