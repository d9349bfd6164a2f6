//! Text that is safe to show on a terminal, in a log and on a page.
//!
//! Names, descriptions and reasons come from peers, and control characters in them would move the cursor,
//! ring, colour the screen, reverse what stands beside them, or make up a line of their own. Every text for
//! a person is built of [`PrintableLines`], or passes through a [`PrintableWriter`]; nothing is escaped by
//! hand where it is shown.
//!
//! Escaped are the control characters of ISO 6429 (C0 with the line feed, DEL, C1), the separators of lines
//! and paragraphs, and the characters that change the direction of text (Unicode Bidirectional Algorithm,
//! UAX 9). The escapes are those of JSON (RFC 8259 section 7), so that an escaped JSON text is the same JSON.

use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};
use std::io::{self, Write};

/// A count with its noun, whose plural is regular.
///
/// ```
/// use flow::printable::counted;
///
/// assert_eq!(counted(1, "slice"), "1 slice");
/// assert_eq!(counted(0, "slice"), "0 slices");
/// assert_eq!(counted(2, "study"), "2 studies");
/// ```
pub fn counted<N: Copy + Display + From<u8> + PartialEq>(count: N, noun: &str) -> String {
    if count == N::from(1) {
        return format!("{count} {noun}");
    }
    match noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u'])) {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

/// A number beyond a limit, with as many decimals as tell the two apart, and no fewer than asked for.
///
/// ```
/// use flow::printable::beyond;
///
/// assert_eq!(beyond(22.4, 15.0, 0), "22");
/// assert_eq!(beyond(15.3, 15.0, 0), "15.3");
/// assert_eq!(beyond(64.98, 65.0, 0), "64.98");
/// ```
pub fn beyond(value: f64, limit: f64, decimals: usize) -> String {
    let tells = |text: &String| text.parse() != Ok(limit);
    let mut texts = (decimals..decimals + 4).map(|decimals| format!("{value:.decimals$}"));
    texts.clone().find(tells).or_else(|| texts.next_back()).unwrap_or_default()
}

/// An error with all its causes on one line. The text is to be escaped where it is shown.
pub fn with_causes<E: std::error::Error + 'static>(error: &E) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        // Some errors already end with their cause.
        if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// A text in which nothing is a control character. Line feeds are escaped, too.
///
/// ```
/// use flow::printable::escaped;
///
/// assert_eq!(escaped("CHEST\nanswered"), "CHEST\\nanswered");
/// assert_eq!(escaped("\u{1b}]0;title\u{7}"), "\\u001b]0;title\\u0007");
/// assert_eq!(escaped("Müller^Jörg"), "Müller^Jörg");
/// ```
pub fn escaped(text: &str) -> Cow<'_, str> {
    match text.chars().any(is_unsafe) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 8), |mut safe, letter| {
            push(&mut safe, letter);
            safe
        })),
    }
}

fn push(text: &mut String, letter: char) {
    match letter {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        // All of them are in the basic plane: four digits are enough.
        _ if is_unsafe(letter) => {
            write!(text, "\\u{:04x}", u32::from(letter)).expect("a string takes everything");
        }
        _ => text.push(letter),
    }
}

fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Lines for a person. A line feed inside a line is escaped: only [`PrintableLines::line`] makes lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrintableLines(String);

impl PrintableLines {
    /// One line, to which others can be added.
    pub fn of(line: impl Display) -> PrintableLines {
        PrintableLines::default().line(line)
    }

    /// Adds a line.
    pub fn line(mut self, line: impl Display) -> PrintableLines {
        self.push(line);
        self
    }

    /// Adds a line.
    pub fn push(&mut self, line: impl Display) {
        self.0.push_str(&escaped(&line.to_string()));
        self.0.push('\n');
    }

    /// Adds all lines of a text that another part of flow has put together in lines, as a list of problems.
    pub fn lines_of(mut self, text: impl Display) -> PrintableLines {
        text.to_string().lines().for_each(|line| self.push(line));
        self
    }

    /// All lines, each with a line feed at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The lines without the last line feed.
impl Display for PrintableLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.strip_suffix('\n').unwrap_or(&self.0))
    }
}

/// The line feeds that pass a [`PrintableWriter`] unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptLineFeeds {
    /// Those that end lines of our own making.
    All,
    /// The one at the end of each piece that is written, as an event of the log is.
    Last,
}

/// A writer that escapes what passes through it. Each piece is written at once.
pub struct PrintableWriter<W> {
    writer: W,
    kept: KeptLineFeeds,
    /// The beginning of a character of which the rest is still to come.
    begun: Vec<u8>,
}

impl<W: Write> PrintableWriter<W> {
    /// A writer whose text goes on to another.
    pub fn new(writer: W, kept: KeptLineFeeds) -> PrintableWriter<W> {
        PrintableWriter { writer, kept, begun: Vec::new() }
    }

    fn safe(&self, text: &str) -> String {
        let mut safe = String::with_capacity(text.len());
        let end = text.len() - usize::from(text.ends_with('\n'));
        for (place, letter) in text.char_indices() {
            match letter {
                '\n' if self.kept == KeptLineFeeds::All || place == end => safe.push('\n'),
                _ => push(&mut safe, letter),
            }
        }
        safe
    }
}

impl<W: Write> Write for PrintableWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begun.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.begun) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.begun.len(),
        };
        let rest = self.begun.split_off(whole);
        let text = std::mem::replace(&mut self.begun, rest);
        let safe = self.safe(&String::from_utf8_lossy(&text));
        self.writer.write_all(safe.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_is_left() {
        let hostile: String = (0..=0xffff).filter_map(char::from_u32).collect();
        let safe = escaped(&hostile);
        assert!(!safe.chars().any(is_unsafe));
        assert!(!safe.bytes().any(|byte| byte < b' ' || byte == 0x7f));
        let json = format!("\"{}\"", escaped("\u{9b}2J\u{202e}\u{7f}"));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), "\u{9b}2J\u{202e}\u{7f}");
    }

    #[test]
    fn a_text_makes_no_line_of_its_own() {
        let lines = PrintableLines::of("failed: CHEST\nanswered  1.2.3  complete").line("  hint: \u{1b}[2J");
        assert_eq!(lines.as_str().lines().count(), 2);
        assert!(lines.to_string().ends_with("\\u001b[2J"));
    }

    #[test]
    fn a_writer_keeps_the_line_feeds_that_it_may_and_characters_in_two_pieces() {
        let mut out = Vec::new();
        let mut writer = PrintableWriter::new(&mut out, KeptLineFeeds::All);
        writer.write_all("a\n\u{1b}ü".as_bytes().split_at(4).0).unwrap();
        writer.write_all("a\n\u{1b}ü".as_bytes().split_at(4).1).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "a\n\\u001bü");
        let mut out = Vec::new();
        PrintableWriter::new(&mut out, KeptLineFeeds::Last).write_all(b"WARN x\nanswered\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "WARN x\\nanswered\n");
    }
}
