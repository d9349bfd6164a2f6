//! Standard output and standard error: the only place where a command writes to them. All text is escaped
//! on its way ([`crate::printable`]).

use std::fmt::Display;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};

use serde::Serialize;

use crate::printable::{KeptLineFeeds, PrintableLines, PrintableWriter};

/// Standard output, for text in lines of our own making.
pub fn stdout() -> PrintableWriter<Stdout> {
    PrintableWriter::new(io::stdout(), KeptLineFeeds::All)
}

/// Standard error, likewise.
pub fn stderr() -> PrintableWriter<Stderr> {
    PrintableWriter::new(io::stderr(), KeptLineFeeds::All)
}

/// Standard error, for the events of a log: a line each.
pub fn log() -> PrintableWriter<Stderr> {
    PrintableWriter::new(io::stderr(), KeptLineFeeds::Last)
}

pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Prints lines on standard output.
///
/// # Errors
/// The reader has gone away, or the disk is full.
pub fn print(lines: &PrintableLines) -> io::Result<()> {
    io::stdout().write_all(lines.as_str().as_bytes())
}

/// Prints a line on standard output.
///
/// # Errors
/// As [`print`].
pub fn print_line(line: impl Display) -> io::Result<()> {
    print(&PrintableLines::of(line))
}

/// A line of JSON. It is escaped when it is printed, and stays the same JSON.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is made of texts and numbers")
}

/// Prints lines on standard error, in one piece: other threads have something to say, too. A terminal or log
/// that is gone is no reason to end.
pub fn tell(lines: &PrintableLines) {
    let _ = io::stderr().write_all(lines.as_str().as_bytes());
}

/// Prints a line on standard error.
pub fn tell_line(line: impl Display) {
    tell(&PrintableLines::of(line));
}

/// Has the messages of panics escaped, too: a panic may quote what a peer sent.
pub fn escape_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        tell_line(format_args!("thread {} panicked: {info}", thread.name().unwrap_or("without a name")));
    }));
}
