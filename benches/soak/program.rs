//! A process that is killed and started again.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub const FLOW: &str = env!("CARGO_BIN_EXE_flow");

/// A process of flow in a folder of its own, with its output in `NAME.log`.
pub struct KilledProgram {
    pub name: &'static str,
    folder: PathBuf,
    arguments: Mutex<Vec<String>>,
    child: Mutex<Option<Child>>,
    kills: AtomicUsize,
}

impl KilledProgram {
    pub fn new(name: &'static str, folder: PathBuf, arguments: &[&str]) -> KilledProgram {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let (child, kills) = (Mutex::new(None), AtomicUsize::new(0));
        KilledProgram { name, folder, arguments: Mutex::new(arguments), child, kills }
    }

    /// Starts it with other arguments, and waits until it ends by itself, however often it is killed until then.
    pub fn run(&self, arguments: Vec<String>) -> ExitStatus {
        *self.arguments.lock().unwrap_or_else(PoisonError::into_inner) = arguments;
        self.start();
        loop {
            let mut child = self.child();
            if let Some(status) = child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                *child = None;
                return status;
            }
            drop(child);
            thread::park_timeout(Duration::from_millis(100));
        }
    }

    pub fn start(&self) {
        *self.child() = Some(self.spawn());
    }

    /// Kills it, and starts it again. `false` where it does not run.
    pub fn kill(&self) -> bool {
        let mut child = self.child();
        let Some(running) = child.as_mut() else { return false };
        if !running.try_wait().is_ok_and(|status| status.is_none()) {
            return false;
        }
        running.kill().expect("it runs");
        running.wait().expect("it is a child");
        self.kills.fetch_add(1, Ordering::Relaxed);
        *child = Some(self.spawn());
        true
    }

    /// Asks it to end; what is wrong with that.
    pub fn stop(&self) -> Option<String> {
        let mut child = self.child();
        let running = child.as_mut()?;
        if let Ok(Some(status)) = running.try_wait() {
            return Some(format!("{} had ended by itself: {status}", self.name));
        }
        let asked = Command::new("kill").args(["-TERM", &running.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "it can be asked");
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            match running.try_wait() {
                Ok(Some(status)) if status.success() => return None,
                Ok(Some(status)) => return Some(format!("{} ended with {status}", self.name)),
                _ if Instant::now() < end => thread::park_timeout(Duration::from_millis(50)),
                _ => {
                    let _ = running.kill();
                    return Some(format!("{} did not end", self.name));
                }
            }
        }
    }

    pub fn kills(&self) -> usize {
        self.kills.load(Ordering::Relaxed)
    }

    /// What is resident, in bytes; 0 where it does not run.
    pub fn resident_bytes(&self) -> u64 {
        let id = self.child().as_ref().map(Child::id);
        let status =
            id.and_then(|id| fs::read_to_string(format!("/proc/{id}/status")).ok()).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kib| kib << 10)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> Child {
        let log =
            File::options().create(true).append(true).open(self.folder.join(format!("{}.log", self.name)));
        let log = log.expect("a log can be written");
        let arguments = self.arguments.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new(FLOW);
        command.args(&*arguments).current_dir(&self.folder).env_remove("RUST_LOG").stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file has several handles")).stderr(log);
        command.spawn().expect("flow starts")
    }
}
