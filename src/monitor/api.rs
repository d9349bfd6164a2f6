//! The paths of the server and their answers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, LOCATION, SET_COOKIE,
};
use hyper::{HeaderMap, Method, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};

use crate::admission::{SourceTable, WishError, find_requests, note_wish, pause_records};
use crate::journal::{
    JournalEntry, JournalError, JournalReader, OperatorRequest, RequestHistory, RequestState, general_fault,
};
use crate::ledger::{LedgerMirror, LedgerSnapshot, ViewRow, WaitingRequest, WiringLookup};
use crate::step::{Fault, FaultOrigin, Outcome};
use crate::store::free_bytes;
use crate::tls::CertificateNames;

use super::access::{self, MonitorToken};
use super::answers::{
    ActionNoted, Overview, Readiness, ReceivingStudy, RefusalReason, RequestList, RequestSummary,
    ServedRecord, ServedRequest, shown_name,
};
use super::files::response_file;
use super::graph::{GraphStep, step_graph};
use super::metrics::{StorageStatus, metrics_text};
use super::pausing::{self, PauseAction};
use super::site::NameDisplay;

/// What the server answers from.
pub struct MonitorApi {
    pub state: PathBuf,
    pub mirror: Arc<LedgerMirror>,
    pub token: MonitorToken,
    /// The free bytes below which no request is accepted.
    pub free_bytes_min: u64,
    /// The last overview, which all pages share.
    pub overview: Mutex<Option<SharedOverview>>,
    /// The start of this process, in milliseconds of Unix time: the states of the mirror are numbered from it on.
    pub started_ms: i64,
    pub names: NameDisplay,
    /// The wirings of the dataflows, for the graph of a request.
    pub wirings: Mutex<WiringLookup>,
    /// The studies that are being received now.
    pub receiving: Box<dyn Fn() -> Vec<ReceivingStudy> + Send + Sync>,
    /// The names in our certificate, if the connections are encrypted.
    pub certificate_names: Option<CertificateNames>,
}

/// An overview that was made.
pub struct SharedOverview {
    time: u64,
    made: Instant,
    text: String,
}

/// The longest time for which an overview is shared although the disk may have filled up meanwhile.
const SHARED_TIME_MAX: Duration = Duration::from_secs(5);

/// An answer: bytes, or events as they come.
pub enum MonitorAnswer {
    Whole(Response<Bytes>),
    /// Overviews after the one with this id, if a reader comes back.
    Events(Option<String>),
    /// The rows of the views and their changes, likewise.
    Changes(Option<String>),
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Nothing is loaded from elsewhere, and no script stands in the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The document that describes this API.
const OPENAPI: &str = include_str!("../../docs/src/reference/schemas/api.json");

const REQUESTS_MAX: usize = 100;

impl MonitorApi {
    /// Answers a request from this address.
    pub fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, peer: &str) -> MonitorAnswer {
        let path = uri.path();
        if !access::is_direct(headers, self.certificate_names.as_ref()) {
            return refusal(StatusCode::FORBIDDEN, "this address is not for other pages");
        }
        match (method, path) {
            (&Method::GET, "/health") => return self.health(),
            (&Method::GET, "/ready") => return self.ready(),
            (&Method::GET, "/metrics") => {
                // Counters that begin at 0 would look like events once the journal has been read.
                if !self.mirror.read().is_complete {
                    return refusal(StatusCode::SERVICE_UNAVAILABLE, "the journal is being read");
                }
                let text = metrics_text(&self.mirror.snapshot(), self.storage());
                return whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text);
            }
            (&Method::GET, "/page.js") => {
                return asset("text/javascript; charset=utf-8", include_str!("page.js"));
            }
            (&Method::GET, "/api/openapi.json") => return asset(JSON, OPENAPI),
            (&Method::GET, "/page.css") => return asset("text/css; charset=utf-8", include_str!("page.css")),
            _ => {}
        }
        if let Some(token) = parameter(uri, "token").filter(|_| path == "/") {
            return match self.token.is(&token) {
                true => self.enter(headers),
                false => refusal(StatusCode::FORBIDDEN, "this is not the token"),
            };
        }
        if !self.token.is_in(headers) {
            return refusal(StatusCode::FORBIDDEN, "open the address that flow printed at its start");
        }
        match (method, path) {
            (&Method::GET, "/") => asset(HTML, include_str!("page.html")),
            (&Method::GET, "/api/overview") => whole(StatusCode::OK, JSON, self.overview()),
            (&Method::GET, "/api/events" | "/api/changes") => {
                let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
                if path == "/api/events" { MonitorAnswer::Events(last) } else { MonitorAnswer::Changes(last) }
            }
            (&Method::GET, "/api/requests") => self.requests(uri),
            (&Method::GET, _) => self.part(path),
            (&Method::POST, _) if access::may_change(headers) => match PauseAction::of(path) {
                Some(action) => self.pause(action, uri, peer),
                None => self.act(path, peer),
            },
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "this is not done here"),
        }
    }

    fn enter(&self, headers: &HeaderMap) -> MonitorAnswer {
        let name = access::cookie_name(headers);
        let secure = if self.certificate_names.is_some() { "; Secure" } else { "" };
        let cookie = format!("{name}={}; HttpOnly; SameSite=Strict; Path=/{secure}", self.token.in_cookie());
        let mut answer = Response::new(Bytes::new());
        *answer.status_mut() = StatusCode::SEE_OTHER;
        answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
        MonitorAnswer::Whole(answer)
    }

    fn storage(&self) -> StorageStatus {
        StorageStatus { free_bytes: free_bytes(&self.state), free_bytes_min: self.free_bytes_min }
    }

    /// Whether the process works: it answers.
    fn health(&self) -> MonitorAnswer {
        whole(StatusCode::OK, TEXT, "ok\n".to_owned())
    }

    /// Whether requests are accepted now.
    fn ready(&self) -> MonitorAnswer {
        let (storage, state) = (self.storage(), self.mirror.read());
        let mut reasons = Vec::new();
        if storage.free_bytes < storage.free_bytes_min {
            reasons.push("the disk of the state folder is low");
        }
        if !state.is_complete {
            reasons.push("the journal is being read");
        }
        let oldest = state.rows.keys().find_map(|row| match row {
            ViewRow::Oldest(opened_ms, ..) => Some(*opened_ms),
            _ => None,
        });
        let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let readiness = Readiness {
            ready: reasons.is_empty(),
            reasons,
            free_bytes: storage.free_bytes,
            commit: state.commit,
            oldest_unanswered_ms: oldest,
        };
        whole(status, JSON, format!("{}\n", text(&readiness)))
    }

    /// The id of the present overview among events.
    pub fn event_id(&self) -> String {
        format!("{}-{}", self.started_ms, self.mirror.read().time)
    }

    /// The overview as JSON; the same for all who ask about one state.
    pub fn overview(&self) -> String {
        let time = self.mirror.read().time;
        let mut last = self.overview.lock().unwrap_or_else(PoisonError::into_inner);
        let is_present = |one: &&SharedOverview| one.time == time && one.made.elapsed() < SHARED_TIME_MAX;
        if let Some(shared) = last.as_ref().filter(is_present) {
            return shared.text.clone();
        }
        let snapshot = self.mirror.snapshot();
        let names = self.names_of(&snapshot);
        let storage = self.storage();
        let overview = Overview {
            snapshot: &snapshot,
            is_complete: self.mirror.read().is_complete,
            names,
            free_bytes: storage.free_bytes,
            free_bytes_min: storage.free_bytes_min,
            state: self.state.display().to_string(),
            receiving: (self.receiving)(),
            paused: pause_records(&self.state).unwrap_or_default(),
        };
        let text = text(&overview);
        *last = Some(SharedOverview { time, made: Instant::now(), text: text.clone() });
        text
    }

    /// The names of the requests that the overview lists.
    fn names_of(&self, snapshot: &LedgerSnapshot) -> BTreeMap<String, String> {
        let Ok(reader) = JournalReader::open(&self.state) else { return BTreeMap::new() };
        let waiting = snapshot.waiting.iter().map(|one| one.request);
        let numbers: BTreeSet<i64> = waiting.chain(snapshot.oldest.iter().map(|one| one.request)).collect();
        let names = numbers.into_iter().filter_map(|number| {
            let row = reader.row(number).ok().flatten()?;
            Some((number.to_string(), shown_name(&row, self.names)))
        });
        names.collect()
    }

    fn requests(&self, uri: &Uri) -> MonitorAnswer {
        let text = parameter(uri, "text").unwrap_or_default();
        let below = parameter(uri, "below").and_then(|below| below.parse().ok()).unwrap_or(i64::MAX);
        let states: Vec<RequestState> = match parameter(uri, "state").as_deref() {
            None | Some("") => RequestState::ALL.into(),
            Some("open") => RequestState::ALL.into_iter().filter(|state| state.is_open()).collect(),
            Some(name) => RequestState::ALL.into_iter().filter(|state| state.name() == name).collect(),
        };
        let found = JournalReader::open(&self.state).and_then(|reader| match text.trim() {
            "" => reader.page(below, &states, REQUESTS_MAX),
            text => find_requests(&reader, &SourceTable::built_in(), text).map(|mut rows| {
                rows.retain(|row| states.contains(&row.state) && row.number < below);
                rows.reverse();
                rows.truncate(REQUESTS_MAX);
                rows
            }),
        });
        match found {
            Ok(rows) => {
                let requests = rows.iter().map(|row| RequestSummary::of(row, self.names)).collect();
                answer(StatusCode::OK, &RequestList { requests })
            }
            Err(error) => failed(&error),
        }
    }

    /// `/api/requests/NUMBER`, or `/api/requests/NUMBER/files/NAME`
    fn part(&self, path: &str) -> MonitorAnswer {
        let rest = path.strip_prefix("/api/requests/").unwrap_or_default();
        let (number, below) =
            rest.split_once('/').map_or((rest, None), |(number, below)| (number, Some(below)));
        match (number.parse(), below.map(|below| below.strip_prefix("files/"))) {
            (Ok(number), None) => self.request(number),
            (Ok(number), Some(Some(name))) => self.file(number, name),
            _ => refusal(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    fn file(&self, number: i64, name: &str) -> MonitorAnswer {
        if self.names == NameDisplay::Hidden {
            return refusal(StatusCode::FORBIDDEN, "names are hidden here, and files may have some");
        }
        let history = JournalReader::open(&self.state).and_then(|reader| match reader.row(number)? {
            Some(_) => reader.history(number).map(Some),
            None => Ok(None),
        });
        let name = percent_decode_str(name).decode_utf8_lossy();
        match history {
            Ok(Some(history)) => match response_file(&self.state, &history, &name) {
                Ok(answer) => MonitorAnswer::Whole(answer),
                Err(refused) => {
                    let (status, why) = refused.told();
                    refusal(status, why)
                }
            },
            Ok(None) => refusal(StatusCode::NOT_FOUND, "there is no such request"),
            Err(error) => failed(&error),
        }
    }

    fn request(&self, number: i64) -> MonitorAnswer {
        let read = || -> Result<Option<ServedRequest>, JournalError> {
            let reader = JournalReader::open(&self.state)?;
            let Some(row) = reader.row(number)? else { return Ok(None) };
            let history = reader.history(number)?;
            let records = history.entries.iter().map(|dated| ServedRecord {
                time_ms: dated.time_ms,
                kind: dated.entry.kind(),
                what: told(&dated.entry, self.names),
            });
            let (waits, graph) = (self.waits(number), self.graph(number, &history));
            let request = RequestSummary::of(&row, self.names);
            let files = match (self.names, history.response()) {
                (NameDisplay::Shown, Some(response)) => response.files.clone(),
                (NameDisplay::Hidden, _) | (_, None) => Vec::new(),
            };
            Ok(Some(ServedRequest { request, waits, graph, files, records: records.collect() }))
        };
        match read() {
            Ok(Some(detail)) => answer(StatusCode::OK, &detail),
            Ok(None) => refusal(StatusCode::NOT_FOUND, "there is no such request"),
            Err(error) => failed(&error),
        }
    }

    /// The steps of a request, if its dataflow is known here.
    fn graph(&self, number: i64, history: &RequestHistory) -> Option<Vec<GraphStep>> {
        let wiring = history.version().and_then(|version| {
            let wirings = self.wirings.lock().unwrap_or_else(PoisonError::into_inner);
            wirings(version)
        })?;
        let state = self.mirror.read();
        let running = state.rows.keys().filter_map(|row| match row {
            ViewRow::Running(request, _, step) if *request == number => {
                Some(state.names.text(*step).to_owned())
            }
            _ => None,
        });
        Some(step_graph(&wiring, history, &running.collect()))
    }

    fn waits(&self, number: i64) -> Vec<WaitingRequest> {
        let state = self.mirror.read();
        let rows = state.rows.iter().filter(|(row, _)| match row {
            ViewRow::Waits(request, ..)
            | ViewRow::Running(request, ..)
            | ViewRow::RetryAt(request, ..)
            | ViewRow::NextTry(request, ..) => *request == number,
            _ => false,
        });
        let rows = rows.map(|(row, count)| (*row, *count)).collect();
        LedgerSnapshot::of(state.commit, &rows, &state.names).waiting
    }

    fn pause(&self, action: PauseAction, uri: &Uri, peer: &str) -> MonitorAnswer {
        let given = |name| parameter(uri, name);
        let part = pausing::named_part(given("dataflow"), given("step"), given("destination"));
        let Some(part) = part.filter(|part| pausing::is_known(part, &self.mirror.snapshot())) else {
            return refusal(StatusCode::NOT_FOUND, "there is no such dataflow, step or destination");
        };
        let who = format!("the status page at {peer}");
        match pausing::change(&self.state, action, part, who) {
            Ok(_) => {
                // The next overview says so at once.
                *self.overview.lock().unwrap_or_else(PoisonError::into_inner) = None;
                answer(StatusCode::ACCEPTED, &ActionNoted { noted: action.name() })
            }
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// `/api/requests/NUMBER/ACTION`
    fn act(&self, path: &str, peer: &str) -> MonitorAnswer {
        let order = path.strip_prefix("/api/requests/").and_then(|rest| rest.split_once('/'));
        let order = order.and_then(|(number, action)| {
            let action = match action {
                "cancel" => OperatorRequest::Cancel,
                "retry" => OperatorRequest::Retry,
                "keep" => OperatorRequest::Keep,
                "release" => OperatorRequest::Release,
                _ => return None,
            };
            Some((number.parse::<i64>().ok()?, action))
        });
        let Some((number, action)) = order else { return refusal(StatusCode::NOT_FOUND, "no such action") };
        let noted = || -> Result<Option<()>, WishError> {
            let reader = JournalReader::open(&self.state)?;
            let Some(row) = reader.row(number)? else { return Ok(None) };
            note_wish(&reader, &row, action, &format!("the status page at {peer}")).map(Some)
        };
        match noted() {
            Ok(Some(())) => answer(StatusCode::ACCEPTED, &ActionNoted { noted: action.name() }),
            Ok(None) => refusal(StatusCode::NOT_FOUND, "there is no such request"),
            Err(WishError::Pointless(why)) => refusal(StatusCode::CONFLICT, &format!("the request {why}")),
            Err(WishError::Journal(error)) => failed(&error),
        }
    }
}

/// A record in words. Where names are hidden, texts that may have one are general.
fn told(entry: &JournalEntry, names: NameDisplay) -> Value {
    match entry {
        JournalEntry::Run(run) => {
            let (outcome, (reason, remedy)) = match &run.outcome {
                Outcome::Done => ("done", Default::default()),
                Outcome::Failed(fault) => ("failed", shown_fault(fault, names)),
                Outcome::Skipped { .. } => ("skipped", Default::default()),
            };
            let outputs: Vec<&str> = run.outputs.iter().map(|output| output.name.as_str()).collect();
            let inputs: Vec<&String> = run.inputs.keys().collect();
            json!({"step": run.step, "item": run.item, "outcome": outcome, "reason": reason, "remedy": remedy,
                "took_us": run.took_us, "inputs": inputs, "outputs": outputs})
        }
        JournalEntry::Accepted { dataflow, request, .. } => {
            json!({"dataflow": dataflow, "items": request.items.len()})
        }
        JournalEntry::Responded { response } | JournalEntry::Interim { response } => {
            let files: Vec<String> = match names {
                NameDisplay::Shown => response.files.iter().map(|file| file.name.clone()).collect(),
                NameDisplay::Hidden => vec![format!("{} files", response.files.len())],
            };
            json!({"verdict": response.verdict.name(), "files": files})
        }
        JournalEntry::Delivered { destination, complete, detail, .. } => {
            json!({"destination": destination, "complete": complete, "detail": shown_detail(detail, names)})
        }
        JournalEntry::Sent { destination, detail, .. } => {
            json!({"destination": destination, "detail": shown_detail(detail, names)})
        }
        JournalEntry::Asked { what, who } => json!({"asked": what, "who": who}),
        JournalEntry::Late { items } => json!({"items": items.len()}),
        JournalEntry::TakenUp | JournalEntry::Began | JournalEntry::Undelivered | JournalEntry::Answered => {
            Value::Null
        }
    }
}

/// Reason and remedy of a fault. Where names are hidden, nothing that a program or a peer has worded.
fn shown_fault(fault: &Fault, names: NameDisplay) -> (String, String) {
    match (names, fault.origin) {
        (NameDisplay::Shown, _) => (fault.reason.clone(), fault.remedy.clone()),
        (NameDisplay::Hidden, FaultOrigin::Flow) => (general_fault(fault), fault.remedy.clone()),
        (NameDisplay::Hidden, FaultOrigin::Program) => (general_fault(fault), String::new()),
    }
}

/// What became of a delivery. Names of files and answers of a peer may have a name in them.
fn shown_detail(detail: &Value, names: NameDisplay) -> Value {
    match names {
        NameDisplay::Shown => detail.clone(),
        NameDisplay::Hidden => Value::Null,
    }
}

/// A parameter of the query, decoded.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    percent_decode_str(&value.replace('+', " ")).decode_utf8().ok().map(Cow::into_owned)
}

fn asset(kind: &'static str, text: &str) -> MonitorAnswer {
    whole(StatusCode::OK, kind, text.to_owned())
}

fn refusal(status: StatusCode, why: &str) -> MonitorAnswer {
    answer(status, &RefusalReason { error: why })
}

fn answer(status: StatusCode, value: &impl Serialize) -> MonitorAnswer {
    whole(status, JSON, text(value))
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn failed(error: &JournalError) -> MonitorAnswer {
    refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
}

fn whole(status: StatusCode, kind: &'static str, body: String) -> MonitorAnswer {
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
    MonitorAnswer::Whole(answer)
}
