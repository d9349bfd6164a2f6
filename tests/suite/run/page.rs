//! The status page of a running flow, as a browser and a monitoring program ask for it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::Place;
use super::again::script;
use super::nodes::Listening;
use crate::support::peers::tool;
use crate::support::ports::free_port;

const STORESCU: &str = "/usr/bin/storescu";

/// Where the page is, with its token.
struct PageAddress {
    host: String,
    token: String,
}

impl PageAddress {
    /// The status of an answer, with the whole of it.
    fn ask(&self, method: &str, path: &str, headers: &[&str]) -> (u16, String) {
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

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}", self.token)
    }

    /// Asks until the answer has a text.
    fn until(&self, path: &str, expected: &str) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, answer) = self.ask("GET", path, &[&self.bearer()]);
            if answer.contains(expected) {
                return answer;
            }
            assert!(Instant::now() < end, "{expected:?} does not come to {path}: {answer}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_page_shows_what_happens_and_acts_for_whoever_has_the_token() {
    let Some(storescu) = tool(STORESCU) else { return };
    let place = Place::new();
    place.study("one", 1);
    script(&place, "true");
    let port = free_port().to_string();
    let mut flow = Listening::start(&place, &["--page", &port, "script.yaml"]);
    let token = fs::read_to_string(place.path("flow-state/monitor.token")).unwrap().trim().to_owned();
    let page = PageAddress { host: format!("127.0.0.1:{port}"), token };
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
    let (status, entered) = page.ask("GET", &format!("/?token={}", page.token), &[]);
    assert_eq!(status, 303);
    assert!(entered.contains("HttpOnly; SameSite=Strict"), "{entered}");
    let cookie = format!("Cookie: flow-monitor={}", page.token);
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
    assert_eq!(flow.end(), 0);
}
