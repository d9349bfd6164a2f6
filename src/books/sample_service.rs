//! The sample server of this process, for addresses that begin with `sample:`.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::calls::check_address;

use super::sample::SampleBooks;
use super::server::{BookServer, BookTroubles};

/// What an address begins with that means the sample server in this process.
const SAMPLE: &str = "sample:";

/// An address in which `sample:` is the server of this process. It is started at its first use, and has a few
/// troubles of each kind.
///
/// # Errors
/// If it cannot be started.
pub fn sample_url(url: &str) -> io::Result<String> {
    static SERVER: OnceLock<Mutex<Option<BookServer>>> = OnceLock::new();
    let Some(path) = url.strip_prefix(SAMPLE) else { return Ok(url.to_owned()) };
    let mut server = SERVER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if server.is_none() {
        *server = Some(BookServer::start(SampleBooks::USUAL, BookTroubles::a_few())?);
    }
    Ok(format!("{}{path}", server.as_ref().map(BookServer::url).unwrap_or_default()))
}

/// Says what is wrong with the address of a book, in which `{barcode}` stands for its barcode.
pub fn check_book_address(url: &str) -> Result<(), String> {
    match url.strip_prefix(SAMPLE) {
        Some(path) if path.starts_with('/') => Ok(()),
        Some(_) => Err(format!("the address of a sample book has a path: {SAMPLE}/PATH")),
        None => check_address(&url.replace("{barcode}", "0")),
    }
}
