//! What several tests need.

pub mod certificates;
pub mod data;
pub mod orthanc;
pub mod peers;
pub mod ports;
pub mod random;
pub mod random_streams;
pub mod scripts;
pub mod slices;
pub mod steps;

use std::path::Path;
use std::sync::Arc;

use flow::journal::{Journal, Receipt};
use flow::step::Request;
use flow::store::Store;

/// A line of the log without its time.
pub fn without_time(line: &str) -> &str {
    let is_time = |text: &str| text.len() >= 19 && text.as_bytes()[10] == b'T';
    line.split_once("Z  ").filter(|(time, _)| is_time(time)).map_or(line, |(_, rest)| rest)
}

/// A receipt for tests in which nothing is to outlive the process.
pub fn receipt(request: Request) -> Receipt {
    Receipt::unrecorded(Arc::new(request))
}

/// A journal that keeps nothing, and a store in a folder.
pub fn no_journal(folder: &Path) -> Arc<Journal> {
    Arc::new(Journal::none(Arc::new(Store::at(folder).unwrap())))
}
