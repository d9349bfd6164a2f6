//! The status page of a running flow, as a browser and a monitoring program ask for it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use flow::tls::TlsClient;
use serde_json::Value;

use super::Place;
use super::again::script;
use super::nodes::Listening;
use crate::support::certificates::Certificates;
use crate::support::peers::tool;
use crate::support::ports::free_port;

const STORESCU: &str = "/usr/bin/storescu";

/// Where the page is, with its token.
pub struct PageAddress {
    host: String,
    token: String,
}

impl PageAddress {
    fn port(&self) -> &str {
        self.host.rsplit(':').next().unwrap()
    }

    /// The page of a flow that serves it at a port.
    pub fn of(place: &Place, port: &str) -> PageAddress {
        let token = fs::read_to_string(place.path("flow-state/monitor.token")).unwrap().trim().to_owned();
        PageAddress { host: format!("127.0.0.1:{port}"), token }
    }

    /// The address that lets a browser in.
    pub fn entry(&self) -> String {
        format!("http://{}/?token={}", self.host, self.token)
    }

    /// The cookie that the browser gets when the address with the token is opened.
    fn cookie(&self) -> String {
        let (status, entered) = self.ask("GET", &format!("/?token={}", self.token), &[]);
        assert_eq!(status, 303);
        assert!(entered.contains("HttpOnly; SameSite=Strict"), "{entered}");
        let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
        format!("Cookie: {}", cookie.split(';').next().unwrap())
    }

    fn act(&self, number: u32, action: &str) {
        let path = format!("/api/requests/{number}/{action}");
        assert_eq!(self.ask("POST", &path, &[&self.bearer()]).0, 202, "{action}");
    }

    /// The status of an answer, with the whole of it.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.host).unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n");
        if !headers.iter().any(|header| header.starts_with("Host:")) {
            text += &format!("Host: {}\r\n", self.host);
        }
        headers.iter().for_each(|header| text += &format!("{header}\r\n"));
        stream.write_all(format!("{text}\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.expect("a status"), answer)
    }

    pub fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Asks until the answer has a text.
    pub fn until(&self, path: &str, expected: &str) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, answer) = self.ask("GET", path, &[&self.bearer()]);
            if answer.contains(expected) {
                return answer;
            }
            assert!(Instant::now() < end, "{expected:?} does not come to {path}: {answer}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A flow with a page.
pub fn start(place: &Place) -> (Listening, PageAddress) {
    let port = free_port().to_string();
    let flow = Listening::start(place, &["--page", &port, "script.yaml"]);
    (flow, PageAddress::of(place, &port))
}

#[test]
fn the_page_shows_what_happens_and_acts_for_whoever_has_the_token() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    place.study("one", 1);
    script(&place, "true");
    let (mut flow, page) = start(&place);
    flow.send(storescu, &place.path("one"));
    flow.line("answered");

    assert_eq!(page.ask("GET", "/health", &[]).0, 200);
    page.until("/ready", "\"ready\":true");
    let metrics =
        page.until("/metrics", "flow_requests_answered_total{dataflow=\"script\",answer=\"complete\"} 1");
    assert!(metrics.contains("flow_step_duration_seconds_count{dataflow=\"script\""), "{metrics}");

    for path in ["/", "/api/overview", "/api/requests", "/api/events", "/?token=0"] {
        assert_eq!(page.ask("GET", path, &[]).0, 403, "{path} without the token");
    }
    let cookie = page.cookie();
    assert!(cookie.contains(&format!("flow-monitor-{}=", page.port())), "a cookie of this port: {cookie}");
    let mut changes = TcpStream::connect(&page.host).unwrap();
    changes.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (host, bearer) = (&page.host, page.bearer());
    write!(changes, "GET /api/changes HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n\r\n").unwrap();
    let mut changes = BufReader::new(changes);
    let (status, html) = page.ask("GET", "/", &[&cookie]);
    assert!(status == 200 && html.contains("default-src 'none'"), "{html}");
    assert_eq!(page.ask("GET", "/", &[&cookie, "Host: evil.example"]).0, 403, "a name that leads here");
    assert_eq!(page.ask("GET", "/api/requests", &[&cookie, "Origin: http://evil.example"]).0, 403);

    let overview = page.until("/api/overview", "\"state\":\"answered\"");
    assert!(overview.contains("\"complete\":1"), "{overview}");
    assert!(page.until("/api/requests/1", "\"kind\":\"answered\"").contains("\"outcome\":\"done\""));
    assert_eq!(page.ask("GET", "/api/requests/../../etc/passwd", &[&cookie]).0, 404);
    assert_eq!(page.ask("POST", "/api/requests/1/keep", &[&cookie]).0, 405, "not from a page of ours");
    let origin = format!("Origin: http://{}", page.host);
    assert_eq!(page.ask("POST", "/api/requests/1/cancel", &[&cookie, &origin]).0, 409, "it is answered");
    assert_eq!(page.ask("POST", "/api/requests/1/keep", &[&cookie, &origin]).0, 202);
    page.until("/api/requests/1", "\"who\":\"the status page at 127.0.0.1\"");
    // Each event of the changes has an id one higher than the one before.
    let (mut lines, mut times) = (Vec::new(), Vec::new());
    while times.len() < 2 {
        let mut line = String::new();
        assert!(changes.read_line(&mut line).unwrap() > 0, "the changes go on: {lines:?}");
        if let Some(id) = line.strip_prefix("id: ") {
            times.push(id.trim().rsplit('-').next().unwrap().parse::<u64>().unwrap());
        }
        lines.push(line);
    }
    assert_eq!(times[1], times[0] + 1, "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("event: rows")), "{lines:?}");
    let data: Vec<&String> = lines.iter().filter(|line| line.starts_with("data: ")).collect();
    assert!(data.iter().all(|line| line.contains("\"is_complete\":")), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("\"table\":\"tally\"")), "{lines:?}");
    assert_eq!(flow.end(), 0);
}

#[test]
fn a_request_that_is_cancelled_on_the_page_is_shown_as_cancelled() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    place.study("one", 1);
    script(&place, "sleep 600");
    let (mut flow, page) = start(&place);
    flow.send(storescu, &place.path("one"));
    let begun = page.until("/api/requests/1", "\"kind\":\"began\"");
    assert!(begun.contains("\"cancelled\":false"), "{begun}");
    page.act(1, "cancel");
    let shown = page.until("/api/requests?state=answered", "\"cancelled\":true");
    assert!(shown.contains("\"failed\":true"), "{shown}");
    assert_eq!(flow.end(), 1, "it has an error response");
}

#[test]
fn with_tls_the_page_is_reached_by_the_names_of_its_certificate() {
    let Some(certificates) = Certificates::make() else { return };
    let place = Place::new();
    script(&place, "true");
    let identity = certificates.identity();
    let text = format!(
        "tls: {{certificate: {}, key: {}}}\npage: {{listen: 1, tls: server, token: own.token}}\n",
        identity.certificate.display(),
        identity.key.display()
    );
    fs::write(place.path("site.yaml"), text).unwrap();
    // A file that is not a token is not overwritten.
    fs::write(place.path("own.token"), "certificate\n").unwrap();
    let port = free_port().to_string();
    let arguments = ["run", "--listen", "0", "--site", "site.yaml", "--page", &port, "script.yaml"];
    let refused = place.run(&arguments);
    assert!(refused.code == 74 && refused.err.contains("own.token is not the token"), "{}", refused.err);
    assert!(refused.err.contains("hint: "), "{}", refused.err);
    assert_eq!(fs::read_to_string(place.path("own.token")).unwrap(), "certificate\n");
    let token = "secret,of;the=site&0123456789%ABCDEF";
    fs::write(place.path("own.token"), format!("{token}\n")).unwrap();
    let mut flow = Listening::start(&place, &arguments[3..]);
    let client = TlsClient::open(&certificates.authority(), None).unwrap();
    let ask = |host: &str, path: &str, header: &str| {
        let stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let mut stream = client.connect("localhost", stream).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n{header}\r\n")
            .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    for (host, status) in [("127.0.0.1", 200), ("flow.example", 200), ("evil.example", 403)] {
        let answer = ask(host, "/health", "");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
    }
    let entered = ask("flow.example", "/?token=secret%2Cof%3Bthe%3Dsite%260123456789%25ABCDEF", "");
    let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: ")).expect("a cookie");
    let cookie = format!("Cookie: {}\r\n", cookie.split(';').next().unwrap());
    assert!(ask("flow.example", "/", &cookie).starts_with("HTTP/1.1 200"));
    assert_eq!(flow.end(), 0);
}

#[test]
fn where_names_are_hidden_no_word_of_a_program_is_shown() {
    let place = Place::new();
    place.study("in", 1);
    script(&place, "echo doe jane was here >&2; exit 3");
    assert_eq!(place.run(&["run", "script.yaml", "--input", "in"]).code, 1);
    fs::write(place.path("site.yaml"), "page: {listen: 1, names: hidden}\n").unwrap();
    let port = free_port().to_string();
    let mut flow = Listening::start(&place, &["--site", "site.yaml", "--page", &port, "script.yaml"]);
    let page = PageAddress::of(&place, &port);
    let request = page.until("/api/requests/1", "\"outcome\":\"failed\"");
    let overview = page.until("/api/overview", "\"faults\":[{");
    for text in [&request, &overview] {
        assert!(text.contains("ended with exit code #"), "{text}");
        assert!(!text.contains("doe") && !text.contains("jane"), "{text}");
    }
    assert_eq!(flow.end(), 0);
}

/// The events of a page, as a browser reads them.
struct PageEvents(BufReader<TcpStream>);

impl PageEvents {
    /// A browser that comes back says the id of the last event that it has.
    fn open(page: &PageAddress, last: Option<&str>) -> PageEvents {
        let mut stream = TcpStream::connect(&page.host).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
        let (host, bearer) = (&page.host, page.bearer());
        let head = format!("GET /api/events HTTP/1.1\r\nHost: {host}\r\n{bearer}\r\n{last}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        PageEvents(BufReader::new(stream))
    }

    /// The next event: its id, and the number of the commit that its overview shows. `None` at the end.
    fn next(&mut self) -> Option<(String, i64)> {
        let mut line = String::new();
        let mut id = None;
        loop {
            line.clear();
            if self.0.read_line(&mut line).unwrap_or(0) == 0 {
                return None;
            }
            if let Some(given) = line.strip_prefix("id: ") {
                id = Some(given.trim().to_owned());
            }
            if let (Some(id), Some(data)) = (&id, line.strip_prefix("data: ")) {
                let overview: Value = serde_json::from_str(data).expect("an overview");
                return Some((id.clone(), overview["snapshot"]["commit"].as_i64().expect("a commit")));
            }
        }
    }

    /// Reads until an event shows a later commit.
    fn after(&mut self, commit: i64) -> (String, i64) {
        loop {
            let (id, shown) = self.next().expect("the events go on");
            assert!(shown >= commit, "commit {shown} after {commit}");
            if shown > commit {
                return (id, shown);
            }
        }
    }
}

#[test]
fn events_follow_the_journal_for_whoever_comes_back_and_after_a_kill() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    place.study("one", 1);
    script(&place, "true");
    let (mut flow, page) = start(&place);
    flow.send(storescu, &place.path("one"));
    flow.line("answered");
    page.until("/api/requests/1", "\"kind\":\"answered\"");

    let mut events = PageEvents::open(&page, None);
    let (mut id, mut commit) = events.next().expect("a first event");
    for action in ["keep", "release", "keep"] {
        page.act(1, action);
        (id, commit) = events.after(commit);
    }
    // Browsers that read nothing hold up neither the others nor the end.
    let idle: Vec<PageEvents> = (0..20).map(|_| PageEvents::open(&page, None)).collect();
    drop(events);
    let mut events = PageEvents::open(&page, Some(&id));
    page.act(1, "release");
    let (next, shown) = events.next().expect("an event");
    assert!(next != id && shown > commit, "{next} with commit {shown} after {id} with {commit}");

    let killed = std::process::Command::new("kill").args(["-KILL", &flow.id().to_string()]).status();
    assert!(killed.unwrap().success());
    while events.next().is_some() {}
    let port = free_port().to_string();
    drop(flow);
    let mut flow = Listening::start(&place, &["--page", &port, "script.yaml"]);
    let page = PageAddress::of(&place, &port);
    let mut events = PageEvents::open(&page, Some(&next));
    let (again, _) = events.next().expect("the id is that of another process");
    assert!(again.split('-').next() != next.split('-').next(), "{again} after {next}");
    events.after(shown - 1);
    assert_eq!(flow.end(), 0);
    drop(idle);
}
