//! An answer that comes piece by piece: server-sent events (WHATWG HTML, 9.2) in the answer to a POST.

use std::io::{self, BufRead, BufReader, Read};
use std::time::Instant;

use crate::step::{CallAttempt, CallFault, CancelToken, Fault, FaultKind};

use super::client::{ANSWER_BYTES_MAX, CIRCUITS, PostAnswer, ServicePost, has_answered, service, unanswered};

/// The longest line of an answer, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// How an answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamedAnswer {
    /// As events, each of which was given on.
    Events,
    /// As one body, from a service that sends no events.
    Whole(Vec<u8>),
}

/// The part of an answer that is still wanted after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventProgress {
    /// More events: without them the answer is broken off.
    More,
    /// Further events, if there are any. The answer is whole without them.
    Enough,
    /// Nothing more.
    Stop,
}

/// The function that takes the data of each event.
pub type TakeEvent<'a> = dyn FnMut(&str) -> EventProgress + 'a;

impl ServicePost<'_> {
    /// Sends it, and gives on the data of each event as it comes. The time of the attempt counts for all of them.
    ///
    /// # Errors
    /// As [`ServicePost::send`]; a temporary fault if the answer breaks off, and that of a cancelled run.
    pub fn stream(
        &self,
        attempt: &CallAttempt,
        token: &CancelToken,
        take: &mut TakeEvent,
    ) -> Result<StreamedAnswer, CallFault> {
        let service = service(self.url);
        let pass = CIRCUITS.enter(service, Instant::now())?;
        match self.events(service, attempt, token, take) {
            Ok(answer) => {
                CIRCUITS.succeeded(service, Instant::now());
                Ok(answer)
            }
            Err(EventFailure::OfService(fault)) => {
                CIRCUITS.failed(service, pass, &fault.fault.reason, Instant::now());
                Err(fault)
            }
            Err(EventFailure::OfRequest(fault)) => {
                CIRCUITS.succeeded(service, Instant::now());
                Err(fault)
            }
        }
    }

    fn events(
        &self,
        service: &str,
        attempt: &CallAttempt,
        token: &CancelToken,
        take: &mut TakeEvent,
    ) -> Result<StreamedAnswer, EventFailure> {
        let unanswered = |error: ureq::Error| match has_answered(&error) {
            true => EventFailure::OfRequest(unanswered(service, &error)),
            false => EventFailure::OfService(unanswered(service, &error)),
        };
        let answer = self.open(attempt, "text/event-stream, application/json").map_err(unanswered)?;
        let kind = answer.headers().get("Content-Type").and_then(|kind| kind.to_str().ok());
        let has_events = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        if !has_events || !answer.status().is_success() {
            let answer = PostAnswer::read(answer).map_err(unanswered)?;
            let failed = answer.status >= 500;
            return answer.taken_wordless(service).map(StreamedAnswer::Whole).map_err(|fault| match failed {
                true => EventFailure::OfService(fault),
                false => EventFailure::OfRequest(fault),
            });
        }
        let body = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).reader();
        let broken = |error: io::Error| EventFailure::OfService(broken_off(service, &error).into());
        let mut lines = EventLines { from: BufReader::new(body), line: Vec::new(), data: String::new() };
        let mut progress = EventProgress::More;
        while progress != EventProgress::Stop {
            let data = match lines.next() {
                Ok(Some(data)) => data,
                Ok(None) => break,
                Err(_) if progress == EventProgress::Enough => break,
                Err(error) => return Err(broken(error)),
            };
            token.check().map_err(|fault| EventFailure::OfRequest(fault.into()))?;
            progress = take(data);
        }
        Ok(StreamedAnswer::Events)
    }
}

/// The failure that ended the events: only that of the service counts for its circuit.
enum EventFailure {
    OfService(CallFault),
    OfRequest(CallFault),
}

fn broken_off(service: &str, error: &io::Error) -> Fault {
    let kind = match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => FaultKind::TimedOut,
        _ => FaultKind::Transient,
    };
    let reason = format!("the answer of {service} broke off: {error}");
    Fault::of(
        kind,
        reason,
        "See to the service and the network, and run the request again with `flow retry`.",
    )
}

/// The events of a body.
struct EventLines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    data: String,
}

impl<R: Read> EventLines<R> {
    /// The data of the next event; nothing at the end of the body.
    fn next(&mut self) -> io::Result<Option<&str>> {
        self.data.clear();
        let mut has_data = false;
        loop {
            self.line.clear();
            let read = (&mut self.from).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line)?;
            if read as u64 == LINE_BYTES_MAX {
                return Err(io::Error::other("a line is too long"));
            }
            let line = String::from_utf8_lossy(&self.line);
            let line = line.trim_end_matches(['\n', '\r']);
            if read == 0 || line.is_empty() {
                if has_data {
                    return Ok(Some(&self.data));
                }
                if read == 0 {
                    return Ok(None);
                }
                continue;
            }
            // Other fields, and comments that begin with a colon, say nothing here.
            let Some(data) = line.strip_prefix("data:") else { continue };
            if has_data {
                self.data.push('\n');
            }
            self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            has_data = true;
        }
    }
}

/// The data of all events of a body.
#[cfg(any(test, fuzzing))]
pub fn data_of_events(body: &[u8]) -> io::Result<Vec<String>> {
    let mut lines = EventLines { from: BufReader::new(body), line: Vec::new(), data: String::new() };
    let mut events = Vec::new();
    while let Some(data) = lines.next()? {
        events.push(data.to_owned());
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::step::Digest;

    /// The data of the events of an answer, from a server that sends these bytes and then holds the connection, or closes
    /// it before the end of the body.
    fn streamed(body: &str, holds: bool) -> Result<Vec<String>, String> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (release, held) = std::sync::mpsc::channel::<()>();
        let body = body.to_owned();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n";
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            if holds {
                let _ = held.recv();
            }
        });
        let post = ServicePost { url: &url, headers: &[], body: b"{}" };
        let attempt = CallAttempt { key: Digest::of(b""), timeout: Duration::from_secs(60) };
        let mut events = Vec::new();
        let mut take = |data: &str| {
            events.push(data.to_owned());
            match data {
                "enough" => EventProgress::Enough,
                "stop" => EventProgress::Stop,
                _ => EventProgress::More,
            }
        };
        let ended = post.stream(&attempt, &CancelToken::default(), &mut take);
        drop(release);
        server.join().unwrap();
        ended.map(|_| events).map_err(|failed| failed.fault.reason)
    }

    #[test]
    fn an_answer_that_is_whole_needs_no_end_of_its_body() {
        let began = Instant::now();
        assert_eq!(streamed("data: a\n\ndata: stop\n\n", true).unwrap(), ["a", "stop"]);
        assert!(began.elapsed() < Duration::from_secs(30), "the server still holds the connection");
        assert_eq!(streamed("data: a\n\ndata: enough\n\n", false).unwrap(), ["a", "enough"]);
        assert!(streamed("data: a\n\ndata: b\n\n", false).unwrap_err().contains("broke off"));
    }

    fn events(text: &str) -> Vec<String> {
        data_of_events(text.as_bytes()).unwrap()
    }

    #[test]
    fn events_are_taken_line_by_line() {
        let text =
            ": hello\r\n\r\ndata: {\"a\":1}\r\n\r\nevent: x\ndata:b\ndata:  c\n\n\nid: 7\n\ndata: last";
        assert_eq!(events(text), ["{\"a\":1}", "b\n c", "last"]);
        assert_eq!(events(""), [""; 0]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let text = format!("data: {}", "x".repeat(LINE_BYTES_MAX as usize));
        let mut lines =
            EventLines { from: BufReader::new(text.as_bytes()), line: Vec::new(), data: String::new() };
        assert!(lines.next().is_err());
    }
}
