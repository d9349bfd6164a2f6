//! The server of the status page under attack: many readers of many requests, forged tokens, other origins, hostile names,
//! and clocks that jump.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use flow::admission::{DataflowSelector, PauseRecord, pause_part};
use flow::dataflow::{Dataflow, Response, ResponseVerdict};
use flow::engine::PausablePart;
use flow::journal::{Journal, JournalEntry, RequestArrival};
use flow::ledger::{Ledger, LedgerNotice, LedgerSettings, StepWiring, TABLES};
use flow::monitor::{MonitorApi, MonitorServer, MonitorToken, NameDisplay, ReplayBoard};
use flow::step::{AttributeValues, Digest, Item, Request, StepTable};
use flow::store::Store;
use serde_json::Value;

use crate::support::peers::{DEADLINE, until};
use crate::support::scripts::Script;

/// A server with its journal and ledger, in this process.
struct Served {
    address: SocketAddr,
    token: String,
    server: MonitorServer,
    ledger: Ledger,
    journal: Journal,
    folder: tempfile::TempDir,
}

impl Served {
    fn start(names: NameDisplay) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().to_owned();
        let journal = Journal::open(&state, Arc::new(Store::at(state.join("store")).unwrap()), 0).unwrap();
        let wiring = |_: Digest| Some(StepWiring::chain(&["work"]));
        let settings = LedgerSettings {
            state: state.clone(),
            wirings: Box::new(wiring),
            declared: Vec::new(),
            apart: LedgerSettings::APART,
        };
        let ledger = Ledger::start(&journal, settings).unwrap();
        let token = MonitorToken::at(&state.join(MonitorToken::FILE)).unwrap();
        let dataflow = Dataflow::load("ct-lung", &StepTable::built_in()).unwrap();
        let api = MonitorApi {
            state,
            mirror: Arc::clone(ledger.mirror()),
            token: token.clone(),
            free_bytes_min: 0,
            overview: Mutex::default(),
            started_ms: 1,
            names,
            wirings: Mutex::new(Box::new(wiring)),
            receiving: Box::new(Vec::new),
            local: Box::new(Vec::new),
            complete_study: Box::new(|study, _| Ok(study == "1.2.3")),
            dataflows: DataflowSelector::only(dataflow),
            replays: ReplayBoard::new(Arc::new(|_, _, _| Err("nothing is recorded".to_owned()))),
            certificate_names: None,
        };
        let server = MonitorServer::start(TcpListener::bind("127.0.0.1:0").unwrap(), api, None).unwrap();
        Served { address: server.address(), token: token.text().to_owned(), server, ledger, journal, folder }
    }

    fn state(&self) -> &Path {
        self.folder.path()
    }

    /// A connection on which something was asked.
    fn open(&self, method: &str, path: &str, headers: &[&str]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\nContent-Length: 0\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            text += &format!("Host: {}\r\n", self.address);
        }
        headers.iter().for_each(|header| text += &format!("{header}\r\n"));
        stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
        let mut answer = String::new();
        let mut stream = self.open(method, path, &[headers, &["Connection: close"]].concat());
        stream.read_to_string(&mut answer).unwrap();
        (answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status"), answer)
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Events of a path from the one with an id on, each with its id, kind and data.
    fn events(
        &self,
        path: &str,
        last: Option<&str>,
    ) -> impl Iterator<Item = (String, String, Value)> + use<> {
        let last = last.map(|last| format!("Last-Event-ID: {last}"));
        let headers: Vec<String> = [Some(self.bearer()), last].into_iter().flatten().collect();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        let mut lines = BufReader::new(self.open("GET", path, &headers)).lines();
        let (mut id, mut kind) = (String::new(), String::new());
        std::iter::from_fn(move || {
            loop {
                let line = lines.next()?.ok()?;
                if let Some(given) = line.strip_prefix("id: ") {
                    id = given.to_owned();
                } else if let Some(given) = line.strip_prefix("event: ") {
                    kind = given.to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    return Some((id.clone(), kind.clone(), serde_json::from_str(data).unwrap()));
                }
            }
        })
    }

    /// Accepts a request, and answers it if `answered`.
    fn request(&self, request: Request, answered: bool) {
        let (version, dataflow) = (Digest::of(b"version"), "ct-lung".to_owned());
        let (id, name) = (request.id, request.name.clone());
        let request = Arc::new(request);
        let lookup_texts = Vec::new();
        let arrival = RequestArrival { request, dataflow, version, program: version, lookup_texts };
        let receipt = self.journal.accept(arrival).unwrap();
        let response = Response {
            request: id,
            name,
            dataflow: "ct-lung".into(),
            version,
            verdict: ResponseVerdict::Complete,
            steps: Vec::new(),
            reservations: Vec::new(),
            streams: Vec::new(),
            files: Vec::new(),
            supersedes: None,
            revises: None,
        };
        if answered {
            self.journal.append_surely(&receipt, JournalEntry::Responded { response });
            self.journal.append_surely(&receipt, JournalEntry::Answered);
        }
    }

    fn end(self) {
        drop(self.server);
        drop(self.ledger);
    }
}

fn numbered(number: usize) -> Request {
    let attributes = [("source".to_owned(), AttributeValues::from("dicom"))];
    Request::new(format!("r{number}"), attributes.into(), vec![Item::inline("a", number.to_le_bytes())])
}

const PAGES: usize = 10;
const WRITERS: usize = 8;

/// The answered requests that an overview shows.
fn answered(overview: &Value) -> i64 {
    let standing = overview["snapshot"]["standing"].as_array().unwrap();
    let answered = standing.iter().filter(|one| one["state"] == "answered");
    answered.map(|one| one["requests"].as_i64().unwrap()).sum()
}

/// Adds rows or changes to the counts of rows; a row that nothing is left of goes.
fn fold(counts: &mut BTreeMap<String, i64>, rows: &Value) {
    for row in rows.as_array().unwrap() {
        let mut row = row.as_object().unwrap().clone();
        let (_, columns) = TABLES.iter().find(|(name, _)| row["table"] == *name).expect("a table");
        let count = row.remove(*columns.last().unwrap()).and_then(|count| count.as_i64()).expect("a count");
        let key = serde_json::to_string(&row).unwrap();
        *counts.entry(key.clone()).or_default() += count;
        counts.retain(|known, count| *known != key || *count != 0);
    }
}

/// The rows at an event of the changes that has all requests answered, for a reader that comes back whenever it is left
/// behind.
fn follow(served: &Served, requests: i64) -> BTreeMap<String, i64> {
    let (mut counts, mut last) = (BTreeMap::new(), None::<String>);
    loop {
        for (id, kind, data) in served.events("/api/changes", last.as_deref()) {
            let time = |id: &str| id.split_once('-').unwrap().1.parse::<u64>().unwrap();
            match kind.as_str() {
                "rows" => {
                    counts.clear();
                    fold(&mut counts, &data["rows"]);
                }
                _ => {
                    let gap = last.as_ref().is_some_and(|last| time(&id) > time(last) + 1);
                    assert!(!gap, "{id} after {last:?}");
                    fold(&mut counts, &data["changes"]);
                }
            }
            last = Some(id);
            let is_it = |row: &String| row.contains("\"standing\"") && row.contains("\"answered\"");
            let answered: i64 = counts.iter().filter(|(row, _)| is_it(row)).map(|(_, count)| count).sum();
            if answered == requests {
                return counts;
            }
        }
    }
}

/// With `FLOW_PAGE_REQUESTS` there are so many requests.
#[test]
fn ten_pages_and_ten_programs_watch_ten_thousand_requests() {
    let requests = std::env::var("FLOW_PAGE_REQUESTS").ok().and_then(|count| count.parse().ok());
    let requests: usize = requests.unwrap_or(10_000);
    let served = Served::start(NameDisplay::Shown);
    // Nobody reads these.
    let headers = [served.bearer()];
    let idle: Vec<TcpStream> =
        (0..5).map(|_| served.open("GET", "/api/events", &[headers[0].as_str()])).collect();
    let total = requests as i64;
    let followed = std::thread::scope(|scope| {
        let pages = (0..PAGES).map(|_| {
            scope.spawn(|| {
                let mut commit = 0;
                for (_, _, overview) in served.events("/api/events", None) {
                    let shown = overview["snapshot"]["commit"].as_i64().unwrap();
                    assert!(shown >= commit, "commit {shown} after {commit}");
                    commit = shown;
                    if answered(&overview) == total {
                        return;
                    }
                }
                panic!("the events end before all is answered");
            })
        });
        let pages: Vec<_> = pages.collect();
        let programs: Vec<_> = (0..PAGES).map(|_| scope.spawn(|| follow(&served, total))).collect();
        for writer in 0..WRITERS {
            let served = &served;
            scope.spawn(move || {
                (writer..requests).step_by(WRITERS).for_each(|number| served.request(numbered(number), true));
            });
        }
        pages.into_iter().for_each(|page| page.join().unwrap());
        programs.into_iter().map(|program| program.join().unwrap()).collect::<Vec<_>>()
    });
    let fresh = follow(&served, total);
    assert!(followed.iter().all(|rows| *rows == fresh), "each has the rows of a new reader");
    // A search among so many takes no longer than a person waits, and gives no more than a page.
    let (status, found) = served.ask("GET", "/api/requests", &[&headers[0]]);
    assert_eq!((status, found.matches("\"number\":").count()), (200, 100));
    let (_, found) = served.ask("GET", "/api/requests?text=r77", &[&headers[0]]);
    assert!(found.contains("\"name\":\"r77\""), "{found}");
    drop(idle);
    served.end();
}

const GETS: [&str; 10] = [
    "/",
    "/api/overview",
    "/api/events",
    "/api/changes",
    "/api/requests",
    "/api/requests/1",
    "/api/requests/1/replay",
    "/api/requests/1/files/a",
    "/api/rules",
    "/api/choice?request=1",
];
const POSTS: [&str; 9] = [
    "/api/requests/1/cancel",
    "/api/requests/1/retry",
    "/api/requests/1/hurry",
    "/api/requests/1/keep",
    "/api/requests/1/release",
    "/api/requests/1/replay",
    "/api/complete?study=1.2.3",
    "/api/pause?dataflow=ct-lung",
    "/api/resume?dataflow=ct-lung",
];

#[test]
fn forged_tokens_and_other_origins_get_nothing() {
    let served = Served::start(NameDisplay::Shown);
    served.request(numbered(1), false);
    let (token, bearer) = (served.token.clone(), served.bearer());
    let (host, port) = (served.address.to_string(), served.address.port());
    let cookie = Digest::of(token.as_bytes());
    let forged = [
        "X: y".to_owned(),
        "Authorization: Bearer ".to_owned(),
        format!("Authorization: Bearer {}", &token[1..]),
        format!("Authorization: Bearer {token}0"),
        format!("Authorization: Bearer {}", token.to_uppercase()),
        format!("Authorization: Basic {token}"),
        format!("Cookie: flow-monitor-{port}={token}"),
        format!("Cookie: flow-monitor-{}={cookie}", port - 1),
        format!("Cookie: flow-monitor={cookie}"),
    ];
    let elsewhere = [
        "Host: evil.example".to_owned(),
        format!("Host: evil.example:{port}"),
        "Origin: null".to_owned(),
        "Origin: http://evil.example".to_owned(),
        format!("Origin: http://127.0.0.1:{}", port - 1),
        format!("Origin: http://{host}.evil.example"),
        "Sec-Fetch-Site: cross-site".to_owned(),
        "Sec-Fetch-Site: same-site".to_owned(),
    ];
    let all = GETS.map(|path| ("GET", path)).into_iter().chain(POSTS.map(|path| ("POST", path)));
    for (method, path) in all {
        for header in &forged {
            assert_eq!(served.ask(method, path, &[header]).0, 403, "{method} {path} with {header}");
        }
        for header in &elsewhere {
            assert_eq!(served.ask(method, path, &[&bearer, header]).0, 403, "{method} {path} with {header}");
        }
        let with_token = format!("{path}{}token={token}", if path.contains('?') { "&" } else { "?" });
        if path != "/" {
            assert_eq!(served.ask(method, &with_token, &[]).0, 403, "the token opens the page alone: {path}");
        }
    }
    // A page elsewhere can make a browser post with our cookie, but not say that it is ours.
    let cookie = format!("Cookie: flow-monitor-{port}={cookie}");
    for path in POSTS {
        assert_eq!(served.ask("POST", path, &[&cookie]).0, 405, "{path}");
    }
    assert!(!served.state().join("pauses.json").exists(), "nothing was done");
    assert_eq!(served.ask("POST", "/api/complete?study=1.2.4", &[&bearer]).0, 404);
    assert_eq!(served.ask("POST", "/api/complete?study=1.2.3", &[&bearer]).0, 202);
    served.end();
}

/// A browser that shows requests with these names, and their page and rules: nothing of them is run.
const LOOK: &str = r##"
import sys
from playwright.sync_api import expect, sync_playwright
url, names = sys.argv[1], sys.argv[2:]
expect.set_options(timeout=110_000)
with sync_playwright() as play:
    page = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"]).new_page(locale="en-GB")
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    page.on("console", lambda line: line.type == "error" and errors.append(line.text))
    page.goto(url)
    page.goto(url.split("?")[0] + "#requests")
    found = page.locator("#found")
    for name in names:
        expect(found.get_by_role("link", name=name, exact=True)).to_have_count(1)
    for number in range(1, len(names) + 1):
        page.goto(url.split("?")[0] + f"#request/{number}")
        expect(page.locator("h2").first).to_have_text(names[number - 1])
        page.goto(url.split("?")[0] + f"#rules?request={number}")
        expect(page.get_by_role("region", name="Answer")).to_contain_text("patient_name=" + names[number - 1])
    assert page.title() == "flow", page.title()
    assert not page.locator("main script, main img, main iframe, main b script").count()
    assert all(one.startswith(url.split("?")[0]) or one.startswith("data:") for one in asked), asked
    assert not errors, errors
print("done")
"##;

#[test]
fn script_in_a_name_and_a_path_in_a_name_are_only_text() {
    let served = Served::start(NameDisplay::Shown);
    let names = [
        "<img src=x onerror=\"document.title='owned'\">",
        "<script>alert(1)</script>",
        "../../../etc/passwd",
        "javascript:alert(1)",
        "{name} {count} &lt;b&gt;",
    ];
    for (number, name) in names.iter().enumerate() {
        let attributes = [("source", "dicom"), ("patient_name", *name)];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), AttributeValues::from(value)));
        let item = Item::inline("a", number.to_le_bytes());
        served.request(Request::new((*name).to_owned(), attributes.into(), vec![item]), false);
    }
    let bearer = served.bearer();
    let (_, list) = served.ask("GET", "/api/requests", &[&bearer]);
    assert!(list.contains("content-type: application/json") && list.contains("nosniff"), "{list}");
    let traversals = [
        "/api/requests/..%2f..%2fetc%2fpasswd",
        "/api/requests/1/../../state",
        "/api/requests/1/files/..%2fa",
    ];
    for path in traversals.into_iter().chain(["/../monitor.token", "/api/requests/1/files//etc/passwd"]) {
        assert_eq!(served.ask("GET", path, &[&bearer]).0, 404, "{path}");
    }
    assert_eq!(served.ask("POST", "/api/pause?dataflow=..%2f..%2fx", &[&bearer]).0, 404);
    let url = format!("http://{}/?token={}", served.address, served.token);
    let arguments: Vec<&str> = [url.as_str()].into_iter().chain(names).collect();
    if std::path::Path::new("/usr/bin/chromium").exists()
        && let Some(browser) = Script::start("playwright", LOOK, &arguments)
    {
        assert_eq!(browser.rest(), "done");
    }
    served.end();

    let hidden = Served::start(NameDisplay::Hidden);
    let attributes = [("patient_name", "Doe^Jane"), ("modality", "CT")];
    let attributes = attributes.map(|(name, value)| (name.to_owned(), AttributeValues::from(value)));
    let item = Item::inline("a", *b"a");
    hidden.request(Request::new("Doe^Jane".to_owned(), attributes.into(), vec![item]), false);
    for path in GETS.into_iter().filter(|path| path.contains("requests") || path.contains("choice")) {
        let (_, answer) = hidden.ask("GET", path, &[&hidden.bearer()]);
        assert!(!answer.contains("Doe"), "{path}: {answer}");
    }
    hidden.end();
}

#[test]
fn times_of_clocks_that_jump_are_shown_and_break_nothing() {
    let served = Served::start(NameDisplay::Shown);
    served.request(numbered(1), false);
    let notify = served.ledger.notices();
    for (time, who) in [(i64::MAX, "the end of time"), (-1, "before 1970"), (i64::MIN, "the beginning")] {
        let request = numbered(1).id;
        notify(LedgerNotice::NextTry { request, destination: who.to_owned(), at_ms: time });
        notify(LedgerNotice::RetryAt { request, step: "work".to_owned(), at_ms: time });
        let paused = PausablePart::Destination(who.to_owned());
        pause_part(served.state(), PauseRecord { paused, since_ms: time, who: who.to_owned() }).unwrap();
    }
    let bearer = served.bearer();
    until("it is shown", || {
        let (status, answer) = served.ask("GET", "/api/overview", &[&bearer]);
        assert_eq!(status, 200);
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let overview: Value = serde_json::from_str(body).expect("JSON");
        let paused = overview["paused"].as_array().unwrap();
        (paused.len() == 3 && overview["snapshot"]["open"][0]["requests"] == 1).then_some(())
    });
    let (status, request) = served.ask("GET", "/api/requests/1", &[&bearer]);
    assert!(status == 200 && request.contains("\"waits\":[{"), "{request}");
    served.end();
}
