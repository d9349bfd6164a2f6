//! The memory of the machine, for the default of `--memory`.

use std::fs;

use crate::dicom;

/// Half of the memory that this process may use: of the machine's memory, or of its control group's limit. 2
/// GiB if neither can be read.
pub fn default_budget() -> u64 {
    let machine = meminfo("MemTotal:");
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    let least = machine.into_iter().chain(group).min();
    least.map_or(2 << 30, |bytes| bytes / 2)
}

/// The most memory that this process has had in use so far, in bytes (`VmHWM`; Linux only).
pub fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    kibibytes(&status, "VmHWM:")
}

fn meminfo(key: &str) -> Option<u64> {
    kibibytes(&fs::read_to_string("/proc/meminfo").ok()?, key)
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    let number = line[key.len()..].trim().trim_end_matches("kB").trim();
    number.parse::<u64>().ok().map(|kibibytes| kibibytes << 10)
}

/// Lets the allocator keep as many arenas as there are processors. Each keeps what was freed in it, and glibc makes
/// up to eight for each processor, which doubled the peak memory of six studies.
pub fn limit_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let most = libc::c_int::try_from(processors).unwrap_or(libc::c_int::MAX);
        // SAFETY: `mallopt` only sets a number of the allocator. Where it refuses, all stays as it was.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, most) };
    }
}

/// Reserves memory for inflated data sets and long headers out of the budget. Returns the reserved bytes.
pub fn keep_for_inflating(budget: u64) -> u64 {
    let share = (budget / 8).min(dicom::INFLATE_BUDGET_BYTES);
    dicom::set_inflate_budget(share);
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel() {
        let text = "VmPeak:\t  100 kB\nVmHWM:\t   2048 kB\n";
        assert_eq!(kibibytes(text, "VmHWM:"), Some(2 << 20));
        assert_eq!(kibibytes(text, "VmSwap:"), None);
    }
}
