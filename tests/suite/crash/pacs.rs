//! The PACS that results go to: it keeps every copy that differs from the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use flow::dicom::{Destination, Event};
use flow::step::Digest;

use crate::run::tree;
use crate::support::peers::Receiving;
use crate::support::slices::data_set;

pub struct Pacs(Receiving);

/// The data sets that arrived under each SOP Instance UID: one each, if all is well.
pub type Objects = BTreeMap<String, BTreeSet<Digest>>;

impl Pacs {
    pub fn open() -> Pacs {
        Pacs(Receiving::start(|settings| settings.ae_title = "PACS".parse().expect("it is an AE title")))
    }

    pub fn destination(&self) -> Destination {
        self.0.destination("PACS")
    }

    /// Our receiver names a file by UID and digest, and never deletes one by itself.
    pub fn objects(&self) -> Objects {
        let mut objects = Objects::new();
        for path in tree(&self.0.inbox).into_keys().filter(|path| !path.starts_with("incoming")) {
            let name = path.file_name().expect("it is a file").to_string_lossy().into_owned();
            let (uid, _) = name.rsplit_once('-').expect("it is UID-DIGEST.dcm");
            let bytes = fs::read(self.0.inbox.join(&path)).expect("it was kept");
            objects.entry(uid.to_owned()).or_default().insert(Digest::of(data_set(&bytes)));
        }
        objects
    }

    /// How many objects were stored, copies included, since this was last asked.
    pub fn stored(&self) -> usize {
        self.0.events.try_iter().filter(|event| matches!(event, Event::Stored { .. })).count()
    }
}
