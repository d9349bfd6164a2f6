//! A server of sample books over HTTP/1.1: encrypted archives with entity tags, digests and ranges, and troubles on
//! demand.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::program::GpgFiles;
use crate::step::CancelToken;

use super::sample::{PASSPHRASE, SampleBooks};

/// What goes wrong. Every so many answers; 0 for never.
#[derive(Clone, Copy, Debug, Default)]
pub struct BookTroubles {
    /// The time that an answer takes at least.
    pub delay: Duration,
    /// Answers with status 503.
    pub fail_every: u64,
    /// Answers with status 429 and `Retry-After: 1`.
    pub busy_every: u64,
    /// Answers that break off in the middle.
    pub truncate_every: u64,
    /// Answers with a byte that their digest does not fit.
    pub damage_every: u64,
    /// Answers with status 202: the book is not ready yet.
    pub unready_every: u64,
}

impl BookTroubles {
    /// Those of the server that `flow run books` starts.
    pub fn a_few() -> BookTroubles {
        BookTroubles {
            delay: Duration::from_millis(1),
            fail_every: 23,
            busy_every: 97,
            truncate_every: 31,
            damage_every: 0,
            unready_every: 53,
        }
    }
}

/// What the server has seen.
#[derive(Clone, Debug, Default)]
pub struct ServerCounts {
    pub answers: u64,
    /// Answers that went wrong on purpose.
    pub troubled: u64,
    /// Whole books, by barcode.
    pub whole: BTreeMap<String, u64>,
}

/// The server. It ends with the process.
pub struct BookServer {
    address: SocketAddr,
    shared: Arc<ServerShared>,
}

struct ServerShared {
    books: SampleBooks,
    troubles: BookTroubles,
    counts: Mutex<ServerCounts>,
    /// Messages that were made, so that a part fits the others: the same book is encrypted otherwise each time.
    made: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
}

/// Messages that are remembered.
const MADE_MAX: usize = 2_000;

impl BookServer {
    /// Starts the server on a free port of this machine.
    ///
    /// # Errors
    /// If there is none.
    pub fn start(books: SampleBooks, troubles: BookTroubles) -> io::Result<BookServer> {
        BookServer::start_at("127.0.0.1:0", books, troubles)
    }

    /// Starts the server at an address.
    ///
    /// # Errors
    /// If it is taken.
    pub fn start_at(address: &str, books: SampleBooks, troubles: BookTroubles) -> io::Result<BookServer> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (counts, made) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(ServerShared { books, troubles, counts, made });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new().name("flow:sample-books".to_owned()).spawn(move || {
            for connection in listener.incoming().flatten() {
                let serving = Arc::clone(&serving);
                let thread = std::thread::Builder::new().name("flow:sample-book".to_owned());
                // A connection that cannot be served is closed, and its caller tries again.
                let _ = thread.spawn(move || serving.serve(connection));
            }
        })?;
        Ok(BookServer { address, shared })
    }

    /// The address before the paths `/all_books` and `/books/BARCODE`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the server has seen so far.
    pub fn counts(&self) -> ServerCounts {
        lock(&self.shared.counts).clone()
    }
}

/// A request, as far as the server looks at it.
#[derive(Default)]
struct BookQuestion {
    path: String,
    begin: usize,
    if_range: String,
    if_none_match: String,
}

/// An answer: its head without the length, its body, and how much of it is sent.
struct BookAnswer {
    head: String,
    body: Vec<u8>,
    sent: usize,
}

impl ServerShared {
    fn serve(&self, connection: TcpStream) {
        let Ok(mut to) = connection.try_clone() else { return };
        let _ = connection.set_nodelay(true);
        let mut from = BufReader::new(connection);
        while let Ok(Some(question)) = read(&mut from) {
            let answer = self.answer(&question);
            let head = format!("HTTP/1.1 {}Content-Length: {}\r\n\r\n", answer.head, answer.body.len());
            let written = to.write_all(&[head.as_bytes(), &answer.body[..answer.sent]].concat());
            if written.is_err() || answer.sent < answer.body.len() {
                return;
            }
        }
    }

    fn answer(&self, question: &BookQuestion) -> BookAnswer {
        if question.path == "/all_books" {
            let list: String = self.books.barcodes().map(|barcode| format!("{barcode}\n")).collect();
            return whole("200 OK\r\nContent-Type: text/plain\r\n".to_owned(), list.into_bytes());
        }
        let barcode = question.path.strip_prefix("/books/").filter(|barcode| self.books.has(barcode));
        let Some(barcode) = barcode else { return whole("404 Not Found\r\n".to_owned(), Vec::new()) };
        let number = {
            let mut counts = lock(&self.counts);
            counts.answers += 1;
            counts.answers
        };
        let troubles = self.troubles;
        let is_due = |every: u64| every > 0 && number.is_multiple_of(every);
        std::thread::sleep(troubles.delay);
        let failed = |head: &str| {
            lock(&self.counts).troubled += 1;
            whole(format!("{head}\r\n"), Vec::new())
        };
        match () {
            () if is_due(troubles.fail_every) => failed("503 Service Unavailable"),
            () if is_due(troubles.busy_every) => failed("429 Too Many Requests\r\nRetry-After: 1"),
            () if is_due(troubles.unready_every) => failed("202 Accepted\r\nRetry-After: 1"),
            () => match self.message(barcode) {
                Ok(message) => self.book(barcode, question, &message, number),
                Err(error) => {
                    whole(format!("500 {}\r\n", error.to_string().replace(['\r', '\n'], " ")), Vec::new())
                }
            },
        }
    }

    fn book(&self, barcode: &str, question: &BookQuestion, message: &[u8], number: u64) -> BookAnswer {
        let sha256 = Sha256::digest(message);
        let tag = format!("\"{}\"", STANDARD.encode(&sha256[..12]));
        if question.if_none_match == tag {
            return whole(format!("304 Not Modified\r\nETag: {tag}\r\n"), Vec::new());
        }
        let is_part = question.begin > 0 && question.begin < message.len() && question.if_range == tag;
        let begin = if is_part { question.begin } else { 0 };
        let mut body = message[begin..].to_vec();
        let status = match is_part {
            true => {
                let (last, all) = (message.len() - 1, message.len());
                format!("206 Partial Content\r\nContent-Range: bytes {begin}-{last}/{all}\r\n")
            }
            false => "200 OK\r\n".to_owned(),
        };
        let digest = STANDARD.encode(sha256);
        let head = format!("{status}ETag: {tag}\r\nRepr-Digest: sha-256=:{digest}:\r\n");
        let troubles = self.troubles;
        let is_due = |every: u64| every > 0 && number.is_multiple_of(every);
        let mut sent = body.len();
        let mut counts = lock(&self.counts);
        if is_due(troubles.truncate_every) {
            sent /= 2;
            counts.troubled += 1;
        } else if is_due(troubles.damage_every) {
            let middle = body.len() / 2;
            body[middle] ^= 1;
            counts.troubled += 1;
        } else {
            *counts.whole.entry(barcode.to_owned()).or_default() += 1;
        }
        BookAnswer { head, body, sent }
    }

    /// The encrypted archive of a book.
    fn message(&self, barcode: &str) -> io::Result<Arc<Vec<u8>>> {
        if let Some(made) = lock(&self.made).get(barcode) {
            return Ok(Arc::clone(made));
        }
        let folder = tempfile::tempdir()?;
        let (plain, sealed) = (folder.path().join("plain"), folder.path().join("sealed"));
        std::fs::write(&plain, self.books.archive(barcode)?)?;
        let files = GpgFiles { home: None, passphrase: PASSPHRASE };
        files.seal(&plain, &sealed, &CancelToken::default()).map_err(io::Error::other)?;
        let message = Arc::new(std::fs::read(&sealed)?);
        let mut made = lock(&self.made);
        if made.len() >= MADE_MAX {
            made.pop_first();
        }
        Ok(Arc::clone(made.entry(barcode.to_owned()).or_insert(message)))
    }
}

fn whole(head: String, body: Vec<u8>) -> BookAnswer {
    let sent = body.len();
    BookAnswer { head, body, sent }
}

/// Reads the next request; `None` at the end of the connection.
fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<BookQuestion>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split_whitespace().nth(1).unwrap_or_default().to_owned();
    let mut question = BookQuestion { path, ..BookQuestion::default() };
    loop {
        line.clear();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(question)) };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "range" => {
                let begin = value.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
                question.begin = begin.and_then(|begin| begin.parse().ok()).unwrap_or_default();
            }
            "if-range" => value.clone_into(&mut question.if_range),
            "if-none-match" => value.clone_into(&mut question.if_none_match),
            _ => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
