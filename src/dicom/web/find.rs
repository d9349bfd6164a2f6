//! The QIDO-RS client (PS3.18 10.6): queries for studies, series or instances.

use std::fmt::Write;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Map, Value};

use crate::dicom::intake::completion::Counter;

use crate::dicom::wire::peer_error::{PeerError, PeerErrorCause};

use super::WebNode;
use super::answer::{DICOM_JSON, without_mark};
use super::client::{BodyPieces, HttpQuestion, ask};

/// A QIDO-RS query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebQuery {
    pub level: WebLevel,
    /// Restriction to one study, and to one series of it.
    pub study_instance_uid: Option<String>,
    pub series_instance_uid: Option<String>,
    /// The matching keys, by keyword or tag, with their values: `("AccessionNumber", "4711")`.
    pub matching: Vec<(String, String)>,
    /// Further attributes to be returned.
    pub include: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebLevel {
    #[default]
    Studies,
    Series,
    Instances,
}

/// One match: a data set in the DICOM JSON model (PS3.18 annex F).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebMatch(Map<String, Value>);

/// The number of matches that one request asks for.
const PAGE: usize = 500;

const PAGE_BYTES_MAX: usize = 32 << 20;

/// Requests page after page, up to `answers_max` matches.
///
/// # Errors
/// If the service cannot be reached or refuses, or there are more matches.
pub fn find(node: &WebNode, query: &WebQuery, answers_max: usize) -> Result<Vec<WebMatch>, PeerError> {
    let failed = |cause| PeerError::over_web(node.clone(), cause);
    let mut found: Vec<WebMatch> = Vec::new();
    let mut before = Vec::new();
    loop {
        let page = page(node, query, found.len()).map_err(failed)?;
        // Some services ignore the offset, and return everything each time.
        if page.is_empty() || page == before {
            return Ok(found);
        }
        found.extend(page.iter().cloned());
        if found.len() > answers_max {
            return Err(failed(PeerErrorCause::TooMany(answers_max)));
        }
        before = page;
    }
}

/// A counter that asks a service how many instances of a study it has. It gives `None` if the service does
/// not say.
pub fn counter(node: WebNode) -> Counter {
    Arc::new(move |study, _| {
        let matching = vec![("StudyInstanceUID".to_owned(), study.to_owned())];
        let include = vec![NUMBER_OF_STUDY_RELATED_INSTANCES.to_owned()];
        let found = find(&node, &WebQuery { matching, include, ..WebQuery::default() }, 1);
        if let Err(error) = &found {
            tracing::warn!("the number of instances of a study could not be queried: {error}");
        }
        found.ok()?.first()?.text(NUMBER_OF_STUDY_RELATED_INSTANCES).trim().parse().ok()
    })
}

const NUMBER_OF_STUDY_RELATED_INSTANCES: &str = "00201208";

fn page(node: &WebNode, query: &WebQuery, offset: usize) -> Result<Vec<WebMatch>, PeerErrorCause> {
    let path = format!("{}limit={PAGE}&offset={offset}", query.path());
    let body = BodyPieces::new([]);
    let mut reply =
        ask(node, HttpQuestion { method: Method::GET, path, accept: DICOM_JSON, content_type: None, body })?;
    match reply.head.status {
        StatusCode::NO_CONTENT => Ok(Vec::new()),
        StatusCode::OK => {
            let body = reply.read(PAGE_BYTES_MAX)?;
            read(&body)
                .ok_or_else(|| PeerErrorCause::NotUnderstood("it is not a list in DICOM JSON".to_owned()))
        }
        _ => Err(reply.refusal()),
    }
}

fn read(body: &[u8]) -> Option<Vec<WebMatch>> {
    if body.trim_ascii().is_empty() {
        return Some(Vec::new());
    }
    let list: Vec<Map<String, Value>> = serde_json::from_slice(without_mark(body)).ok()?;
    Some(list.into_iter().map(WebMatch).collect())
}

impl WebQuery {
    /// The path below the node's path, to which a query can be appended.
    fn path(&self) -> String {
        let mut path = String::new();
        if let Some(study) = &self.study_instance_uid {
            path = format!("/studies/{}", encoded(study));
            if let Some(series) = &self.series_instance_uid {
                write!(path, "/series/{}", encoded(series)).expect("a String takes everything");
            }
        }
        path.push_str(match self.level {
            WebLevel::Studies => "/studies?",
            WebLevel::Series => "/series?",
            WebLevel::Instances => "/instances?",
        });
        let included = self.include.iter().map(|name| ("includefield", name));
        let all = self.matching.iter().map(|(name, value)| (name.as_str(), value)).chain(included);
        for (name, value) in all {
            write!(path, "{}={}&", encoded(name), encoded(value)).expect("a String takes everything");
        }
        path
    }
}

impl WebMatch {
    /// The values of an attribute as text, by its tag in eight hexadecimal digits. Of a person's name it
    /// is the first representation that is there.
    pub fn texts(&self, tag: &str) -> Vec<String> {
        let values = self.0.get(tag).and_then(|element| element.get("Value")?.as_array());
        values.into_iter().flatten().map(text).collect()
    }

    /// The first value; empty if there is none.
    pub fn text(&self, tag: &str) -> String {
        self.texts(tag).into_iter().next().unwrap_or_default()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.trim_matches(['\0', ' ']).to_owned(),
        Value::Null => String::new(),
        Value::Object(name) => {
            let representations = ["Alphabetic", "Ideographic", "Phonetic"];
            let name = representations.iter().find_map(|one| name.get(*one)?.as_str());
            name.unwrap_or_default().to_owned()
        }
        other => other.to_string(),
    }
}

/// As part of a URL (RFC 3986 2.1).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a String takes everything");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_path() {
        let query = WebQuery {
            level: WebLevel::Instances,
            study_instance_uid: Some("1.2".to_owned()),
            series_instance_uid: Some("1.2/../3".to_owned()),
            matching: vec![("PatientName".to_owned(), "Müller^A&B*".to_owned())],
            include: vec!["00081030".to_owned()],
        };
        let expected = "/studies/1.2/series/1.2%2F..%2F3/instances?\
            PatientName=M%C3%BCller%5EA%26B%2A&includefield=00081030&";
        assert_eq!(query.path(), expected);
        assert_eq!(WebQuery::default().path(), "/studies?");
    }

    #[test]
    fn answers_are_read_or_refused() {
        let body = r#"[{"00100010":{"vr":"PN","Value":[{"Alphabetic":"Test^Seven"}]},"00201208":{"vr":"IS","Value":[7]},
            "00080061":{"vr":"CS","Value":["CT",null,"SR"]},"00100020":{"vr":"LO"}}]"#;
        let found = read(body.as_bytes()).unwrap().remove(0);
        assert_eq!(
            (found.text("00100010"), found.text("00201208")),
            ("Test^Seven".to_owned(), "7".to_owned())
        );
        assert_eq!(found.texts("00080061"), ["CT", "", "SR"]);
        assert_eq!((found.text("00100020"), found.text("00100030")), (String::new(), String::new()));
        assert_eq!(read(b" "), Some(Vec::new()));
        let padded = "\u{feff}[{\"00080018\":{\"vr\":\"UI\",\"Value\":[\"1.2.3\\u0000\"]}}]";
        assert_eq!(read(padded.as_bytes()).unwrap()[0].text("00080018"), "1.2.3");
        for wrong in ["{}", "[1]", "<html>", "[{}"] {
            assert_eq!(read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
