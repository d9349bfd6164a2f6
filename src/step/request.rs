//! A request with its items, as handles: the input of a dataflow.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::item::ItemForm;
use super::{AttributeValues, Digest, Item, Payload};

/// One accepted request, on its way through a dataflow as an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RequestForm")]
pub struct Request {
    /// A function of the items' content: the same study sent again is the same request.
    pub id: Digest,
    /// The name that people call the request by, and the name of its folder.
    pub name: String,
    /// The thing that the request is about, for example a study by its UID. A later request with the same
    /// subject is a revision.
    pub subject: String,
    /// The earlier request with the same subject whose place this one takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<Digest>,
    /// The number of final responses that an operator has rejected by asking for another: the next one has
    /// identifiers of its own.
    #[serde(skip_serializing_if = "is_zero")]
    pub edition: u32,
    /// Values that `when` conditions and generated results may refer to, for example `modality`.
    pub attributes: BTreeMap<String, AttributeValues>,
    /// The data of the request, in the order of the source.
    pub items: Vec<Item>,
    /// Names of what the source keeps for this request as long as it is remembered. Only the source
    /// understands them, and only the source releases what they name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<String>,
}

/// A request as it is written, also by earlier versions.
#[derive(Deserialize)]
struct RequestForm {
    id: Digest,
    name: String,
    #[serde(default)]
    subject: String,
    supersedes: Option<Digest>,
    #[serde(default)]
    edition: u32,
    attributes: BTreeMap<String, AttributeValues>,
    items: Vec<ItemForm>,
    #[serde(default)]
    claims: Vec<String>,
}

impl TryFrom<RequestForm> for Request {
    type Error = &'static str;

    fn try_from(form: RequestForm) -> Result<Request, Self::Error> {
        let RequestForm { id, name, subject, supersedes, edition, attributes, items, mut claims } = form;
        // Earlier versions wrote with each item whether its folder was the DICOM source's.
        let folders: BTreeSet<String> = items.iter().filter_map(ItemForm::received_folder).collect();
        claims.extend(folders);
        let items = items.into_iter().map(Item::try_from).collect::<Result<Vec<Item>, _>>()?;
        Ok(Request { id, name, subject, supersedes, edition, attributes, items, claims })
    }
}

impl Request {
    /// Makes a request; its identity follows from the items, whatever their order and paths.
    pub fn new(
        name: impl Into<String>,
        attributes: BTreeMap<String, AttributeValues>,
        items: Vec<Item>,
    ) -> Request {
        Request {
            id: items_digest(&items),
            name: name.into(),
            subject: String::new(),
            supersedes: None,
            edition: 0,
            attributes,
            items,
            claims: Vec::new(),
        }
    }

    /// Whether both have the same items, whatever their order and paths.
    pub fn has_items_of(&self, other: &Request) -> bool {
        items_digest(&self.items) == items_digest(&other.items)
    }

    /// The request as a correction of an earlier one, of which it replaces items. Its identity follows from both: where
    /// a correction is taken back, the items are those of a request that was answered before, and yet the last response
    /// has to be superseded.
    #[must_use]
    pub fn correcting(self, earlier: &Request) -> Request {
        let both = [self.id, earlier.id];
        Request { id: Digest::of_parts(both.iter().map(|id| id.as_bytes().as_slice())), ..self }
    }

    /// The value of an attribute, "" if the request lacks it; several are joined by `\`.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", AttributeValues::text)
    }

    /// The sum of the items' sizes, in bytes.
    pub fn size(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.size))
    }

    /// The sum of the items' sizes once they are decoded, in bytes.
    pub fn decoded(&self) -> u64 {
        self.items.iter().fold(0, |sum, item| sum.saturating_add(item.decoded))
    }
}

fn items_digest(items: &[Item]) -> Digest {
    let mut digests: Vec<Digest> = items.iter().map(|item| item.digest).collect();
    digests.sort();
    Digest::of_parts(digests.iter().map(|digest| digest.as_bytes().as_slice()))
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Payload for Request {
    const TYPE: &'static str = "request";

    /// The digest of everything that a step may see of the request; where its files lie is left out.
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

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::step::ItemPlace;

    #[test]
    fn a_path_that_is_not_text_travels() {
        let place = ItemPlace::File(OsStr::from_bytes(b"/in/\xff\n").into());
        let item =
            Item { name: "x".to_owned(), place, digest: Digest::of(b"x"), size: u64::MAX, decoded: u64::MAX };
        let mut request = Request::new("r", BTreeMap::new(), vec![item.clone(), item]);
        request.claims.push("study-1".to_owned());
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        assert_eq!(request.decoded(), u64::MAX, "sums stop at the largest number");
    }

    #[test]
    fn a_request_that_an_earlier_version_wrote_claims_the_folders_of_its_received_files() {
        let digest = Digest::of(b"x").to_string();
        let item = |path: &[u8], received: bool| {
            serde_json::json!({
                "name": "x", "path": path, "digest": digest, "size": 1, "decoded": 1, "received": received,
            })
        };
        let items = [item(b"/inbox/study-1/a", true), item(b"/inbox/study-1/b", true), item(b"/in/c", false)];
        let written = serde_json::json!({ "id": digest, "name": "r", "attributes": {}, "items": items });
        let request: Request = serde_json::from_value(written).unwrap();
        assert_eq!(request.claims, ["/inbox/study-1"]);
        assert_eq!(request.items[2].path(), Some("/in/c".as_ref()));
    }
}
