//! The end of the process after a panic in the engine.

use std::io::Write;

/// The exit code after a panic in the engine: `EX_SOFTWARE` of sysexits.h.
const BROKEN: i32 = 70;

/// A guard that ends the process when its thread panics. Without it the other workers would wait for ever.
/// Requests that are not answered yet are in the journal, and a supervisor sees that the process is gone.
pub struct PanicGuard;

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let why = "flow: a worker of the engine panicked; exiting";
            // `eprintln!` would panic if nobody reads the error output, and the exit code would be another.
            let _ = writeln!(std::io::stderr(), "{why}");
            std::process::exit(BROKEN);
        }
    }
}
