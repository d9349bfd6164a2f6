//! What comes in: a request with its items, as handles. The bytes stay on disk.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Digest, Payload};

/// One accepted request, on its way through a dataflow as an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// A function of the items' content: the same study sent again is the same request.
    pub id: Digest,
    /// How a person calls it; becomes the name of its folder.
    pub name: String,
    /// What `when` conditions and generated results may refer to, for example `modality`.
    pub attributes: BTreeMap<String, String>,
    pub items: Vec<Item>,
}

/// One record inside a request: a handle on a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// How a person calls it, for example the file's path below the input folder.
    pub name: String,
    pub path: PathBuf,
    pub digest: Digest,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of its content when decoded; what a memory estimate counts with.
    pub decoded: u64,
}

impl Request {
    /// Makes a request; its identity follows from the items, whatever their order and paths.
    pub fn new(name: impl Into<String>, attributes: BTreeMap<String, String>, items: Vec<Item>) -> Request {
        let mut digests: Vec<Digest> = items.iter().map(|item| item.digest).collect();
        digests.sort();
        Request {
            id: Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice())),
            name: name.into(),
            attributes,
            items,
        }
    }

    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    pub fn size(&self) -> u64 {
        self.items.iter().map(|item| item.size).sum()
    }

    pub fn decoded(&self) -> u64 {
        self.items.iter().map(|item| item.decoded).sum()
    }
}

impl Payload for Request {
    const TYPE: &'static str = "request";
}

impl Payload for Item {
    const TYPE: &'static str = "item";
}
