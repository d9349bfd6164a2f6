//! Signals to `flow run`: the end of receiving, and a reload.

use std::sync::Arc;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
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

fn watch(signals: &[i32]) -> Result<Signals, CommandError> {
    Signals::new(signals).map_err(|error| {
        CommandError::new(CommandErrorKind::InputOutput, format!("could not watch for signals: {error}"))
    })
}
