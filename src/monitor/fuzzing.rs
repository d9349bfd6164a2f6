//! Entry point for the target in `fuzz`: what a browser asks of the status page.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode, Uri};

use crate::admission::DataflowSelector;
use crate::dataflow::Dataflow;
use crate::journal::{Journal, RequestArrival};
use crate::ledger::{DestinationSummary, StepWiring};
use crate::step::{Digest, Item, Request, StepTable};
use crate::store::Store;

use super::reply::MonitorAnswer;
use super::{MonitorApi, MonitorToken, NameDisplay, ReplayBoard};

/// A status page with one request and one destination.
pub struct FuzzedPage(MonitorApi);

impl FuzzedPage {
    /// A page over a new state folder.
    ///
    /// # Panics
    /// If the folder cannot be written.
    pub fn new(state: &Path) -> FuzzedPage {
        let store = Arc::new(Store::at(state.join("store")).expect("the folder can be written"));
        let journal = Journal::open(state, store, 0).expect("the folder can be written");
        let request = Request::new("one", BTreeMap::new(), vec![Item::inline("a.txt", b"a".to_vec())]);
        let (version, dataflow) = (Digest::of(b"version"), "ct-lung".to_owned());
        let lookup_texts = Vec::new();
        let request = Arc::new(request);
        let arrival = RequestArrival { request, dataflow, version, program: version, lookup_texts };
        journal.accept(arrival).expect("the folder can be written");
        let destination = DestinationSummary { name: "archive".to_owned(), ..DestinationSummary::default() };
        let dataflow = Dataflow::load("ct-lung", &StepTable::built_in()).expect("flow carries it");
        FuzzedPage(MonitorApi {
            state: state.to_owned(),
            mirror: Arc::default(),
            token: MonitorToken::at(&state.join(MonitorToken::FILE)).expect("the folder can be written"),
            free_bytes_min: 0,
            overview: Mutex::default(),
            started_ms: 1,
            names: NameDisplay::Shown,
            wirings: Mutex::new(Box::new(|_: Digest| Some(StepWiring::default()))),
            receiving: Box::new(Vec::new),
            local: Box::new(move || vec![destination.clone()]),
            complete_study: Box::new(|study, _| Ok(study == "1.2.3")),
            dataflows: DataflowSelector::only(dataflow),
            replays: ReplayBoard::new(Arc::new(|_, _, _| Err("nothing is recorded".to_owned()))),
            certificate_names: None,
        })
    }

    /// A method, a blank and an address in the first line, and headers in those that follow, as hyper gives them. Where
    /// no host or token is among them, those of the page are added. Good is what is not refused.
    pub fn asked(&self, bytes: &[u8]) -> bool {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let head = std::str::from_utf8(lines.next().unwrap_or_default()).ok();
        let Some((method, uri)) = head.and_then(|head| head.split_once(' ')) else { return false };
        let (Ok(method), Ok(uri)) = (Method::from_bytes(method.as_bytes()), uri.parse::<Uri>()) else {
            return false;
        };
        let mut headers: HeaderMap = lines.filter_map(header).collect();
        headers.entry(HOST).or_insert(HeaderValue::from_static("127.0.0.1:80"));
        let token = format!("Bearer {}", self.0.token.text());
        headers.entry(AUTHORIZATION).or_insert(HeaderValue::from_str(&token).expect("it is printable"));
        match self.0.answer(&method, &uri, &headers, "127.0.0.1") {
            MonitorAnswer::Whole(answer) => {
                let (status, body) = (answer.status(), answer.into_body());
                let text = String::from_utf8_lossy(&body);
                assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{uri}: {text}");
                status.is_success() || status.is_redirection()
            }
            MonitorAnswer::Events(_) | MonitorAnswer::Changes(_) => true,
        }
    }
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let end = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..end]).ok()?;
    Some((name, HeaderValue::from_bytes(line[end + 1..].trim_ascii()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_ask_does_no_harm() {
        let state = tempfile::tempdir().unwrap();
        let page = FuzzedPage::new(state.path());
        crate::fuzzed::check("status_page", |bytes| page.asked(bytes));
    }
}
