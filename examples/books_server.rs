//! The server of sample books by itself, with troubles on demand:
//!
//! `cargo run --example books_server -- 127.0.0.1:8901 books=1000 bytes=100000 fail_every=20 truncate_every=30`
//!
//! In a copy of `dataflows/books.yaml`, write `http://127.0.0.1:8901` in place of `sample:` in the addresses.

use std::io::{self, BufRead};
use std::time::Duration;

use flow::books::{BookServer, BookTroubles, SampleBooks};

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8901".to_owned());
    let (mut books, mut troubles) = (SampleBooks::USUAL, BookTroubles::default());
    for argument in arguments {
        let (name, number) = argument.split_once('=').unwrap_or((&argument, ""));
        let number: u64 = number.parse().map_err(io::Error::other)?;
        match name {
            "books" => books.count = number,
            "bytes" => books.bytes = usize::try_from(number).map_err(io::Error::other)?,
            "delay_ms" => troubles.delay = Duration::from_millis(number),
            "fail_every" => troubles.fail_every = number,
            "busy_every" => troubles.busy_every = number,
            "truncate_every" => troubles.truncate_every = number,
            "damage_every" => troubles.damage_every = number,
            "unready_every" => troubles.unready_every = number,
            _ => return Err(io::Error::other(format!("{name} is not known"))),
        }
    }
    let server = BookServer::start_at(&address, books, troubles)?;
    println!("{} has /all_books and /books/BARCODE; the end of the input ends it", server.url());
    for line in io::stdin().lock().lines() {
        line?;
    }
    let counts = server.counts();
    println!("{} answers, {} with troubles, {} books", counts.answers, counts.troubled, counts.whole.len());
    Ok(())
}
