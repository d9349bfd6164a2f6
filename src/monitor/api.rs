//! The paths of the server and their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use hyper::header::{HeaderValue, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Method, Response, StatusCode, Uri};

use crate::admission::{DataflowSelector, pause_records};
use crate::cluster::{ClusterStanding, cluster_standing};
use crate::journal::JournalReader;
use crate::ledger::{DestinationSummary, LedgerMirror, LedgerSnapshot, ViewRow, WiringLookup};
use crate::store::free_bytes;
use crate::tls::CertificateNames;

use super::access::{self, MonitorToken};
use super::answers::{Overview, Readiness, ReceivingStudy, shown_name};
use super::metrics::{StorageStatus, metrics_text};
use super::refusal_code::RefusalCode;
use super::replays::ReplayBoard;
use super::reply::{JSON, MonitorAnswer, TEXT, asset, parameter, refusal, text, whole};
use super::site::NameDisplay;
use super::texts::texts;

/// Declares that the study with a UID that is being received is complete, as somebody asked. Gives whether it is being
/// received.
pub type CompleteStudy = dyn Fn(&str, &str) -> io::Result<bool> + Send + Sync;

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
    /// The destinations on this machine, with reasons in general words.
    pub local: Box<dyn Fn() -> Vec<DestinationSummary> + Send + Sync>,
    /// Declares that a study is complete.
    pub complete_study: Box<CompleteStudy>,
    /// The choice of the dataflow for a request.
    pub dataflows: DataflowSelector,
    pub replays: ReplayBoard,
    /// The names in our certificate, if the connections are encrypted.
    pub certificate_names: Option<CertificateNames>,
}

/// An overview that was made.
pub struct SharedOverview {
    time: u64,
    cluster: ClusterStanding,
    made: Instant,
    text: String,
}

/// The longest time for which an overview is shared although the disk may have filled up meanwhile.
const SHARED_TIME_MAX: Duration = Duration::from_secs(5);

const HTML: &str = "text/html; charset=utf-8";
/// The sign in the tab of a browser.
const ICON: &str = include_str!("page.icon.svg");

/// The document that describes this API.
const OPENAPI: &str = include_str!("../../docs/src/reference/schemas/api.json");

impl MonitorApi {
    /// Answers a request from this address.
    pub fn answer(&self, method: &Method, uri: &Uri, headers: &HeaderMap, peer: &str) -> MonitorAnswer {
        let path = uri.path();
        if !access::is_direct(headers, self.certificate_names.as_ref()) {
            return refusal(StatusCode::FORBIDDEN, RefusalCode::OtherPage);
        }
        match (method, path) {
            (&Method::GET, "/health") => return self.health(),
            (&Method::GET, "/ready") => return self.ready(),
            (&Method::GET, "/metrics") => {
                // Counters that begin at 0 would look like events once the journal has been read.
                if !self.mirror.read().is_complete {
                    return refusal(StatusCode::SERVICE_UNAVAILABLE, RefusalCode::NotRead);
                }
                let text = metrics_text(&self.mirror.snapshot(), self.storage(), &self.cluster());
                return whole(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text);
            }
            (&Method::GET, "/page.js") => {
                return asset("text/javascript; charset=utf-8", include_str!("page.js"));
            }
            (&Method::GET, "/icon.svg") => return asset("image/svg+xml", ICON),
            (&Method::GET, "/page.texts.json") => return whole(StatusCode::OK, JSON, texts(headers)),
            (&Method::GET, "/api/openapi.json") => return asset(JSON, OPENAPI),
            (&Method::GET, "/page.css") => return asset("text/css; charset=utf-8", include_str!("page.css")),
            _ => {}
        }
        if let Some(token) = parameter(uri, "token").filter(|_| path == "/") {
            return match self.token.is(&token) {
                true => self.enter(headers),
                false => refusal(StatusCode::FORBIDDEN, RefusalCode::WrongToken),
            };
        }
        if !self.token.is_in(headers) {
            return refusal(StatusCode::FORBIDDEN, RefusalCode::NoToken);
        }
        match (method, path) {
            (&Method::GET, "/") => asset(HTML, include_str!("page.html")),
            (&Method::GET, "/api/overview") => whole(StatusCode::OK, JSON, self.overview()),
            (&Method::GET, "/api/events" | "/api/changes") => {
                let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
                if path == "/api/events" { MonitorAnswer::Events(last) } else { MonitorAnswer::Changes(last) }
            }
            (&Method::GET, "/api/requests") => self.requests(uri),
            (&Method::GET, "/api/rules") => self.rules(),
            (&Method::GET, "/api/choice") => self.choice(uri),
            (&Method::GET, _) => self.part(path),
            (&Method::POST, _) if access::may_change(headers) => self.order(path, uri, peer),
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, RefusalCode::NotDone),
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

    /// How the processes stand; nothing, where there is only one.
    pub fn cluster(&self) -> ClusterStanding {
        let standing = cluster_standing(&self.state).unwrap_or_default();
        let is_alone = standing.processes.len() < 2;
        ClusterStanding { processes: if is_alone { Vec::new() } else { standing.processes }, ..standing }
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
        let cluster = self.cluster();
        let is_present = |one: &&SharedOverview| {
            one.time == time && one.cluster == cluster && one.made.elapsed() < SHARED_TIME_MAX
        };
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
            local: (self.local)(),
            missing: cluster.missing(),
            processes: cluster.processes.clone(),
            paused: pause_records(&self.state).unwrap_or_default(),
        };
        let text = text(&overview);
        *last = Some(SharedOverview { time, cluster, made: Instant::now(), text: text.clone() });
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
}
