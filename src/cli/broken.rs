//! The end of a process whose records can no longer be written.

use std::fmt::Display;

use crate::journal::Journal;
use crate::printable::PrintableLines;

use super::output;

/// Ends the process when its journal can no longer be written.
pub fn end_when_broken(journal: &Journal) {
    journal.when_broken(|error| end_process(error));
}

/// Ends the process because of an error of its records.
pub fn end_process(error: &dyn Display) {
    let hint = "mend the disk and start again: what was accepted is taken up where it stands";
    output::tell(
        &PrintableLines::of(format_args!("flow: {error}; ending")).line(format_args!("  hint: {hint}")),
    );
    std::process::exit(74);
}
