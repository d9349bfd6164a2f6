//! The end of a process whose engine broke.

use std::io::Write;

/// The exit code of a process whose engine broke, as sysexits.h has it for internal errors.
const BROKEN: i32 = 70;

/// A worker that panics leaves the others waiting for ever, so it takes the process with it: what is
/// not answered by then is nobody's to forget, and a supervisor can see that the process is gone.
pub struct PanicGuard;

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "flow: a worker of the engine broke, or a process of the cluster was lost; ending";
            // A second panic, because nobody reads it, would take the exit code away.
            let _ = writeln!(std::io::stderr(), "{why}");
            std::process::exit(BROKEN);
        }
    }
}
