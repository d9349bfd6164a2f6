//! What several tests need.

pub mod buckets;
pub mod certificates;
pub mod chat_client;
pub mod chat_tokens;
pub mod data;
pub mod model_server;
pub mod orthanc;
pub mod peers;
pub mod ports;
pub mod random;
pub mod random_streams;
pub mod scripts;
pub mod slices;
pub mod steps;

use std::path::Path;
use std::sync::{Arc, Mutex};

use flow::dataflow::Response;
use flow::engine::{PendingDelivery, ResponseSink};
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

/// Keeps the responses, each with the text of its first file.
#[derive(Default)]
pub struct KeptResponses(pub Mutex<Vec<(Response, String)>>);

impl ResponseSink for KeptResponses {
    fn deliver(&self, pending_delivery: PendingDelivery) {
        let response = pending_delivery.response();
        let path = |artifact| pending_delivery.store().path(pending_delivery.request().id, artifact);
        let text = response.files.first().map(|file| std::fs::read_to_string(path(file)).unwrap());
        self.0.lock().unwrap().push((Response::clone(response), text.unwrap_or_default()));
        pending_delivery.settle(Ok(()));
    }
}
