//! The HTTP client: one attempt at one POST.

use std::io::Read;
use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ureq::http::{HeaderName, HeaderValue, Uri, header};

use crate::step::{CallAttempt, CallFault, Fault, FaultKind};

use super::circuit::ServiceCircuits;

/// The largest body of an answer, in bytes.
pub const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// So much is read of the words of a refusal.
const REFUSAL_BYTES_MAX: u64 = 64 << 10;

/// Connections that are kept for further calls, for each service.
const IDLE_MAX: usize = 64;

pub static CIRCUITS: ServiceCircuits = ServiceCircuits::new();

/// Notes the services that are left alone in the state folder, as those of the process with this index.
pub fn note_circuits_in(state: &Path, process: usize) {
    CIRCUITS.note_in(state, process);
}

/// A POST of JSON.
pub struct ServicePost<'a> {
    pub url: &'a str,
    /// Further header fields, by name.
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

impl ServicePost<'_> {
    /// Sends it and gives the body of the answer.
    ///
    /// # Errors
    /// A temporary fault if the service does not answer, is busy or has failed; a fault in the data if it refuses.
    pub fn send(&self, attempt: &CallAttempt) -> Result<Vec<u8>, CallFault> {
        let service = service(self.url);
        let pass = CIRCUITS.enter(service, Instant::now())?;
        let answered = self.exchange(attempt);
        match &answered {
            Ok(PostAnswer { status: status @ 500.., .. }) => {
                let reason = format!("it answered with status {status}");
                CIRCUITS.failed(service, pass, &reason, Instant::now());
            }
            Err(error) if !has_answered(error) => {
                CIRCUITS.failed(service, pass, &error.to_string(), Instant::now())
            }
            _ => CIRCUITS.succeeded(service, Instant::now()),
        }
        taken(service, answered)
    }

    /// Sends it as [`ServicePost::send`] does, without regard to the circuit of its service: neither may keep the
    /// other from being sent.
    ///
    /// # Errors
    /// As [`ServicePost::send`].
    pub fn send_alone(&self, attempt: &CallAttempt) -> Result<Vec<u8>, CallFault> {
        taken(service(self.url), self.exchange(attempt))
    }

    /// Sends it, and gives the answer as soon as its head is there.
    pub(super) fn open(
        &self,
        attempt: &CallAttempt,
        accept: &str,
    ) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let config = agent().post(self.url).config().timeout_global(Some(attempt.timeout));
        // A proxy, which is elsewhere, does not reach the services of this machine.
        let config = if is_on_this_machine(self.url) { config.proxy(None) } else { config };
        let post = config.build();
        let post = post.header("Content-Type", "application/json").header("Accept", accept);
        let post = post.header("Idempotency-Key", attempt.key.to_string());
        self.headers.iter().fold(post, |post, (name, value)| post.header(*name, *value)).send(self.body)
    }

    fn exchange(&self, attempt: &CallAttempt) -> Result<PostAnswer, ureq::Error> {
        PostAnswer::read(self.open(attempt, "application/json")?)
    }
}

/// The body of an answer that says that it was taken.
fn taken(service: &str, answered: Result<PostAnswer, ureq::Error>) -> Result<Vec<u8>, CallFault> {
    answered.map_err(|error| unanswered(service, &error))?.taken(service)
}

impl PostAnswer {
    /// Reads the body of an answer.
    pub fn read(mut answer: ureq::http::Response<ureq::Body>) -> Result<PostAnswer, ureq::Error> {
        let retry_after = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let status = answer.status().as_u16();
        let body = if answer.status().is_success() {
            answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?
        } else {
            let mut said = Vec::new();
            answer.body_mut().as_reader().take(REFUSAL_BYTES_MAX).read_to_end(&mut said)?;
            said
        };
        Ok(PostAnswer { status, retry_after, body })
    }

    /// The body, if the service has taken what was sent.
    pub fn taken(self, service: &str) -> Result<Vec<u8>, CallFault> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let said = String::from_utf8_lossy(&self.body[..self.body.len().min(200)]).trim().to_owned();
        Err(self.refused(service, &said))
    }

    /// The body, as [`PostAnswer::taken`] gives it. A refusal says status and code alone: services repeat in their words
    /// what they were asked.
    pub fn taken_wordless(self, service: &str) -> Result<Vec<u8>, CallFault> {
        if (200..300).contains(&self.status) {
            return Ok(self.body);
        }
        let code = error_code(&self.body).unwrap_or_default();
        Err(self.refused(service, &code))
    }

    fn refused(&self, service: &str, said: &str) -> CallFault {
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        let reason = format!("{service} answered with status {}{said}", self.status);
        match self.status {
            408 | 425 | 429 | 500.. => {
                let fault = Fault::transient(
                    reason,
                    "See to the service, and run the request again with `flow retry`.",
                );
                CallFault::busy(fault, self.retry_after)
            }
            _ => Fault::new(reason, "Correct what is sent to the service, or its address.").into(),
        }
    }
}

/// The code of an error in the form of OpenAI's services, `{"error": {"code", "type"}}`, if it is one word.
fn error_code(body: &[u8]) -> Option<String> {
    const CHARACTERS_MAX: usize = 40;
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let codes = ["code", "type"].iter().filter_map(|key| match &body["error"][*key] {
        serde_json::Value::String(code) => Some(code.clone()),
        serde_json::Value::Number(code) => Some(code.to_string()),
        _ => None,
    });
    let is_word = |code: &String| {
        let is_of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        !code.is_empty() && code.len() <= CHARACTERS_MAX && code.chars().all(is_of_word)
    };
    codes.into_iter().find(is_word)
}

/// An answer with its body.
pub struct PostAnswer {
    pub status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

pub fn agent() -> &'static ureq::Agent {
    static AGENT: OnceLock<ureq::Agent> = OnceLock::new();
    AGENT.get_or_init(|| {
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        // A redirected POST becomes a GET, whose answer would be that to another question.
        let config = config.max_redirects(0);
        config.max_idle_connections(4 * IDLE_MAX).max_idle_connections_per_host(IDLE_MAX).build().into()
    })
}

/// Host and port, as the address has them. A name and password before them are left out: this stands in messages.
pub fn service(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit_once('@').map_or(authority, |(_, service)| service)
}

/// Says what is wrong with an address, without its words: a password may be among them.
pub fn check_address(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|error| format!("it is no address: {error}"))?;
    let is_http = |scheme: &str| ["http", "https"].iter().any(|http| scheme.eq_ignore_ascii_case(http));
    let authority = uri.authority().filter(|_| uri.scheme_str().is_some_and(is_http));
    let Some(authority) = authority.filter(|authority| !authority.host().is_empty()) else {
        return Err("it is no address: write http://HOST/PATH or https://HOST/PATH".to_owned());
    };
    let has_port = service(url) != authority.host();
    match has_port && authority.port_u16().is_none_or(|port| port == 0) {
        true => Err("the port of the address is no number from 1 to 65535".to_owned()),
        false => Ok(()),
    }
}

/// Header fields that are set here.
const OWN_FIELDS: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("idempotency-key"),
];

/// Name and value of a header field, which is written as `NAME: VALUE`.
///
/// # Errors
/// What is wrong with it, without its value, which may be a secret.
pub fn header_field(field: &str) -> Result<(&str, &str), String> {
    let parts = field.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    let (name, value) = parts.ok_or("a header field has no colon: write NAME: VALUE")?;
    let known = HeaderName::from_bytes(name.as_bytes());
    let known =
        known.map_err(|_| "what stands before the colon is no name of a header field: write NAME: VALUE")?;
    if OWN_FIELDS.contains(&known) {
        return Err(format!("flow sets the header field {name} itself"));
    }
    match HeaderValue::from_str(value) {
        Ok(_) => Ok((name, value)),
        Err(_) => Err(format!("the value of the header field {name} has characters that none can have")),
    }
}

fn is_on_this_machine(url: &str) -> bool {
    let service = service(url);
    let has_port = !service.ends_with(']');
    let host = service.rsplit_once(':').filter(|_| has_port).map_or(service, |(host, _)| host);
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Whether a service has answered, though its answer cannot be taken.
pub fn has_answered(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::BodyExceedsLimit(_))
}

pub fn unanswered(service: &str, error: &ureq::Error) -> CallFault {
    if has_answered(error) {
        let reason = format!("the answer of {service} is larger than {} MiB", ANSWER_BYTES_MAX / (1 << 20));
        return Fault::new(reason, "Have the service answer with less.").into();
    }
    let remedy = "See to the service and the network, and run the request again with `flow retry`.";
    let kind = match error {
        ureq::Error::Timeout(_) => FaultKind::TimedOut,
        ureq::Error::BadUri(_) => FaultKind::Data,
        _ => FaultKind::Transient,
    };
    Fault::of(kind, format!("{service} did not answer: {error}"), remedy).into()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::step::Digest;

    #[test]
    fn services_of_this_machine_are_known_by_their_address() {
        for url in [
            "http://127.0.0.1:80/a",
            "http://LOCALHOST/",
            "https://[::1]:8443/x",
            "https://[::1]/",
            "http://u:p@127.9.9.9:1",
        ] {
            assert!(is_on_this_machine(url), "{url}");
        }
        for url in ["http://localhost.example:80/", "http://10.0.0.1/127.0.0.1", "https://[fe80::1]/"] {
            assert!(!is_on_this_machine(url), "{url}");
        }
    }

    #[test]
    fn addresses_and_header_fields_that_cannot_be_sent_are_known_before() {
        for url in
            ["http://a", "HTTPS://a.b:443/c?d=e", "http://u:p@[::1]:80/", "http://[::1]", "http://1.2.3.4/x"]
        {
            assert_eq!(check_address(url), Ok(()), "{url}");
        }
        for url in
            ["", "a.b/c", "/c", "a:80", "htp://a", "http://", "http:///c", "http://a b", "http://a:80:80/"]
        {
            assert!(check_address(url).unwrap_err().starts_with("it is no address"), "{url}");
        }
        for url in ["http://a:x/", "http://a:99999/", "http://a:/", "http://u:p@[::1]:0"] {
            assert!(check_address(url).is_err(), "{url}");
        }
        assert_eq!(header_field("X-A: b: c"), Ok(("X-A", "b: c")));
        for field in
            ["", "Authorization", ": a", "X A: b", "Content-type: text/plain", "X-A: \u{1}", "X-A: a\nb"]
        {
            assert!(header_field(field).is_err(), "{field}");
        }
        assert!(!header_field("Authorization: secret\u{1}").unwrap_err().contains("secret"));
    }

    #[test]
    fn a_wordless_refusal_has_status_and_code_alone() {
        let reason = |status: u16, body: &str| {
            let answer = PostAnswer { status, retry_after: None, body: body.as_bytes().to_vec() };
            answer.taken_wordless("model").unwrap_err().fault.reason
        };
        let body = r#"{"error": {"message": "not understood: Jane has a rash", "code": "bad_prompt"}}"#;
        assert_eq!(reason(400, body), "model answered with status 400: bad_prompt");
        let by_type = r#"{"error": {"message": "Jane", "code": null, "type": "invalid_request_error"}}"#;
        assert_eq!(reason(429, by_type), "model answered with status 429: invalid_request_error");
        for body in
            ["Jane has a rash", r#"{"error": {"code": "Jane has a rash"}}"#, r#"{"error": "Jane"}"#, ""]
        {
            assert_eq!(reason(500, body), "model answered with status 500");
        }
    }

    #[test]
    fn a_service_with_too_large_an_answer_has_answered_and_is_called_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let too_large = usize::try_from(ANSWER_BYTES_MAX).unwrap() + 1;
            for length in [too_large; 6].into_iter().chain([2]) {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                    .unwrap();
                // The client does not read all of it.
                let _ = stream.write_all(&vec![b'1'; length]);
            }
        });
        let post = ServicePost { url: &url, headers: &[], body: b"" };
        let attempt = CallAttempt { key: Digest::of(b""), timeout: Duration::from_secs(60) };
        for _ in 0..6 {
            let fault = post.send(&attempt).unwrap_err().fault;
            assert_eq!(fault.kind, FaultKind::Data, "{fault}");
            assert!(fault.reason.ends_with(" is larger than 64 MiB"), "{fault}");
        }
        assert_eq!(post.send(&attempt).unwrap(), b"11");
        server.join().unwrap();
    }

    #[test]
    fn a_post_alone_neither_heeds_nor_changes_the_circuit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            for status in ["500 no"; 10].into_iter().chain(["204 ok"]) {
                let (mut stream, _) = listener.accept().unwrap();
                let mut read = [0; 4096];
                let _ = stream.read(&mut read);
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .unwrap();
            }
        });
        let url = format!("http://{address}/");
        let post = ServicePost { url: &url, headers: &[], body: b"" };
        let attempt = CallAttempt { key: Digest::of(b""), timeout: Duration::from_secs(60) };
        for _ in 0..5 {
            assert!(post.send_alone(&attempt).is_err());
        }
        for _ in 0..5 {
            assert!(
                post.send(&attempt).unwrap_err().fault.reason.contains("status 500"),
                "it is still called"
            );
        }
        assert!(post.send(&attempt).unwrap_err().fault.reason.contains("left alone"));
        post.send_alone(&attempt).unwrap();
        server.join().unwrap();
    }
}
