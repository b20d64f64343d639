//! The disks that a power cut may leave.
//!
//! The rules: a file's writes are certain once a sync of the file has ended that began after they ended; directory entries
//! likewise with a sync of the directory. Everything else that was begun before the cut is there, or not, each for itself;
//! a write may be there in part, by sectors of 512 bytes.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::trace::{Call, annotated, bytes, descriptor};

const SECTOR: usize = 512;

/// Random numbers from a seed (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// When something was asked and done, in lines of the trace.
#[derive(Clone, Copy, Debug)]
struct Span {
    began: u64,
    ended: u64,
}

#[derive(Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

#[derive(Debug, Default)]
struct Inode {
    changes: Vec<(Span, Change)>,
    syncs: Vec<Span>,
    len: u64,
}

#[derive(Debug)]
enum Entry {
    /// The name stands for the inode from now on.
    Set(PathBuf, usize),
    Remove(PathBuf),
    /// One name goes, the other comes, both or neither.
    Rename(PathBuf, PathBuf, usize),
    MakeDir(PathBuf),
    RemoveDir(PathBuf),
}

impl Entry {
    fn parents(&self) -> Vec<&Path> {
        match self {
            Self::Set(path, _) | Self::Remove(path) | Self::MakeDir(path) | Self::RemoveDir(path) => {
                path.parent().into_iter().collect()
            }
            Self::Rename(from, to, _) => from.parent().into_iter().chain(to.parent()).collect(),
        }
    }
}

/// Something that the workload told the world.
#[derive(Clone, Debug)]
struct Ack {
    began: u64,
    line: String,
}

/// All that a workload asked of the disk under its data directory.
pub struct History {
    root: PathBuf,
    inodes: Vec<Inode>,
    entries: Vec<(Span, Entry)>,
    dir_syncs: HashMap<PathBuf, Vec<Span>>,
    acks: Vec<Ack>,
    lines: u64,
}

/// The names while the workload ran.
#[derive(Default)]
struct Live {
    names: HashMap<PathBuf, usize>,
    /// Inode, position, and whether writes append.
    files: HashMap<u64, (usize, u64, bool)>,
}

impl History {
    pub fn new(calls: &[Call], root: &Path, acks: &Path) -> Self {
        let mut history = Self {
            root: root.to_owned(),
            inodes: Vec::new(),
            entries: Vec::new(),
            dir_syncs: HashMap::new(),
            acks: Vec::new(),
            lines: calls.iter().map(|call| call.ended as u64).max().unwrap_or(0) + 1,
        };
        let mut live = Live::default();
        for call in calls {
            if call.name == "write" && annotated(&call.args[0]).is_some_and(|path| path == acks) {
                let text = String::from_utf8(bytes(&call.args[1])).unwrap();
                let began = call.began as u64;
                history.acks.extend(text.lines().map(|line| Ack {
                    began,
                    line: line.to_owned(),
                }));
            } else {
                history.take(call, &mut live);
            }
        }
        history
    }

    pub fn moments(&self) -> u64 {
        self.lines
    }

    pub fn summary(&self) -> String {
        let syncs: usize = self.inodes.iter().map(|inode| inode.syncs.len()).sum();
        let writes: usize = self.inodes.iter().map(|inode| inode.changes.len()).sum();
        format!(
            "{} files, {writes} writes, {syncs} syncs, {} changes of entries, {} acknowledgements",
            self.inodes.len(),
            self.entries.len(),
            self.acks.len()
        )
    }

    /// Returns what was told before a moment.
    pub fn acknowledged(&self, moment: u64) -> Vec<String> {
        self.acks
            .iter()
            .filter(|ack| ack.began < moment)
            .map(|ack| ack.line.clone())
            .collect()
    }

    fn take(&mut self, call: &Call, live: &mut Live) {
        let span = Span {
            began: call.began as u64,
            ended: call.ended as u64,
        };
        let arg = |i: usize| call.args[i].as_str();
        let number = |i: usize| arg(i).parse::<u64>().unwrap();
        match call.name.as_str() {
            "openat" => self.open(call, span, live),
            "close" => {
                live.files.remove(&descriptor(arg(0)));
            }
            "lseek" => {
                if let Some(file) = live.files.get_mut(&descriptor(arg(0))) {
                    file.1 = call.result;
                }
            }
            "write" | "writev" => {
                if let Some((inode, at, append)) = live.files.get_mut(&descriptor(arg(0))) {
                    let offset = if *append { self.inodes[*inode].len } else { *at };
                    *at = offset + call.result;
                    self.write(*inode, span, offset, bytes(arg(1)), call.result);
                }
            }
            "pwrite64" | "pwritev" => {
                if let Some((inode, ..)) = live.files.get(&descriptor(arg(0))) {
                    self.write(*inode, span, number(3), bytes(arg(1)), call.result);
                }
            }
            "ftruncate" => {
                if let Some((inode, ..)) = live.files.get(&descriptor(arg(0))) {
                    self.inodes[*inode].len = number(1);
                    self.inodes[*inode].changes.push((span, Change::Length(number(1))));
                }
            }
            "fallocate" => {
                assert!(
                    !live.files.contains_key(&descriptor(arg(0))),
                    "fallocate is not modelled"
                );
            }
            "fsync" | "fdatasync" => {
                if let Some((inode, ..)) = live.files.get(&descriptor(arg(0))) {
                    self.inodes[*inode].syncs.push(span);
                } else if let Some(path) = annotated(arg(0)) {
                    self.dir_syncs.entry(path).or_default().push(span);
                }
            }
            "mkdir" | "mkdirat" => {
                let path = path(call, usize::from(call.name == "mkdirat"));
                self.entry(span, Entry::MakeDir(path));
            }
            "unlink" | "unlinkat" | "rmdir" => {
                let path = path(call, usize::from(call.name == "unlinkat"));
                if call.name == "rmdir" || call.args.iter().any(|arg| arg == "AT_REMOVEDIR") {
                    self.entry(span, Entry::RemoveDir(path));
                } else {
                    live.names.remove(&path);
                    self.entry(span, Entry::Remove(path));
                }
            }
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = if call.name == "rename" { (0, 1) } else { (1, 3) };
                let (from, to) = (path(call, from), path(call, to));
                if let Some(inode) = live.names.remove(&from) {
                    live.names.insert(to.clone(), inode);
                    self.entry(span, Entry::Rename(from, to, inode));
                } else {
                    assert!(
                        !from.starts_with(&self.root),
                        "renaming {} is not modelled",
                        from.display()
                    );
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, call: &Call, span: Span, live: &mut Live) {
        let Some(path) = call.path.clone().filter(|path| path.starts_with(&self.root)) else {
            live.files.remove(&call.result);
            return;
        };
        let flags = &call.args[2];
        if flags.contains("O_DIRECTORY") || (!flags.contains("O_CREAT") && !live.names.contains_key(&path)) {
            live.files.remove(&call.result);
            return;
        }
        let inode = live.names.get(&path).copied().unwrap_or_else(|| {
            self.inodes.push(Inode::default());
            let inode = self.inodes.len() - 1;
            live.names.insert(path.clone(), inode);
            self.entry(span, Entry::Set(path, inode));
            inode
        });
        if flags.contains("O_TRUNC") {
            self.inodes[inode].len = 0;
            self.inodes[inode].changes.push((span, Change::Length(0)));
        }
        live.files.insert(call.result, (inode, 0, flags.contains("O_APPEND")));
    }

    fn write(&mut self, inode: usize, span: Span, offset: u64, mut bytes: Vec<u8>, written: u64) {
        bytes.truncate(written as usize);
        let inode = &mut self.inodes[inode];
        inode.len = inode.len.max(offset + bytes.len() as u64);
        inode.changes.push((span, Change::Write { offset, bytes }));
    }

    fn entry(&mut self, span: Span, entry: Entry) {
        if entry
            .parents()
            .iter()
            .any(|parent| parent.starts_with(&self.root) || self.root.starts_with(parent))
        {
            self.entries.push((span, entry));
        }
    }

    /// Builds one disk that a cut at `moment` may leave.
    pub fn build(&self, moment: u64, random: &mut Random, target: &Path) {
        // Most images lose some; some lose all that they may, some nothing.
        let keep = [0, 20, 50, 80, 100][random.below(5) as usize];
        let certain =
            |span: &Span, syncs: &[Span]| syncs.iter().any(|sync| sync.ended < moment && sync.began > span.ended);
        let mut names: BTreeMap<&Path, Option<usize>> = BTreeMap::new();
        names.insert(&self.root, None);
        for (span, entry) in self.entries.iter().filter(|(span, _)| span.began < moment) {
            let synced = entry
                .parents()
                .iter()
                .all(|parent| certain(span, self.dir_syncs.get(*parent).map_or(&[][..], Vec::as_slice)));
            // The data directory itself is there: without it there is nothing to recover.
            let own = matches!(entry, Entry::MakeDir(path) if *path == self.root);
            if !(synced || own || random.chance(keep)) {
                continue;
            }
            match entry {
                Entry::Set(path, inode) => drop(names.insert(path, Some(*inode))),
                Entry::MakeDir(path) => drop(names.insert(path, None)),
                Entry::Remove(path) | Entry::RemoveDir(path) => drop(names.remove(path.as_path())),
                Entry::Rename(from, to, inode) => {
                    if names.get(from.as_path()) == Some(&Some(*inode)) {
                        names.remove(from.as_path());
                    }
                    names.insert(to, Some(*inode));
                }
            }
        }
        fs::create_dir_all(target).unwrap();
        for (path, inode) in names.iter().filter(|(path, _)| path.starts_with(&self.root)) {
            let relative = path.strip_prefix(&self.root).unwrap();
            let to = target.join(relative);
            // What lies in a directory that is not there is not there either.
            if !to.parent().unwrap().is_dir() {
                continue;
            }
            match inode {
                None => fs::create_dir_all(&to).unwrap(),
                Some(inode) => fill(&self.inodes[*inode], moment, keep, random, &File::create(&to).unwrap()),
            }
        }
    }
}

/// Returns the path in argument `i`, which may be relative to the directory before it.
fn path(call: &Call, i: usize) -> PathBuf {
    let path = PathBuf::from(String::from_utf8(bytes(&call.args[i])).unwrap());
    match i.checked_sub(1).and_then(|i| annotated(&call.args[i])) {
        Some(dir) if path.is_relative() => dir.join(path),
        _ => path,
    }
}

fn fill(inode: &Inode, moment: u64, keep: u64, random: &mut Random, file: &File) {
    let synced = |span: &Span| {
        inode
            .syncs
            .iter()
            .any(|sync| sync.ended < moment && sync.began > span.ended)
    };
    for (span, change) in inode.changes.iter().filter(|(span, _)| span.began < moment) {
        let whole = synced(span);
        match change {
            Change::Length(len) => {
                if whole || random.chance(keep) {
                    file.set_len(*len).unwrap();
                }
            }
            Change::Write { offset, bytes } if whole || (span.ended < moment && random.chance(keep / 2)) => {
                file.write_all_at(bytes, *offset).unwrap();
            }
            Change::Write { offset, bytes } => {
                let mut at = 0;
                while at < bytes.len() {
                    let sector = SECTOR - (*offset as usize + at) % SECTOR;
                    let end = (at + sector).min(bytes.len());
                    if random.chance(keep) {
                        file.write_all_at(&bytes[at..end], *offset + at as u64).unwrap();
                    }
                    at = end;
                }
            }
        }
    }
}
