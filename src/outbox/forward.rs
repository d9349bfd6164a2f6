//! A response's DICOM files on to a DICOM node, by C-STORE.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dataflow::Response;
use crate::dicom::{self, Destination, Object, Sent};
use crate::store::Store;

use super::FolderError;

/// A destination and how patiently it is served.
#[derive(Clone, Debug)]
pub struct Forward {
    pub destination: Destination,
    /// How long to wait before each further try; as many tries as there are waits, and one.
    pub waits: Vec<Duration>,
}

/// What became of a response at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub destination: String,
    /// Every file is there.
    pub complete: bool,
    pub tries: usize,
    pub files: Vec<FileDelivery>,
    /// Why not all could be sent, and what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<String>,
}

/// What the destination answered for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDelivery {
    pub name: String,
    pub stored: bool,
    /// In words: `stored`, or the status.
    pub answer: String,
}

impl Forward {
    /// Tries a few times; a file that has been stored is not sent again.
    pub fn deliver(&self, response: &Response, store: &Store) -> Delivery {
        let mut delivery = Delivery {
            destination: self.destination.to_string(),
            complete: false,
            tries: 0,
            files: Vec::new(),
            trouble: None,
        };
        let mut waits = self.waits.iter();
        loop {
            delivery.tries += 1;
            self.attempt(response, store, &mut delivery);
            match waits.next() {
                Some(wait) if !delivery.complete => std::thread::sleep(*wait),
                _ => return delivery,
            }
        }
    }

    fn attempt(&self, response: &Response, store: &Store, delivery: &mut Delivery) {
        delivery.files.retain(|file| file.stored);
        delivery.trouble = None;
        let objects = match objects(response, store, &delivery.files) {
            Ok(objects) => objects,
            Err(trouble) => return delivery.trouble = Some(trouble),
        };
        let answered = &mut |sent| delivery.files.push(answered(sent));
        if let Err(error) = dicom::send_each(&self.destination, &objects, None, answered) {
            delivery.trouble = Some(format!("{}. {}", error.cause, error.remedy()));
        }
        delivery.complete = delivery.trouble.is_none() && delivery.files.iter().all(|file| file.stored);
    }
}

fn objects(response: &Response, store: &Store, stored: &[FileDelivery]) -> Result<Vec<Object>, String> {
    let dicom = response.files.iter().filter(|file| file.media_type == "application/dicom");
    let unsent = dicom.filter(|file| !stored.iter().any(|stored| stored.name == file.name));
    let read = unsent.map(|file| {
        let path = store.path(response.request, file);
        Object::open(&file.name, path).map_err(|error| error.to_string())
    });
    read.collect()
}

fn answered(sent: Sent) -> FileDelivery {
    FileDelivery { name: sent.name, stored: sent.outcome.is_stored(), answer: sent.outcome.to_string() }
}

/// Writes what became of a response beside it. The file appears whole.
pub(super) fn record(place: &Path, deliveries: &[Delivery]) -> Result<(), FolderError> {
    let path = place.join("delivery.json");
    let text = serde_json::to_string_pretty(deliveries).expect("a delivery is made of texts and numbers");
    let draft = place.join(".delivery.json.part");
    let written = fs::write(&draft, text + "\n").and_then(|()| File::open(&draft)?.sync_all());
    let placed =
        written.and_then(|()| fs::rename(&draft, &path)).and_then(|()| File::open(place)?.sync_all());
    placed.map_err(|source| FolderError::Write { path, source })
}
