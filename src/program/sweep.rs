//! The processes that a program leaves running outside its process group, as those that called `setsid`, where flow
//! can make no namespaces.
//!
//! Each process of a step has a mark that its children inherit and that nothing else uses: its hard limit of
//! CPU time under a realtime policy (`RLIMIT_RTTIME`), a number of centuries. The filter of system calls refuses any
//! change of it ([`super::syscall_filter`]). The processes with a mark are found in `/proc`. Where there is no
//! `/proc`, only the process group is killed. Processes that fork faster than they are found can survive; that is said
//! in the log.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, waitpid,
};

/// The mark of the processes of one run. No two runs have the same, also of different processes of flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMark(u64);

/// In microseconds: no process reaches it.
const LEAST: u64 = 1 << 62;

/// Rounds of looking for processes: one that is being killed may have forked.
const ROUNDS: u32 = 500;
const ROUND_TIME: Duration = Duration::from_millis(4);

impl ProcessMark {
    pub fn new() -> ProcessMark {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed) % (1 << 24);
        ProcessMark(LEAST + (u64::from(getpid().as_raw_nonzero().get().unsigned_abs()) << 24) + run)
    }

    /// The limit that marks a process.
    pub fn limit(self) -> (Resource, Rlimit) {
        (Resource::Rttime, Rlimit { current: Some(self.0), maximum: Some(self.0) })
    }

    /// Kills all processes with this mark but `child`, which its parent reaps, until none is left.
    pub fn sweep(self, child: Pid) {
        for _ in 0..ROUNDS {
            let left: Vec<Pid> = self.living().into_iter().filter(|pid| *pid != child).collect();
            if left.is_empty() {
                return;
            }
            left.iter().for_each(|pid| self.kill(*pid));
            sleep(ROUND_TIME);
        }
        tracing::warn!("processes that a program left running cannot be killed");
    }

    fn kill(self, pid: Pid) {
        // The number may be another process's by now; from here on it is held.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return };
        if self.is_of(pid) {
            // An error means that it has ended.
            let _ = pidfd_send_signal(&process, Signal::KILL);
            // Where flow is the first process of a container, orphans are its children.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }

    fn living(self) -> Vec<Pid> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let processes = numbers.filter_map(Pid::from_raw);
        processes.filter(|pid| self.is_of(*pid) && !is_dead(*pid)).collect()
    }

    fn is_of(self, pid: Pid) -> bool {
        let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_nonzero()));
        let limits = limits.unwrap_or_default();
        let mut realtime = limits.lines().filter(|line| line.starts_with("Max realtime timeout"));
        let mark = self.0.to_string();
        realtime.any(|line| line.split_whitespace().any(|word| word == mark))
    }
}

/// Whether a process has ended and only waits to be reaped.
fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    matches!(state, None | Some('Z' | 'X'))
}
