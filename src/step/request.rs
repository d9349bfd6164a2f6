//! What comes in: a request with its items, as handles. The bytes stay on disk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{AttributeValues, Digest, Payload};

/// One accepted request, on its way through a dataflow as an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// A function of the items' content: the same study sent again is the same request.
    pub id: Digest,
    /// How a person calls it; becomes the name of its folder.
    pub name: String,
    /// What it is about, for example a study by its UID: a later request about the same is a revision.
    #[serde(default)]
    pub subject: String,
    /// The earlier request about the same whose place this one takes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub supersedes: Option<Digest>,
    /// How many final responses to it an operator has rejected by asking for another: the next one has
    /// identifiers of its own.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub edition: u32,
    /// What `when` conditions and generated results may refer to, for example `modality`.
    pub attributes: BTreeMap<String, AttributeValues>,
    pub items: Vec<Item>,
}

/// One record inside a request: a handle on a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// How a person calls it, for example the file's path below the input folder.
    pub name: String,
    #[serde(with = "path_bytes")]
    pub path: PathBuf,
    pub digest: Digest,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of its content when decoded; what a memory estimate counts with.
    pub decoded: u64,
    /// The file is flow's own, and removed when nobody needs it any more.
    #[serde(default)]
    pub received: bool,
}

impl Request {
    /// Makes a request; its identity follows from the items, whatever their order and paths.
    pub fn new(
        name: impl Into<String>,
        attributes: BTreeMap<String, AttributeValues>,
        items: Vec<Item>,
    ) -> Request {
        let mut digests: Vec<Digest> = items.iter().map(|item| item.digest).collect();
        digests.sort();
        Request {
            id: Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice())),
            name: name.into(),
            subject: String::new(),
            supersedes: None,
            edition: 0,
            attributes,
            items,
        }
    }

    /// The value of an attribute, "" if the request lacks it; several are joined by `\`.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", AttributeValues::text)
    }

    /// The folders of received files: they are flow's own.
    pub fn received_folders(&self) -> BTreeSet<PathBuf> {
        let own = self.items.iter().filter(|item| item.received);
        own.filter_map(|item| item.path.parent()).map(PathBuf::from).collect()
    }

    pub fn size(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.size))
    }

    pub fn decoded(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.decoded))
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Item {
    fn value_digest(&self) -> Digest {
        Digest::of_parts([self.digest.as_bytes().as_slice(), self.name.as_bytes()])
    }
}

impl Payload for Request {
    const TYPE: &'static str = "request";

    /// What a step may see of it: not where the files lie.
    fn digest(&self) -> Option<Digest> {
        let written: Vec<_> = self.attributes.iter().map(|(name, values)| (name, values.written())).collect();
        let attributes = written.iter().flat_map(|(name, values)| [name.as_bytes(), values.as_bytes()]);
        let items: Vec<Digest> = self.items.iter().map(Item::value_digest).collect();
        let earlier = self.supersedes.map(|earlier| *earlier.as_bytes());
        let earlier = earlier.as_ref().map_or(&[][..], |earlier| earlier);
        let head = [self.id.as_bytes().as_slice(), self.name.as_bytes(), earlier];
        let parts = head.into_iter().chain(attributes);
        Some(Digest::of_parts(parts.chain(items.iter().map(|digest| digest.as_bytes().as_slice()))))
    }
}

impl Payload for Item {
    const TYPE: &'static str = "item";

    fn digest(&self) -> Option<Digest> {
        Some(self.value_digest())
    }
}

/// A path need not be UTF-8, which serde wants of it.
mod path_bytes {
    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().as_bytes().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|bytes| OsString::from_vec(bytes).into())
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_path_that_is_not_text_travels() {
        let path = OsStr::from_bytes(b"/in/\xff\n").into();
        let item = Item {
            name: "x".to_owned(),
            path,
            digest: Digest::of(b"x"),
            size: u64::MAX,
            decoded: u64::MAX,
            received: false,
        };
        let request = Request::new("r", BTreeMap::new(), vec![item.clone(), item]);
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        assert_eq!(request.decoded(), u64::MAX, "sums stop at the largest number");
    }
}
