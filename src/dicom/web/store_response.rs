//! Store response: the outcome of each instance of one STOW request (PS3.18 10.5.3, annex I).
//!
//! Written by our server and read by our client. Parts that are not recognised as instances are listed in
//! `Other Failures`, where only a reason is given.

use serde_json::{Map, Value, json};

use crate::dicom::names::status::DimseStatus;

use super::answer::without_mark;

const SOP_CLASS_UID: &str = "00081150";
const SOP_INSTANCE_UID: &str = "00081155";
const WARNING_REASON: &str = "00081196";
const FAILURE_REASON: &str = "00081197";
const FAILED_SEQUENCE: &str = "00081198";
const REFERENCED_SEQUENCE: &str = "00081199";
const OTHER_FAILURES_SEQUENCE: &str = "0008119A";

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreResponse {
    pub stored: Vec<InstanceReference>,
    pub failed: Vec<InstanceReference>,
    /// The failure reasons of parts without a UID.
    pub others: Vec<DimseStatus>,
}

/// An instance with the reason of a failure or of a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceReference {
    pub sop_class_uid: String,
    pub sop_instance_uid: String,
    pub status: DimseStatus,
}

impl StoreResponse {
    /// In the DICOM JSON model (PS3.18 annex F).
    pub fn write(&self) -> String {
        let mut data_set = Map::new();
        let mut put = |tag: &str, items: Vec<Value>| {
            if !items.is_empty() {
                data_set.insert(tag.to_owned(), json!({ "vr": "SQ", "Value": items }));
            }
        };
        put(FAILED_SEQUENCE, self.failed.iter().map(|one| one.write(FAILURE_REASON)).collect());
        put(REFERENCED_SEQUENCE, self.stored.iter().map(|one| one.write(WARNING_REASON)).collect());
        put(
            OTHER_FAILURES_SEQUENCE,
            self.others.iter().map(|status| reason(FAILURE_REASON, *status)).collect(),
        );
        Value::Object(data_set).to_string()
    }

    /// `None` if this is not a data set in the DICOM JSON model.
    pub fn read(body: &[u8]) -> Option<StoreResponse> {
        let body: Value = serde_json::from_slice(without_mark(body)).ok()?;
        // Some services put the data set into an array, as query results are.
        let data_set = match &body {
            Value::Array(all) if all.len() == 1 => all[0].as_object()?,
            other => other.as_object()?,
        };
        let items = |tag: &str| {
            let values = data_set.get(tag).and_then(|element| element.get("Value")?.as_array());
            values.map_or(&[] as &[Value], Vec::as_slice).iter()
        };
        Some(StoreResponse {
            stored: items(REFERENCED_SEQUENCE)
                .map(|item| InstanceReference::read(item, WARNING_REASON))
                .collect(),
            failed: items(FAILED_SEQUENCE)
                .map(|item| InstanceReference::read(item, FAILURE_REASON))
                .collect(),
            others: items(OTHER_FAILURES_SEQUENCE).map(|item| status(item, FAILURE_REASON)).collect(),
        })
    }
}

impl InstanceReference {
    fn write(&self, reason_tag: &str) -> Value {
        let mut item =
            if self.status == DimseStatus::SUCCESS { json!({}) } else { reason(reason_tag, self.status) };
        item[SOP_CLASS_UID] = json!({ "vr": "UI", "Value": [self.sop_class_uid] });
        item[SOP_INSTANCE_UID] = json!({ "vr": "UI", "Value": [self.sop_instance_uid] });
        item
    }

    fn read(item: &Value, reason_tag: &str) -> InstanceReference {
        let text = |tag| {
            first(item, tag).and_then(Value::as_str).unwrap_or_default().trim_matches(['\0', ' ']).to_owned()
        };
        InstanceReference {
            sop_class_uid: text(SOP_CLASS_UID),
            sop_instance_uid: text(SOP_INSTANCE_UID),
            status: status(item, reason_tag),
        }
    }
}

fn reason(tag: &str, status: DimseStatus) -> Value {
    json!({ tag: { "vr": "US", "Value": [status.0] } })
}

/// The reason in an item. Some services write it as text.
fn status(item: &Value, tag: &str) -> DimseStatus {
    let Some(value) = first(item, tag) else { return DimseStatus::SUCCESS };
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    number.and_then(|number| u16::try_from(number).ok()).map_or(DimseStatus::SUCCESS, DimseStatus)
}

fn first<'a>(item: &'a Value, tag: &str) -> Option<&'a Value> {
    item.get(tag)?.get("Value")?.get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(number: u32, status: DimseStatus) -> InstanceReference {
        let sop_instance_uid = format!("1.2.{number}");
        InstanceReference { sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(), sop_instance_uid, status }
    }

    #[test]
    fn written_and_read() {
        let response = StoreResponse {
            stored: vec![reference(1, DimseStatus::SUCCESS), reference(2, DimseStatus(0xB000))],
            failed: vec![reference(3, DimseStatus::OUT_OF_RESOURCES)],
            others: vec![DimseStatus::CANNOT_UNDERSTAND],
        };
        assert_eq!(StoreResponse::read(response.write().as_bytes()), Some(response.clone()));
        let in_array = format!("[{}]", response.write());
        assert_eq!(StoreResponse::read(in_array.as_bytes()), Some(response));
    }

    #[test]
    fn only_what_is_there_is_written() {
        let stored =
            StoreResponse { stored: vec![reference(1, DimseStatus::SUCCESS)], ..StoreResponse::default() };
        let expected = r#"{"00081199":{"Value":[{"00081150":{"Value":["1.2.840.10008.5.1.4.1.1.2"],"vr":"UI"},"00081155":{"Value":["1.2.1"],"vr":"UI"}}],"vr":"SQ"}}"#;
        assert_eq!(stored.write(), expected);
        assert_eq!(StoreResponse::default().write(), "{}");
    }

    #[test]
    fn what_others_write_is_read_or_refused() {
        let text = br#"{"00081198":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1.2.3 "]},"00081197":{"vr":"US","Value":["272"]}}, 7]}}"#;
        let read = StoreResponse::read(text).unwrap();
        assert_eq!(
            (read.failed[0].sop_instance_uid.as_str(), read.failed[0].status),
            ("1.2.3", DimseStatus(0x0110))
        );
        assert_eq!(read.failed[1].sop_instance_uid, "");
        let padded = "\u{feff}{\"00081199\":{\"Value\":[{\"00081155\":{\"Value\":[\"1.2.3\\u0000\"]}}]}}";
        assert_eq!(StoreResponse::read(padded.as_bytes()).unwrap().stored[0].sop_instance_uid, "1.2.3");
        for other in ["", "null", "[]", "[{},{}]", "\"stored\"", "<xml/>"] {
            assert_eq!(StoreResponse::read(other.as_bytes()), None, "{other}");
        }
    }
}
