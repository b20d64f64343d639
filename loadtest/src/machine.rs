//! What a run runs on, so that its figures can be read.

use std::fs;
use std::path::Path;

use crate::limits::Syncs;
use crate::report::Machine;
use crate::sample::float;

/// Reads it from the kernel; `folder` is where the data lies.
pub(crate) fn read(folder: &Path, syncs: Syncs, other_load: Option<f64>) -> anyhow::Result<Machine> {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
        value.map_or_else(String::new, |(_, value)| value.trim().to_owned())
    };
    let memory = field("/proc/meminfo", "MemTotal");
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
    Ok(Machine {
        processor: field("/proc/cpuinfo", "model name"),
        cores: std::thread::available_parallelism()?.get(),
        memory_mib: kib / 1024,
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        disk: disk(folder),
        sync_ms: Some((syncs.p50, syncs.p99)),
        other_load,
    })
}

/// Returns the file system that a folder lies on, and its device.
fn disk(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of = |line: &str| -> Option<(usize, String)> {
        let mut fields = line.split(' ');
        let (device, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder
            .starts_with(point)
            .then(|| (point.len(), format!("{kind} on {device}")))
    };
    let found = mounts.lines().filter_map(of).max_by_key(|(length, _)| *length);
    found.map_or_else(String::new, |(_, disk)| disk)
}

/// Returns the seconds of CPU that everything on the machine has used since it started.
pub(crate) fn busy_seconds() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let fields: Vec<u64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // User, nice, system; then idle and waiting, which are no work; then interrupts and what the host took.
    let busy: u64 = fields.iter().take(3).chain(fields.iter().skip(5).take(3)).sum();
    Ok(float(busy) / float(rustix::param::clock_ticks_per_second().max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_processor_memory_and_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let syncs = crate::limits::syncs(folder.path(), 1).unwrap();
        let machine = read(folder.path(), syncs, None).unwrap();
        assert!(!machine.processor.is_empty() && machine.memory_mib > 100, "{machine:?}");
        assert!(machine.disk.contains(" on "), "{machine:?}");
    }
}
