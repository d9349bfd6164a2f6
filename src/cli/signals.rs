//! Signals to `flow run`: the end of receiving, and a reload.
//!
//! SIGHUP has two meanings by convention. With a terminal it says that the terminal is gone. To a process without
//! one, whether a daemon or started by a service manager, it says that settings are to be read again.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::admission::StopSignal;
use crate::printable::PrintableLines;

use super::exit::{CommandError, CommandErrorKind};
use super::output;

/// Handles signals from now on: the first SIGINT or SIGTERM ends receiving, and received requests are still
/// answered; the second one ends the process. SIGHUP calls `reload`.
pub fn handle(stop: &Arc<StopSignal>, reload: impl Fn() + Send + 'static) -> Result<(), CommandError> {
    let mut signals = watch(&[SIGINT, SIGTERM, SIGHUP])?;
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        for signal in &mut signals {
            match signal {
                SIGHUP => reload(),
                _ if stop.is_requested() => std::process::exit(130),
                _ => {
                    let text = "ending: what is complete is still answered; once more ends at once";
                    output::tell_event(&PrintableLines::of(text));
                    stop.request();
                }
            }
        }
    });
    Ok(())
}

/// Handles SIGHUP from now on: it calls `reload`, and does not end the process.
pub fn handle_reload(reload: impl Fn() + Send + 'static) -> Result<(), CommandError> {
    let mut signals = watch(&[SIGHUP])?;
    std::thread::spawn(move || signals.forever().for_each(|_| reload()));
    Ok(())
}

/// Handles SIGHUP from now on for a run that ends by itself and has nothing to reload. Where the process has a
/// terminal, or was started with SIGHUP ignored (`nohup`), the signal keeps its effect. Otherwise it is ignored with
/// a line in the log.
pub fn handle_nothing_to_reload() -> Result<(), CommandError> {
    if has_terminal() || is_ignored(SIGHUP) {
        return Ok(());
    }
    handle_reload(|| {
        let text = "nothing to reload: this run ends when its requests are answered; SIGTERM ends it now";
        output::tell_event(&PrintableLines::of(text));
    })
}

/// Makes a write beyond the limit of a file's size (`ulimit -f`) an error from now on, as on a full disk, instead of the
/// end of the process. Programs that it starts have the signal's usual effect.
pub fn survive_file_limit() {
    // An error leaves the signal as it is.
    let _ = flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)));
}

/// Whether the process has a controlling terminal, whose end would send it SIGHUP.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether this process was started with a signal ignored.
fn is_ignored(signal: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only writes the present one to `action`, which is large enough, and
    // `action` is read only if it says that it has done so.
    let action = unsafe {
        match libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) {
            0 => action.assume_init(),
            _ => return false,
        }
    };
    action.sa_sigaction == libc::SIG_IGN
}

fn watch(signals: &[i32]) -> Result<Signals, CommandError> {
    Signals::new(signals).map_err(|error| {
        CommandError::new(CommandErrorKind::InputOutput, format!("could not watch for signals: {error}"))
    })
}
