//! Standard output and standard error: the only place where a command writes to them. All text is escaped
//! on its way ([`crate::printable`]).

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Stderr, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::printable::{KeptLineFeeds, PrintableLines, PrintableWriter, escaped};

/// Standard output for lines of flow: their line feeds are kept, everything else is escaped.
pub fn stdout() -> PrintableWriter<CommandOutput> {
    PrintableWriter::new(CommandOutput, KeptLineFeeds::All)
}

/// Standard output, which notes when its reader goes away.
pub struct CommandOutput;

static IS_CLOSED: AtomicBool = AtomicBool::new(false);
static OUTLIVES_READER: AtomicBool = AtomicBool::new(false);

/// Leaves out what nobody reads any more from now on, for a command whose exit code is its result.
pub fn outlive_reader() {
    OUTLIVES_READER.store(true, Ordering::Relaxed);
}

/// Whether the reader of standard output has gone away.
pub fn is_closed() -> bool {
    IS_CLOSED.load(Ordering::Relaxed)
}

fn noted<T>(written: io::Result<T>, left_out: T) -> io::Result<T> {
    if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        IS_CLOSED.store(true, Ordering::Relaxed);
        if OUTLIVES_READER.load(Ordering::Relaxed) {
            return Ok(left_out);
        }
    }
    written
}

impl Write for CommandOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        noted(io::stdout().write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        noted(io::stdout().flush(), ())
    }
}

/// Standard error, likewise.
pub fn stderr() -> PrintableWriter<Stderr> {
    PrintableWriter::new(io::stderr(), KeptLineFeeds::All)
}

/// Standard error, for the events of a log: a line each.
fn log() -> PrintableWriter<Stderr> {
    PrintableWriter::new(io::stderr(), KeptLineFeeds::Last)
}

/// Whether standard error is a terminal on which lines can move. A dumb one shows plain lines.
pub fn is_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb")
}

/// The form of the log on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Plain,
    /// A line of JSON for each event
    Json,
}

/// Whether lines that move are shown.
pub fn shows_progress() -> bool {
    is_terminal() && FORMAT.get() != Some(&LogFormat::Json)
}

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Logs events of the library, and lines of [`tell_event`], in this form from now on. Of the library warnings
/// and worse, unless `RUST_LOG` asks for more or less.
pub fn start_log(format: LogFormat) {
    FORMAT.get_or_init(|| format);
    let level = std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(tracing::Level::WARN))
        .with_writer(log)
        .with_target(false)
        // Colours would be control characters, which are escaped.
        .with_ansi(false)
        // The log library would panic if the log cannot be written.
        .log_internal_errors(false);
    match format {
        LogFormat::Plain => subscriber.init(),
        LogFormat::Json => subscriber.json().init(),
    }
}

/// An event of a run: on a terminal its lines, in a log with its time.
pub fn tell_event(lines: &PrintableLines) {
    let text = lines.to_string();
    match FORMAT.get() {
        Some(LogFormat::Json) => {
            let mut parts = text.lines().map(str::trim);
            let message = parts.next().unwrap_or_default();
            let details: Vec<&str> = parts.collect();
            let fields = serde_json::json!({ "message": message, "details": details });
            tell_line(serde_json::json!({ "timestamp": time(), "level": "INFO", "fields": fields }));
        }
        _ if is_terminal() => tell(lines),
        _ => {
            let head = format!("{}  {}", time(), text.lines().next().unwrap_or_default());
            let rest = text.lines().skip(1);
            tell(&rest.fold(PrintableLines::of(head), PrintableLines::line));
        }
    }
}

/// The time as events of the library have it.
fn time() -> String {
    let mut text = String::new();
    // If the clock cannot be read, the time is left out.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Prints lines on standard output.
///
/// # Errors
/// The reader has gone away, or the disk is full.
pub fn print(lines: &PrintableLines) -> io::Result<()> {
    CommandOutput.write_all(lines.as_str().as_bytes())
}

/// Prints a line on standard output.
///
/// # Errors
/// As [`print`].
pub fn print_line(line: impl Display) -> io::Result<()> {
    print(&PrintableLines::of(line))
}

/// Prints a line of cells with tabs between them. A tab in a cell is escaped.
///
/// # Errors
/// As [`print`].
pub fn print_cells<T: AsRef<str>>(cells: &[T]) -> io::Result<()> {
    let cells: Vec<Cow<'_, str>> = cells.iter().map(|cell| escaped(cell.as_ref())).collect();
    CommandOutput.write_all(format!("{}\n", cells.join("\t")).as_bytes())
}

/// A line of JSON. It is escaped when it is printed, and stays the same JSON.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it is made of texts and numbers")
}

/// Prints lines on standard error in one piece, so that those of other threads do not get between them.
/// Errors are ignored: a run does not end because its terminal is gone.
pub fn tell(lines: &PrintableLines) {
    let _ = io::stderr().write_all(lines.as_str().as_bytes());
}

/// Prints a line on standard error.
pub fn tell_line(line: impl Display) {
    tell(&PrintableLines::of(line));
}

/// Escapes the messages of panics, too: a panic may quote text of a peer.
pub fn escape_panics() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        tell_line(format_args!("thread {} panicked: {info}", thread.name().unwrap_or("without a name")));
    }));
}
